"""The table of figure 3: test accuracy of each control against the number of disambiguation samples.

Scopes: every depth by itself, and the mean over depths. For the mean over depths the accuracies of one seed are
averaged over all planned depths first, and the mean, its interval and the paired gaps are then taken over seeds; a seed
counts only once all its depths have finished, so that every seed's number is a mean over the same depths.

The gap of a control is its accuracy minus that of `subnetwork` under the same seed, scope and number of samples.
"""

import pandas as pd

from analysis import controls, published
from analysis.load import transfers
from analysis.statistics import PairedDifference, paired_difference, t_interval
from analysis.tables.wording import DASH, MISSING, decimal, interval, probability, signed

REFERENCE = "subnetwork"
"""The control that the others are compared with."""

MEAN_OVER_DEPTHS = "mean over depths"

CELL = ["depths", "control", "num_disambiguation"]
SETTING = ["rule", "modulus", "num_integers", "d_model", "subtask", "num_ambiguous", "penalty"]
SETTING += ["temperature_schedule", "final_temperature"]
"""What a row may say of the experiment beyond its cell and seed; one figure shows one setting."""

MEAN = ["num_finished", "mean", "interval_low", "interval_high", "interval_method"]

COLUMNS = {
    "scope": pd.StringDtype(),
    "depths": pd.StringDtype(),
    "control": pd.StringDtype(),
    "num_disambiguation": "Int64",
    "num_planned": "Int64",
    "num_finished": "Int64",
    "mean": "Float64",
    "interval_low": "Float64",
    "interval_high": "Float64",
    "interval_method": pd.StringDtype(),
    "gap_num_pairs": "Int64",
    "gap_mean": "Float64",
    "gap_low": "Float64",
    "gap_high": "Float64",
    "gap_p": "Float64",
    "gap_smallest_p": "Float64",
    "gap_p_method": pd.StringDtype(),
    "published_accuracy": "Float64",
    "published_runs": "Int64",
    "published_source": pd.StringDtype(),
    "difference_from_published": "Float64",
}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per scope, control and number of samples that is planned, with the columns and types of COLUMNS.

    `num_planned` and `num_finished` count seeds; a cell without a finished seed has num_finished 0 and no mean.
    Published columns are filled where the rows have the published setting. Raises ValueError if the transfers mix
    settings or plan one cell twice under one seed.
    """
    given = transfers(rows)
    _check_one_setting(given)
    accuracies = seed_accuracies(given)
    cells = (
        _means(accuracies).merge(_gaps(accuracies), on=CELL, how="left").merge(_published(given), on=CELL, how="left")
    )
    cells["scope"] = [MEAN_OVER_DEPTHS if "," in depths else f"depth {depths}" for depths in cells["depths"]]
    cells["difference_from_published"] = cells["mean"] - cells["published_accuracy"]
    typed = cells.reindex(columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    return typed.sort_values(CELL, key=_rank, kind="stable", ignore_index=True)


def seed_accuracies(given: pd.DataFrame) -> pd.DataFrame:
    """One row per scope, control, number of samples and seed: depths, …, seed, finished, test_accuracy.

    The scope of the mean over depths is there if several depths are planned; its `finished` says that all of them are.
    """
    of_depth = given[["control", "num_layers", "num_disambiguation", "seed", "test_accuracy"]].assign(
        depths=given["num_layers"].astype("string"), finished=given["status"] == "finished"
    )
    of_depth["test_accuracy"] = of_depth["test_accuracy"].where(of_depth["finished"])
    depths = sorted(set(of_depth["num_layers"]))
    if len(depths) < 2:
        return of_depth.drop(columns="num_layers")
    grouped = of_depth.groupby(["control", "num_disambiguation", "seed"], as_index=False)
    over_depths = grouped.agg(
        planned=("num_layers", "nunique"), finished=("finished", "sum"), test_accuracy=("test_accuracy", "mean")
    )
    over_depths = over_depths[over_depths["planned"] == len(depths)].assign(depths=",".join(map(str, depths)))
    over_depths["finished"] = over_depths["finished"] == len(depths)
    over_depths["test_accuracy"] = over_depths["test_accuracy"].where(over_depths["finished"])
    return pd.concat([over_depths.drop(columns="planned"), of_depth.drop(columns="num_layers")], ignore_index=True)


def shown(cells: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    has_mean = cells["num_finished"] > 0
    return pd.DataFrame(
        {
            "scope": cells["scope"],
            "control": cells["control"].map(controls.label),
            "samples": cells["num_disambiguation"].astype("string"),
            "n finished / planned": cells["num_finished"].astype("string")
            + " / "
            + cells["num_planned"].astype("string"),
            "test accuracy": [
                decimal(value) if finished else MISSING for value, finished in zip(cells["mean"], has_mean, strict=True)
            ],
            "95% interval": list(map(interval, cells["interval_low"], cells["interval_high"])),
            f"gap to {REFERENCE}": list(map(signed, cells["gap_mean"])),
            "gap's 95% interval": list(map(interval, cells["gap_low"], cells["gap_high"])),
            "pairs": cells["gap_num_pairs"].astype("string").fillna(DASH),
            "p": list(map(probability, cells["gap_p"])),
            "smallest possible p": list(map(probability, cells["gap_smallest_p"])),
            "published": list(map(decimal, cells["published_accuracy"])),
            "published runs": cells["published_runs"].astype("string").fillna(DASH),
            "minus published": list(map(signed, cells["difference_from_published"])),
            "published in": cells["published_source"].fillna(DASH),
        }
    )


def panels(cells: pd.DataFrame) -> list[tuple[str, str]]:
    """The figure's panels as (depths, title): the mean over depths and the deepest depth, where a cell has finished."""
    depths = sorted(set(cells.loc[cells["num_finished"] > 0, "depths"]), key=lambda each: each.split(",")[-1].zfill(9))
    means = [(each, f"Mean over depths {each.replace(',', ', ')}") for each in depths if "," in each]
    single = [(each, f"Depth {each}") for each in depths if "," not in each]
    return [*means, *single[-1:]]


def gaps(cells: pd.DataFrame) -> list[str]:
    """Sentences that say where the means over seeds stand on fewer seeds than planned, or on one."""
    single = cells[cells["scope"] != MEAN_OVER_DEPTHS]
    partial = single[(single["num_finished"] < single["num_planned"]) & (single["num_finished"] > 0)]
    absent = single[single["num_finished"] == 0]
    said = []
    if len(absent):
        said.append(f"{len(absent):,} of {len(single):,} cells of the table have no finished seed and show as missing.")
    if len(partial):
        said.append(f"{len(partial):,} of {len(single):,} cells stand on fewer seeds than planned: n tells for each.")
    if (single["num_finished"] == 1).any():
        said.append("Cells of one seed have no interval.")
    return said


def replication(rows: pd.DataFrame) -> str:
    """A sentence that says over what the seeds of a cell vary: donors, masks, or the training of recipients alone."""
    given = transfers(rows)
    num_donors, num_masks, num_seeds = (
        int(given.groupby("num_layers")[name].nunique().max()) if len(given) else 0
        for name in ("donor_seed", "mask_seed", "seed")
    )
    return (
        f"Per depth there are {num_donors} donor seed(s), {num_masks} mask seed(s) and {num_seeds} transfer seed(s): "
        "an interval speaks of what varied between its seeds and of nothing else."
    )


def _means(accuracies: pd.DataFrame) -> pd.DataFrame:
    means = [
        {**dict(zip(CELL, key, strict=True)), **_mean(cell)} for key, cell in accuracies.groupby(CELL)["test_accuracy"]
    ]
    return pd.DataFrame(means, columns=[*CELL, "num_planned", *MEAN])


def _mean(cell: pd.Series) -> dict[str, object]:
    values = cell.dropna().to_numpy(float)
    found = t_interval(values)
    return {
        "num_planned": len(cell),
        "num_finished": values.size,
        "mean": float(values.mean()) if values.size else None,
        "interval_low": found and found.low,
        "interval_high": found and found.high,
        "interval_method": found and found.method,
    }


def _gaps(accuracies: pd.DataFrame) -> pd.DataFrame:
    """The paired difference to the reference, for the cells of other controls that have at least one pair."""
    is_reference = accuracies["control"] == REFERENCE
    shared = ["depths", "num_disambiguation", "seed"]
    reference = accuracies.loc[is_reference, [*shared, "test_accuracy"]]
    pairs = accuracies[~is_reference].merge(reference, on=shared, suffixes=("", "_reference"))
    pairs["difference"] = pairs["test_accuracy"] - pairs["test_accuracy_reference"]
    pairs = pairs[pairs["difference"].notna()]
    gaps = [
        {**dict(zip(CELL, key, strict=True)), **_gap(paired_difference(cell.to_numpy(float)))}
        for key, cell in pairs.groupby(CELL)["difference"]
    ]
    return pd.DataFrame(gaps, columns=[*CELL, *(name for name in COLUMNS if name.startswith("gap_"))])


def _gap(found: PairedDifference | None) -> dict[str, object]:
    assert found is not None, "a group has at least one pair"
    return {
        "gap_num_pairs": found.num_pairs,
        "gap_mean": found.mean,
        "gap_low": found.interval and found.interval.low,
        "gap_high": found.interval and found.interval.high,
        "gap_p": found.p,
        "gap_smallest_p": found.smallest_p,
        "gap_p_method": found.p_method,
    }


def _published(given: pd.DataFrame) -> pd.DataFrame:
    points = published.accuracies()
    return points if published.is_comparable(given) else points.iloc[:0]


def _rank(column: pd.Series) -> pd.Series:
    """Sorts means over depths before single depths, depths by number, and controls in their order of listing."""
    match column.name:
        case "depths":
            return column.map(lambda depths: -1 if "," in depths else int(depths))
        case "control":
            order = controls.ordered(column)
            return column.map(order.index)
        case _:
            return column


def _check_one_setting(given: pd.DataFrame) -> None:
    for name in SETTING:
        values = sorted(given[name].dropna().unique().tolist())
        if len(values) > 1:
            raise ValueError(
                f"{name} has the values {values[:5]}: figure 3 shows one setting, so export one of them alone"
            )
    key = ["control", "num_layers", "num_disambiguation", "seed"]
    twice = given[given.duplicated(key, keep=False)]
    if not twice.empty:
        first = twice[(twice[key] == twice[key].iloc[0]).all(axis=1)]
        differing = [name for name in ("donor_seed", "mask_seed", "grid", "run_id") if first[name].nunique() > 1]
        cell = ", ".join(f"{name} = {first[name].iloc[0]}" for name in key)
        raise ValueError(
            f"{differing[0]} differs between rows of {cell}: figure 3 takes one run of each, so export one alone"
        )
