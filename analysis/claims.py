"""Claims as code: what a grid expects, and whether the rows bear it out.

A claim is a sentence of a grid's CLAIMS:

    subnetwork beats random_subnetwork at n = 1000, depth 12
    subnetwork beats random_subnetwork by 0.05 at n = 1000
    full_transfer matches subnetwork within 0.02 at n = 2500, depth 2
    subnetwork reaches 0.9 at n = 1000, depth 12, penalty 1e-07

`at` names the number of samples, and where they vary the depth and the settings; without a depth the mean over all
depths of a seed counts. Every claim is decided by exact sign-flip tests over seeds, two-sided, whose p values are
adjusted by Holm over all claims of the grid and compared with ALPHA over the number of looks. "Matches" takes two
tests, one for either bound, and holds if both do.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from os import PathLike
from pathlib import Path
from typing import Literal, assert_never

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy import special

from analysis import settings
from analysis.load import transfers
from analysis.statistics import fewest_pairs, holm, sign_flip_p
from analysis.statistics.values import Array
from analysis.tables.figure_3 import seed_accuracies

ALPHA = 0.05
"""The chance that any true null hypothesis of a family is rejected, in either direction."""

POWER = 0.8
"""With so much probability the seeds that are said to settle a claim do, if the effect is as found."""

METADATA = b"claims"
"""Where a file of result rows keeps the claims of its grid, as a JSON list."""

METADATA_OF_LOOKS = b"num_looks"

Kind = Literal["beats", "matches", "reaches"]
Verdict = Literal["holds", "fails", "undecided"]

_FORM = re.compile(
    r"(?P<control>\w+) (?:(?P<beats>beats) (?P<than>\w+)(?: by (?P<by>[\d.e-]+))?"
    r"|(?P<matches>matches) (?P<like>\w+) within (?P<within>[\d.e-]+)"
    r"|(?P<reaches>reaches) (?P<accuracy>[\d.e-]+)) at (?P<at>.+)"
)
EXAMPLE = "'subnetwork beats random_subnetwork at n = 1000, depth 12'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A sentence, taken apart. `margin` is that of `beats` and `matches`, and the accuracy of `reaches`.

    `depth` is None for the mean over depths, or where there is one depth; `settings` are column values in text.
    """

    text: str
    kind: Kind
    control: str
    other: str | None
    margin: float
    num_disambiguation: int
    depth: int | None
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the rows say of a claim: the verdict, the numbers that decide it, and how many more seeds would settle it.

    `mean` is that of the tested differences, before the margin is taken off; `adjusted_p` is Holm's, to be at most
    `level`. `num_more_seeds` is None for a decided claim, and where no number of seeds is in sight.
    """

    claim: Claim
    verdict: Verdict
    num_seeds: int
    num_planned: int
    mean: float | None
    p: float | None
    adjusted_p: float | None
    level: float
    num_more_seeds: int | None


def parsed(text: str) -> Claim:
    """The claim of a sentence. Raises ValueError with an example for one that is none.

    >>> parsed("subnetwork beats random_subnetwork at n = 1000, depth 12").depth
    12
    """
    found = _FORM.fullmatch(" ".join(text.split()))
    if found is None:
        raise ValueError(f"claim {text!r} is of no known form: write such as {EXAMPLE}")
    parts = found.groupdict()
    values = _conditions(text, parts["at"])
    if not values.get("n", "").isdigit():
        raise ValueError(f"claim {text!r} names no number of samples: end it such as in {EXAMPLE}")
    depth = values.get("depth")
    kind: Kind = "beats" if parts["beats"] else "matches" if parts["matches"] else "reaches"
    margin = parts["by"] or parts["within"] or parts["accuracy"] or "0"
    return Claim(
        text=text,
        kind=kind,
        control=parts["control"],
        other=parts["than"] or parts["like"],
        margin=float(margin),
        num_disambiguation=int(values["n"]),
        depth=None if depth is None else int(depth),
        settings={name: value for name, value in values.items() if name not in {"n", "depth"}},
    )


def _conditions(text: str, at: str) -> dict[str, str]:
    """n, depth and the settings by column."""
    columns = {words: name for name, words in settings.SETTINGS.items()} | {name: name for name in settings.SETTINGS}
    found = {}
    for part in at.split(","):
        match = re.fullmatch(r"\s*(.+?)\s*(?:=|\s)\s*([^=\s](?:.*\S)?)\s*", part)
        name = match[1] if match else part.strip()
        known = sorted(filter(part.strip().startswith, columns), key=len)
        if name in {"n", "depth"} and match:
            found[name] = match[2]
        elif known:
            found[columns[known[-1]]] = part.strip().removeprefix(known[-1]).strip().removeprefix("=").strip()
        else:
            raise ValueError(f"claim {text!r} has {part.strip()!r}: give n, depth or one of {', '.join(columns)}")
    return found


def of_rows(path: str | PathLike[str]) -> list[Claim]:
    """The claims that a file of result rows carries from its grid; none if it has none."""
    metadata = pq.read_schema(Path(path)).metadata or {}
    return [parsed(text) for text in json.loads(metadata.get(METADATA, b"[]"))]


def num_looks(path: str | PathLike[str]) -> int:
    """How often the claims of a file of result rows are judged at most while seeds are added; 1 unless they are."""
    return int((pq.read_schema(Path(path)).metadata or {}).get(METADATA_OF_LOOKS, b"1"))


def planned(claims: Sequence[Claim], rows: pd.DataFrame) -> tuple[list[Claim], list[str]]:
    """Those claims whose cells the rows plan, and why the others cannot be judged: rows may be a part of a grid."""
    kept, reasons = [], []
    for claim in claims:
        try:
            _differences(claim, transfers(rows))
        except ValueError as error:
            reasons.append(str(error))
        else:
            kept.append(claim)
    return kept, reasons


def judged(claims: Sequence[Claim], rows: pd.DataFrame, *, num_looks: int = 1) -> list[Judgement]:
    """The verdict on each claim; all of them are one family.

    `num_looks` is how often the family is judged at most while seeds are added: the level is ALPHA over it. Raises
    ValueError if a claim names cells that the rows do not plan.
    """
    given = transfers(rows)
    tested = [_differences(claim, given) for claim in claims]
    several = [_p_values(claim, values) for claim, (values, _) in zip(claims, tested, strict=True)]
    known = [p for pair in several for p in pair]
    adjusted = iter(holm(known).tolist() if known else [])
    level = ALPHA / num_looks
    return [
        _judgement(
            claim, values, num_planned=planned, p_values=pair, adjusted=[next(adjusted) for _ in pair], level=level
        )
        for claim, (values, planned), pair in zip(claims, tested, several, strict=True)
    ]


def _differences(claim: Claim, given: pd.DataFrame) -> tuple[Array, int]:
    """What is tested, a value per seed that has all it needs, and the number of seeds that are planned."""
    chosen = [each for each in settings.combinations(given) if _is_of(claim, each)]
    if len(chosen) != 1:
        varied = ", ".join(settings.SETTINGS[name] for name in settings.varying(given))
        raise ValueError(f"claim {claim.text!r} fits {len(chosen)} combinations of settings: name {varied} in it")
    accuracies = seed_accuracies(chosen[0].rows)
    own = _of_seeds(claim, claim.control, accuracies)
    if claim.other is None:
        values = own - claim.margin
    else:
        values = own - _of_seeds(claim, claim.other, accuracies).reindex(own.index)
    finished: Array = values.dropna().to_numpy(float)
    return finished, len(values)


def _is_of(claim: Claim, combination: settings.Combination) -> bool:
    """Whether the claim's settings are those of the combination, as far as it names them."""
    return all(
        _number_in_words(value) in {settings.worded(found) for found in combination.rows[name].dropna().unique()}
        for name, value in claim.settings.items()
    )


def _number_in_words(text: str) -> str:
    try:
        return settings.worded(float(text))
    except ValueError:
        return text


def _of_seeds(claim: Claim, control: str, accuracies: pd.DataFrame) -> pd.Series:
    """The accuracy of each planned seed of a control at the claim's depth and number of samples."""
    whole = max(set(accuracies["depths"]), key=lambda depths: depths.count(","), default="")
    depths = whole if claim.depth is None else str(claim.depth)
    cell = accuracies[
        (accuracies["control"] == control)
        & (accuracies["depths"] == depths)
        & (accuracies["num_disambiguation"] == claim.num_disambiguation)
    ]
    if cell.empty:
        place = f"n = {claim.num_disambiguation}, depth {depths}"
        raise ValueError(f"claim {claim.text!r}: no cell of {control} at {place} is planned")
    return cell.set_index("seed")["test_accuracy"].astype("Float64")


def _p_values(claim: Claim, values: Array) -> list[float]:
    """One p for `beats` and `reaches`; for `matches` that of either bound."""
    if not values.size:
        return [1.0] * (2 if claim.kind == "matches" else 1)
    return [sign_flip_p(values - bound) for bound in _bounds(claim)]


def _bounds(claim: Claim) -> list[float]:
    match claim.kind:
        case "beats":
            return [claim.margin]
        case "reaches":
            return [0.0]
        case "matches":
            return [-claim.margin, claim.margin]
        case _:
            assert_never(claim.kind)


def _judgement(
    claim: Claim, values: Array, *, num_planned: int, p_values: list[float], adjusted: list[float], level: float
) -> Judgement:
    verdict = _verdict(claim, values, adjusted, level)
    largest = int(np.argmax(adjusted))
    return Judgement(
        claim=claim,
        verdict=verdict,
        num_seeds=values.size,
        num_planned=num_planned,
        mean=float(values.mean()) + (claim.margin if claim.kind == "reaches" else 0.0) if values.size else None,
        p=p_values[largest] if values.size else None,
        adjusted_p=adjusted[largest] if values.size else None,
        level=level,
        num_more_seeds=_num_more_seeds(
            values,
            bounds=_bounds(claim),
            levels=[level * min(1.0, p / found) for p, found in zip(p_values, adjusted, strict=True)],
        )
        if verdict == "undecided"
        else None,
    )


def _verdict(claim: Claim, values: Array, adjusted: list[float], level: float) -> Verdict:
    if not values.size:
        return "undecided"
    signs = [float(values.mean()) - bound for bound in _bounds(claim)]
    decided = [p <= level for p in adjusted]
    if claim.kind == "matches":
        if all(decided) and signs[0] > 0 > signs[1]:
            return "holds"
        return "fails" if (decided[0] and signs[0] < 0) or (decided[1] and signs[1] > 0) else "undecided"
    if not decided[0]:
        return "undecided"
    return "holds" if signs[0] > 0 else "fails"


def _num_more_seeds(values: Array, *, bounds: list[float], levels: list[float]) -> int | None:
    """Seeds until the test at every bound can reject at its level, and does so with POWER (normal approximation).

    The levels take it that Holm's factor stays what it is. None with fewer than two seeds, or with a mean at a bound.
    """
    distances = [abs(float(values.mean()) - bound) for bound in bounds] if values.size else []
    if values.size < 2 or not all(distances):
        return None
    spread = float(values.std(ddof=1))
    needed = [values.size + 1]
    for distance, level in zip(distances, levels, strict=True):
        quantiles = float(-special.ndtri(level / 2) + special.ndtri(POWER))
        needed += [fewest_pairs(level), ceil((quantiles * spread / distance) ** 2)]
    return max(needed) - values.size
