"""Curves of seeds: the runs of one seed are averaged first, so that every seed counts once."""

import pandas as pd


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
