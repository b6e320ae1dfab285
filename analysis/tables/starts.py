"""Recipients of any task by what they start from: means over seeds, and differences paired by seed.

The runs of a seed are averaged first, so that every seed counts once; a seed of which one run has not finished has no
pair. Differences are the reference start minus the other, over all rows of the table one family (Holm 1979).
"""

from typing import Any

import numpy as np
import pandas as pd

from analysis.rows import recipients as any_task
from analysis.rows.recipients import HIGHER_IS_BETTER, MEASURES, Comparison
from analysis.rows.wording import DASH, MISSING, decimal, interval, listed, probability, signed
from analysis.statistics import LEVEL, holm, paired_difference, t_interval
from analysis.tables import paired

COLUMNS: dict[str, Any] = {
    "start": pd.StringDtype(),
    "measure": pd.StringDtype(),
    "num_planned": "Int64",
    "num_finished": "Int64",
    "num_seeds": "Int64",
    "mean": "Float64",
    "low": "Float64",
    "high": "Float64",
    "chance_accuracy": "Float64",
    "num_pairs": "Int64",
    **paired.COLUMNS,
    "p_holm": "Float64",
}

MOST_SENTENCES = 6
"""Settings that have sentences of their own; of more, the sentence counts in how many a start is first."""


def table(given: Comparison) -> pd.DataFrame:
    """One row per setting (a value of each axis) and start, with COLUMNS; `difference` is absent in the reference."""
    found = []
    for values, rows in given.experiments():
        own = rows[rows["start"] == given.reference]
        for start in any_task.in_order(rows["start"].to_list(), given.reference):
            of_start = rows[rows["start"] == start]
            row = {**values, "start": start, **_cell(of_start)}
            found.append(row | (_difference(own, of_start) if start != given.reference else {}))
    made = pd.DataFrame(found, columns=[*given.axes, *COLUMNS]).astype(COLUMNS)
    known = made["p"].notna()
    made.loc[known, "p_holm"] = holm(made.loc[known, "p"].to_numpy(float)) if known.any() else pd.NA
    return made


def _cell(rows: pd.DataFrame) -> dict[str, Any]:
    seeds = by_seed(rows[rows["status"] == "finished"]).dropna().to_numpy(float)
    within = t_interval(seeds)
    return {
        "measure": rows["measure"].iloc[0],
        "num_planned": len(rows),
        "num_finished": int((rows["status"] == "finished").sum()),
        "num_seeds": len(seeds),
        "mean": seeds.mean() if len(seeds) else None,
        "low": within and within.low,
        "high": within and within.high,
        "chance_accuracy": rows["chance_accuracy"].astype("Float64").mean(),
    }


def by_seed(rows: pd.DataFrame) -> pd.Series:
    """The mean of each seed's runs; absent for a seed of which one has not finished."""
    return rows.groupby("seed")["measured"].agg(lambda each: each.mean(skipna=False)).astype("Float64")


def _difference(own: pd.DataFrame, others: pd.DataFrame) -> dict[str, Any]:
    """The reference minus another start, by seed."""
    pairs = pd.concat({"own": by_seed(own), "other": by_seed(others)}, axis=1, join="inner").dropna()
    found = paired_difference((pairs["own"] - pairs["other"]).to_numpy(float))
    return {"num_pairs": 0} if found is None else {"num_pairs": found.num_pairs, **paired.cells(found)}


# ---- sentences


def sentences(found: pd.DataFrame, given: Comparison) -> list[str]:
    """Which start is first, by how much and how sure that is, and what the test can tell at most."""
    settings = [(values, part[part["num_seeds"] > 0]) for values, part in any_task.parts(found, given.axes)]
    finished = [(values, part) for values, part in settings if len(part)]
    if not finished:
        return ["No recipient has finished."]
    if len(finished) > MOST_SENTENCES:
        return [*_counted(finished), *_family(found)]
    said = [_first(any_task.where(values), part, given.reference) for values, part in finished]
    against = _against(finished[0][1], given.reference) if len(finished) == 1 else []
    return [*said, *against, *_family(found)]


def _first(where: str, part: pd.DataFrame, reference: str) -> str:
    """The start of the best mean in a setting, the next one, and their difference where one is the reference."""
    measure = str(part["measure"].iloc[0])
    by_mean = part.sort_values("mean", ascending=not HIGHER_IS_BETTER[measure], kind="stable")
    best = by_mean[by_mean["mean"] == by_mean["mean"].iloc[0]]
    others = by_mean[by_mean["mean"] != by_mean["mean"].iloc[0]]
    rank = "highest" if HIGHER_IS_BETTER[measure] else "lowest"
    level = part["chance_accuracy"].dropna()
    chance = f"; chance {decimal(level.iloc[0])}" if len(level) and measure == "test_accuracy" else ""
    following = f"; next {_mean(others.iloc[0])}" if len(others) else ""
    between = _between(best, others.iloc[0], reference) if len(others) else ""
    begin = f"{where}: {rank}" if where else rank.capitalize()
    first = listed([_mean(row) for _, row in best.iterrows()])
    return f"{begin} mean {MEASURES[measure]}: {first}{following}{between}{chance}."


def _between(best: pd.DataFrame, following: pd.Series, reference: str) -> str:
    """The difference by seed of the best start and the next one, if the reference is one of them."""
    if reference == following["start"] and len(best) == 1:
        row, other = best.iloc[0], str(best["start"].iloc[0])
    elif reference in set(best["start"]):
        row, other = following, str(following["start"])
    else:
        return ""
    if pd.isna(row["difference"]):
        return ""
    within = interval(row["difference_low"], row["difference_high"])
    return f", {reference} minus {other} {signed(row['difference'])} {within} by seed (n = {row['num_pairs']})"


def _mean(row: pd.Series) -> str:
    num = int(row["num_seeds"])
    within = "" if pd.isna(row["low"]) else f" {interval(row['low'], row['high'])}"
    return f"{row['start']} {decimal(row['mean'])}{within} ({num} seed{'' if num == 1 else 's'})"


def _against(part: pd.DataFrame, reference: str) -> list[str]:
    """The differences of the reference from every other start."""
    pairs = part[part["num_pairs"].fillna(0) > 0]
    if pairs.empty:
        return []
    each = [
        f"{row['start']} {signed(row['difference'])} {interval(row['difference_low'], row['difference_high'])}"
        f" (n = {row['num_pairs']}, Holm p {probability(row['p_holm'])})"
        for row in pairs.to_dict("records")
    ]
    return [f"{reference.capitalize()} minus each other start, paired by seed: {'; '.join(each)}."]


def _counted(finished: list[tuple[dict[str, Any], pd.DataFrame]]) -> list[str]:
    """In how many settings each start has the best mean."""
    firsts: dict[str, int] = {}
    for _, part in finished:
        means, measure = part["mean"], str(part["measure"].iloc[0])
        best = means.max() if HIGHER_IS_BETTER[measure] else means.min()
        for start in part.loc[means == best, "start"]:
            firsts[start] = firsts.get(start, 0) + 1
    each = [f"{start} in {num}" for start, num in sorted(firsts.items(), key=lambda item: -item[1])]
    return [f"Of {len(finished)} settings, the best mean is that of {listed(each)}; ties count for each."]


def _family(found: pd.DataFrame) -> list[str]:
    """How many differences share the correction, how many of them are sure, and what p can tell at most."""
    given = found[found["num_pairs"].fillna(0) > 0]
    if given.empty:
        return []
    alpha = 1 - LEVEL
    num_sure, smallest = int((given["p_holm"] <= alpha).sum()), float(given["smallest_p"].min())
    said = f"{len(given)} difference(s) share Holm's correction: {num_sure} with p at most {alpha:.0%}."
    if smallest * len(given) <= alpha:
        return [said]
    most = int(given["num_pairs"].max())
    floor = f"With {most} pair(s) the p of one difference is at least {probability(smallest)}, before the correction."
    return [f"{said} None can have: {floor[0].lower()}{floor[1:]}"]


# ---- in words


def shown(found: pd.DataFrame, given: Comparison) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    absent = [MISSING if num == 0 else DASH for num in found["num_seeds"]]
    measures = list(dict.fromkeys(found["measure"].dropna()))
    heading = MEASURES[measures[0]] if len(measures) == 1 else "mean"
    of_measure = {} if len(measures) < 2 else {"measure": found["measure"].map(MEASURES)}
    return pd.DataFrame(
        {
            **{any_task.words(name): list(map(any_task.shown, found[name])) for name in given.axes},
            "start": found["start"],
            **of_measure,
            "finished / planned": found["num_finished"].astype("string")
            + " / "
            + found["num_planned"].astype("string"),
            "seeds": found["num_seeds"].astype("string"),
            heading: [decimal(value, absent=word) for value, word in zip(found["mean"], absent, strict=True)],
            "95% interval": list(map(interval, found["low"], found["high"])),
            "chance": list(map(decimal, found["chance_accuracy"])),
            f"{given.reference} − it": list(map(signed, found["difference"])),
            "pairs": found["num_pairs"].astype("string").fillna(DASH),
            **paired.certainty(found),
            "Holm p": list(map(probability, found["p_holm"])),
        }
    )


def training(curves: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """Mean curves: one row per setting, start and epoch that every finished run of the cell has; mean and num_runs."""
    cell = [*axes, "start"]
    grouped = curves.groupby([*cell, "epoch"], as_index=False, dropna=False)
    means = grouped.agg(mean=("value", "mean"), num_runs=("run_id", "nunique"))
    if means.empty:
        return means
    whole = means["num_runs"] == means.groupby(cell, dropna=False)["num_runs"].transform("max")
    found: pd.DataFrame = means[whole].reset_index(drop=True)
    return found.astype({"mean": np.float64})
