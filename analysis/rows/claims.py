"""Claims as code: what a grid expects, and whether the rows bear it out.

A claim is a sentence of a grid's CLAIMS:

    subnetwork beats random_subnetwork in most seeds at n = 1000, depth 12
    subnetwork beats random_subnetwork by 0.05 on average at n = 1000
    full_transfer matches subnetwork within 0.02 in 80% of seeds at n = 2500, depth 2
    subnetwork reaches 0.9 in most seeds at n = 1000, depth 12, penalty 1e-07

`in most seeds` and `in 80% of seeds` are about the share of seeds of which the sentence is true; `on average`, which is
meant where neither is said, is about the mean over seeds. `hypothesis` says each in words. `at` names the number of
samples, and where they vary the depth and the settings; without a depth the mean over all depths of a seed counts.

A share and a mean of accuracies are means of values from 0 to 1, and are decided by betting (analysis.statistics.
betting): valid for every shape of the values and at any number of seeds, so seeds may be added until something is
decided. A claim holds or fails where its p, times the number of claims of the grid, is at most ALPHA (Bonferroni). p is
twice the smaller of the two directions. A mean that matches within a margin is inside both bounds if the larger of two
p is small enough (intersection–union), and outside if the smaller is.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal, assert_never

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from analysis.rows import settings
from analysis.rows.load import transfers
from analysis.rows.seeds import seed_accuracies
from analysis.statistics import betting_interval, log_capital, smallest_betting_p
from analysis.statistics.values import Array

ALPHA = 0.05
"""The chance that any claim of a grid gets a false verdict is at most this, at all numbers of seeds together."""

MOST_SEEDS_AHEAD = 1_000
"""The report says how many more seeds would settle an undecided claim, up to this many."""

EQUAL = 1e-9
"""Accuracies that differ by less are equal: they are read from sums of floats."""

METADATA = b"claims"
"""Where a file of result rows keeps the claims of its grid, as a JSON list."""

Kind = Literal["beats", "matches", "reaches"]
Verdict = Literal["holds", "fails", "undecided"]

_FORM = re.compile(
    r"(?P<control>\w+) (?:(?P<beats>beats) (?P<than>\w+)(?: by (?P<by>[\d.e-]+))?"
    r"|(?P<matches>matches) (?P<like>\w+) within (?P<within>[\d.e-]+)"
    r"|(?P<reaches>reaches) (?P<accuracy>[\d.e-]+))"
    r"(?: in (?:(?P<most>most)|(?P<percent>[\d.]+)% of) seeds| on average)? at (?P<at>.+)"
)
EXAMPLE = "'subnetwork beats random_subnetwork in most seeds at n = 1000, depth 12'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A sentence, taken apart. `margin` is that of `beats` and `matches`, and the accuracy of `reaches`.

    `share` is that of the seeds of which more are claimed, and None for a claim about the mean over seeds.
    `depth` is None for the mean over depths, or where there is one depth; `settings` are column values in text.
    """

    text: str
    kind: Kind
    control: str
    other: str | None
    margin: float
    share: float | None
    num_disambiguation: int
    depth: int | None
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the rows say of a claim: the verdict, the numbers that decide it, and how many more seeds would settle it.

    `estimate` is the share of seeds, the mean difference or the mean accuracy that the claim is about, in an interval
    from `low` to `high` that has the claim's part of the error and holds at any number of seeds. `num_claims` share
    the error: `adjusted_p` is p times it, and decides at ALPHA. `smallest_p` is the smallest p that this many seeds can
    give.
    `num_more_seeds`, if they are as those found, settle an undecided claim; None where MOST_SEEDS_AHEAD do not.
    """

    claim: Claim
    verdict: Verdict
    num_claims: int
    num_seeds: int
    num_planned: int
    estimate: float | None
    low: float | None
    high: float | None
    p: float
    smallest_p: float
    adjusted_p: float
    num_more_seeds: int | None


def hypothesis(claim: Claim) -> str:
    """What a claim says of the seeds, in words: it holds where this is borne out, and fails where its contrary is."""
    most = "half" if claim.share == 0.5 else f"{100 * (claim.share or 0):g}%"
    said = _of_mean(claim) if claim.share is None else f"in more than {most} of all seeds {_of_seed(claim)}"
    return said if claim.depth is not None else f"{said} (a mean over depths where there are several)"


def _of_mean(claim: Claim) -> str:
    match claim.kind:
        case "beats" | "matches":
            difference = f"the mean over seeds of the accuracy of {claim.control} minus that of {claim.other}"
            above = f"above {claim.margin:g}"
            return f"{difference} is {above if claim.kind == 'beats' else f'between ±{claim.margin:g}'}"
        case "reaches":
            return f"the mean over seeds of the accuracy of {claim.control} is above {claim.margin:g}"
        case _:
            assert_never(claim.kind)


def _of_seed(claim: Claim) -> str:
    match claim.kind:
        case "beats":
            by = f" by more than {claim.margin:g}" if claim.margin else ""
            return f"the accuracy of {claim.control} is above that of {claim.other}{by}"
        case "matches":
            return f"the accuracy of {claim.control} differs from that of {claim.other} by at most {claim.margin:g}"
        case "reaches":
            return f"the accuracy of {claim.control} is at least {claim.margin:g}"
        case _:
            assert_never(claim.kind)


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
    share = 0.5 if parts["most"] else _number(text, parts["percent"]) / 100 if parts["percent"] else None
    margin = _number(text, parts["by"] or parts["within"] or parts["accuracy"] or "0")
    _check(text, kind, margin=margin, share=share)
    return Claim(
        text=text,
        kind=kind,
        control=parts["control"],
        other=parts["than"] or parts["like"],
        margin=margin,
        share=share,
        num_disambiguation=int(values["n"]),
        depth=None if depth is None else int(depth),
        settings={name: value for name, value in values.items() if name not in {"n", "depth"}},
    )


def _number(text: str, written: str) -> float:
    try:
        return float(written)
    except ValueError:
        raise ValueError(f"claim {text!r} has {written!r}, which is no number: write such as {EXAMPLE}") from None


def _check(text: str, kind: Kind, *, margin: float, share: float | None) -> None:
    """Refuse what no accuracy can decide: they lie from 0 to 1, their differences from -1 to 1."""
    if share is not None and not 0 < share < 1:
        raise ValueError(f"claim {text!r} is about {100 * share:g}% of seeds: give more than 0% and less than 100%")
    is_mean_of_accuracies = kind == "reaches" and share is None
    if not 0 <= margin <= 1 or (margin == 1 and (kind != "reaches" or is_mean_of_accuracies)):
        raise ValueError(f"claim {text!r} has {margin:g}: give a number from 0, below 1")
    if margin == 0 and (kind == "matches" or is_mean_of_accuracies):
        raise ValueError(f"claim {text!r} has 0: give a number between 0 and 1")


def _conditions(text: str, at: str) -> dict[str, str]:
    """n, depth and the settings by column."""
    columns = {settings.words(name): name for name in settings.ARITHMETIC}
    columns |= {name: name for name in settings.ARITHMETIC}
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


def judged(claims: Sequence[Claim], rows: pd.DataFrame, *, num_claims: int = 0) -> list[Judgement]:
    """The verdict on each claim.

    `num_claims` is the number of claims of the grid, where these are a part of them: all share ALPHA. Raises ValueError
    if a claim names cells that the rows do not plan.
    """
    given = transfers(rows)
    family = max(num_claims, len(claims))
    return [_judgement(claim, *_differences(claim, given), family=family) for claim in claims]


def fewest_seeds(claim: Claim, *, num_claims: int) -> int:
    """The fewest seeds with which the claim can be decided at all, in the one direction or the other."""
    ones = np.ones(MOST_SEEDS_AHEAD)
    enough = [
        np.flatnonzero(log_capital(ones, bound=end) >= needed_evidence(num_claims))
        for bound in bounds(claim)
        for end in (bound, 1 - bound)
    ]
    return min(int(places[0]) + 1 for places in enough if places.size)


def _differences(claim: Claim, given: pd.DataFrame) -> tuple[Array, int]:
    """The accuracy of each seed, or its difference where there are two arms, and the number of seeds that are planned.

    A seed counts once it has all that it needs.
    """
    chosen = [each for each in settings.settings_of_arithmetic(given) if _is_of(claim, each)]
    if len(chosen) != 1:
        varied = ", ".join(settings.words(name) for name in settings.varying(given))
        raise ValueError(f"claim {claim.text!r} fits {len(chosen)} combinations of settings: name {varied} in it")
    accuracies = seed_accuracies(chosen[0].rows)
    own = _of_seeds(claim, claim.control, accuracies)
    values = own if claim.other is None else own - _of_seeds(claim, claim.other, accuracies).reindex(own.index)
    finished: Array = values.dropna().to_numpy(float)
    return finished, len(values)


def _is_of(claim: Claim, combination: settings.Setting) -> bool:
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


def bets(claim: Claim, found: Array) -> Array:
    """What is bet on: values from 0 to 1, whose mean the claim is about."""
    if claim.share is None:
        return np.clip(found if claim.kind == "reaches" else (found + 1) / 2, 0, 1)
    match claim.kind:
        case "beats":
            true = found > claim.margin + EQUAL
        case "matches":
            true = np.abs(found) <= claim.margin + EQUAL
        case "reaches":
            true = found >= claim.margin - EQUAL
        case _:
            assert_never(claim.kind)
    return true.astype(float)


def bounds(claim: Claim) -> tuple[float, ...]:
    """Where the mean of what is bet on must lie: above one bound, or between two."""
    if claim.share is not None:
        return (claim.share,)
    match claim.kind:
        case "beats":
            return ((claim.margin + 1) / 2,)
        case "matches":
            return ((1 - claim.margin) / 2, (1 + claim.margin) / 2)
        case "reaches":
            return (claim.margin,)
        case _:
            assert_never(claim.kind)


def evidence(claim: Claim, values: Array) -> tuple[Array, Array]:
    """The logarithm of e for the claim and against it, after each of the values along the last axis."""
    low, high = bounds(claim)[0], bounds(claim)[-1]
    above, below = log_capital(values, bound=low), log_capital(1 - values, bound=1 - high)
    if len(bounds(claim)) == 1:
        return above, below
    outside = np.maximum(log_capital(1 - values, bound=1 - low), log_capital(values, bound=high))
    return np.minimum(above, below), outside


def needed_evidence(num_claims: int) -> float:
    """The logarithm of e that decides one claim of a family: either direction has half of its part of ALPHA."""
    return float(-np.log(ALPHA / num_claims / 2))


def _judgement(claim: Claim, found: Array, num_planned: int, *, family: int) -> Judgement:
    values = bets(claim, found)
    p, verdict = _decided(claim, values, family=family)
    interval = betting_interval(values, level=1 - ALPHA / family)
    ends = [None] * 3 if interval is None else [float(values.mean()), interval.low, interval.high]
    is_difference = claim.share is None and claim.kind != "reaches"
    estimate, low, high = (end if end is None or not is_difference else 2 * end - 1 for end in ends)
    return Judgement(
        claim=claim,
        verdict=verdict,
        num_claims=family,
        num_seeds=values.size,
        num_planned=num_planned,
        estimate=estimate,
        low=low,
        high=high,
        p=p,
        smallest_p=min(1.0, 2 * min(smallest_betting_p(values.size, bound=bound) for bound in bounds(claim))),
        adjusted_p=min(1.0, p * family),
        num_more_seeds=_num_more_seeds(claim, values, family=family) if verdict == "undecided" else None,
    )


def _decided(claim: Claim, values: Array, *, family: int) -> tuple[float, Verdict]:
    """The two-sided p of all values, and the verdict."""
    if not values.size:
        return 1.0, "undecided"
    holds, fails = (float(each[-1]) for each in evidence(claim, values))
    p = min(1.0, 2 * float(np.exp(-max(holds, fails))))
    if p * family > ALPHA:
        return p, "undecided"
    return p, "holds" if holds > fails else "fails"


def _num_more_seeds(claim: Claim, values: Array, *, family: int) -> int | None:
    """Seeds until the claim is decided if the values found come again and again; None without any, or with too many."""
    if not values.size:
        return None
    largest = np.maximum(*evidence(claim, np.resize(values, MOST_SEEDS_AHEAD)))
    decided = values.size + np.flatnonzero(largest[values.size :] >= needed_evidence(family))
    return int(decided[0]) + 1 - values.size if decided.size else None
