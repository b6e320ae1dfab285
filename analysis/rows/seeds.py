"""One value a seed: the runs of a seed are averaged first, so that every seed counts once."""

import pandas as pd

MEAN_OVER_DEPTHS = "mean over depths"

RUN = ["control", "num_layers", "num_disambiguation", "seed"]
"""Transfers of one combination that are alike in these are replicates."""


def of_seeds(curves: pd.DataFrame, *, key: list[str], value: str) -> pd.DataFrame:
    """One row per key, seed and epoch: the mean of `value` over the seed's runs, and their number as num_runs.

    Where no seed has several runs, which one epoch of one curve tells, the rows are taken as they are.
    """
    if curves.empty:
        return curves.assign(num_runs=pd.Series(dtype="int64"))
    first = curves[curves["epoch"] == curves["epoch"].iloc[0]]
    if not first.duplicated([*key, "seed"]).any():
        return curves[[*key, "seed", "epoch", value]].assign(num_runs=1)
    grouped = curves.groupby([*key, "seed", "epoch"], as_index=False, observed=True, sort=False)
    return grouped.agg(**{value: (value, "mean"), "num_runs": (value, "count")})


def seed_accuracies(given: pd.DataFrame) -> pd.DataFrame:
    """One row per scope, control, number of samples and seed, with num_planned, num_finished and test_accuracy.

    The accuracy is the mean over the seed's finished runs. The scope of the mean over depths is there if several depths
    are planned; it has as many runs as the depth of fewest.
    """
    marked = given[[*RUN, "test_accuracy"]].assign(finished=given["status"] == "finished")
    marked["test_accuracy"] = marked["test_accuracy"].where(marked["finished"])
    of_depth = marked.groupby(RUN, as_index=False, sort=False).agg(
        num_planned=("finished", "size"), num_finished=("finished", "sum"), test_accuracy=("test_accuracy", "mean")
    )
    of_depth["depths"] = of_depth["num_layers"].astype("string")
    depths = sorted(set(of_depth["num_layers"]))
    if len(depths) < 2:
        return of_depth.drop(columns="num_layers")
    grouped = of_depth.groupby(["control", "num_disambiguation", "seed"], as_index=False)
    over_depths = grouped.agg(
        planned_depths=("num_layers", "nunique"),
        num_planned=("num_planned", "min"),
        num_finished=("num_finished", "min"),
        test_accuracy=("test_accuracy", "mean"),
    )
    over_depths = over_depths[over_depths["planned_depths"] == len(depths)].assign(depths=",".join(map(str, depths)))
    over_depths["test_accuracy"] = over_depths["test_accuracy"].where(over_depths["num_finished"] > 0)
    return pd.concat(
        [over_depths.drop(columns="planned_depths"), of_depth.drop(columns="num_layers")], ignore_index=True
    )
