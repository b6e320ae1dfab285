"""Shape bias of the subnetwork's recipients minus that of every other start, paired by seed.

A recipient is paired with another of its seed, and with the donor that its subnetwork is from; recipients of one donor
are averaged first then, for their donor counts once.
"""

from typing import Any

import pandas as pd

from analysis.rows import images as vision
from analysis.rows.recipients import agrees
from analysis.rows.wording import DASH, MISSING, decimal, interval, listed, probability, signed
from analysis.statistics import LEVEL, paired_difference
from analysis.tables import paired
from analysis.tables.table_1 import settings_shown

COLUMNS = {
    "model": pd.StringDtype(),
    "start": pd.StringDtype(),
    "other": pd.StringDtype(),
    "num_planned": "Int64",
    "num_pairs": "Int64",
    "subnetwork_mean": "Float64",
    "other_mean": "Float64",
    "subnetwork_decisions": pd.StringDtype(),
    "other_decisions": pd.StringDtype(),
    **paired.COLUMNS,
}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per model and other start, after the varying settings, with COLUMNS; no row without a subnetwork.

    `p` is two-sided, of the exact sign-flip test. A start that lacks a setting stands beside each of its values.
    """
    names = vision.varying(rows)
    given = vision.measured(rows)
    found = []
    is_trained = (given["donor_kind"] != "untrained").fillna(True)
    own = given[(given["control"] == vision.REFERENCE).fillna(False) & is_trained]
    for of, subnetworks in own.groupby([*names, "model", "start"], dropna=False):
        *values, start = of
        shared = dict(zip([*names, "model"], values, strict=True))
        beside = given[agrees(given, shared)]
        for other in vision.in_order(beside["start"].to_list()):
            if other != start:
                cell = _cell(subnetworks, beside[beside["start"] == other])
                found.append({**shared, "start": start, "other": other, **cell})
    return pd.DataFrame(found, columns=[*names, *COLUMNS]).astype(COLUMNS)  # type: ignore[arg-type]


def _cell(subnetworks: pd.DataFrame, others: pd.DataFrame) -> dict[str, object]:
    is_donor = bool((others["stage"] == "donor").all())
    by = "donor_seed" if is_donor else "seed"
    ours = _by_seed(subnetworks, by)
    theirs = _by_seed(others, "seed").rename_axis(by)
    pairs = pd.concat({"ours": ours, "theirs": theirs}, axis=1, join="inner")
    both = pairs.dropna()
    found = paired_difference((both["ours"] - both["theirs"]).to_numpy(float))
    if found is None:
        return {"num_planned": len(pairs), "num_pairs": 0}
    return {
        "num_planned": len(pairs),
        "num_pairs": found.num_pairs,
        "subnetwork_mean": both["ours"].mean(),
        "other_mean": both["theirs"].mean(),
        "subnetwork_decisions": _decisions(subnetworks[subnetworks[by].isin(both.index)]),
        "other_decisions": _decisions(others[others["seed"].isin(both.index)]),
        **paired.cells(found),
    }


def _decisions(runs: pd.DataFrame) -> str:
    """The decisions that the ratios of the finished runs rest on, of all."""
    finished = runs[runs["status"] == "finished"]
    return vision.decided({name: finished[name].sum(min_count=1) for name in vision.DECISIONS})


def _by_seed(runs: pd.DataFrame, by: str) -> pd.Series:
    """The mean shape bias of each seed's finished runs; absent for a seed of which one has not finished."""
    biases = runs["shape_bias"].where(runs["status"] == "finished")
    return biases.groupby(runs[by]).agg(lambda each: each.mean(skipna=False)).astype("Float64")


def sentences(found: pd.DataFrame) -> list[str]:
    """What the difference from the donor is, a sentence for each model and setting with a pair."""
    chosen = found[(found["other"] == vision.DONOR) & (found["num_pairs"] > 0)]
    return [_sentence(row) for row in chosen.to_dict("records")]


def _sentence(row: dict[Any, Any]) -> str:
    settings = [f"{words} {row[name]:g}" for name, words in vision.SETTINGS.items() if not pd.isna(row.get(name))]
    where = ", ".join([row["model"], *settings])
    means = f"{decimal(row['subnetwork_mean'])} ({row['start']}) against {decimal(row['other_mean'])} (their donors)"
    difference = f"{signed(row['difference'])} {interval(row['difference_low'], row['difference_high'])}"
    test = f"p {probability(row['p'])} (smallest possible {probability(row['smallest_p'])})"
    decisions = f"decisions for shape or texture: {row['subnetwork_decisions']} against {row['other_decisions']}"
    return f"{where}: shape bias {means}, difference {difference}, {test}, {row['num_pairs']} pairs; {decisions}."


def family(found: pd.DataFrame) -> list[str]:
    """How many differences stand together, that they are not corrected for it, and what their p can tell at most."""
    given = found[found["num_pairs"] > 0]
    if given.empty:
        return []
    others = listed(list(dict.fromkeys(given["other"])))
    said = [f"{len(given)} difference(s), against {others}: neither intervals ({LEVEL:.0%} each) nor p are corrected."]
    floor = float(given["smallest_p"].min())
    if floor > 1 - LEVEL:
        most, level = int(given["num_pairs"].max()), f"{1 - LEVEL:.0%}"
        said.append(f"With {most} pair(s) no p can reach {level}: the smallest possible is {probability(floor)}.")
    return said


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    absent = [MISSING if num == 0 else DASH for num in found["num_pairs"]]
    means = {
        heading: [decimal(value, absent=word) for value, word in zip(found[name], absent, strict=True)]
        for heading, name in (("subnetwork", "subnetwork_mean"), ("the other", "other_mean"))
    }
    return pd.DataFrame(
        {
            **settings_shown(found),
            "model": found["model"],
            "start": found["start"],
            "against": found["other"],
            "pairs / planned": found["num_pairs"].astype("string") + " / " + found["num_planned"].astype("string"),
            **means,
            "its decisions": found["subnetwork_decisions"].fillna(DASH),
            "the other's": found["other_decisions"].fillna(DASH),
            "difference": list(map(signed, found["difference"])),
            **paired.certainty(found),
        }
    )
