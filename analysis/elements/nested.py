"""Training seeds nested in mask draws: the interval of a cell when both are random.

Runs from one mask, or one donor, share what that draw was; a t interval over all of them takes them as independent.
Where a cell has several draws and one of them several runs, whole draws are resampled first, then the runs within each.
"""

import numpy as np
import pandas as pd

from analysis.statistics import hierarchical_interval

SEED = 0
"""Of the draws: the same rows give the same table."""

COLUMNS = {"num_draws": "Int64", "nested_low": "Float64", "nested_high": "Float64"}
"""`num_draws` counts the masks or donors behind a cell of nested runs; all are absent for other cells."""


def table(given: pd.DataFrame, *, cell: list[str]) -> pd.DataFrame:
    """One row per cell of one depth with nested finished runs: depths, the rest of `cell`, and COLUMNS.

    The interval is of the mean over draws of the mean over their runs.
    """
    finished = given[(given["status"] == "finished") & given["parent_id"].notna()]
    sizes = finished.groupby(["num_layers", "control", "num_disambiguation", "parent_id"]).size()
    by_cell = sizes.groupby(level=[0, 1, 2]).agg(["size", "max"])
    nested = by_cell[(by_cell["size"] > 1) & (by_cell["max"] > 1)].index
    rows = []
    for key, runs in finished.groupby(["num_layers", "control", "num_disambiguation"]):
        if key in nested:
            groups = [group.to_numpy(float) for _, group in runs.groupby("parent_id")["test_accuracy"]]
            found = hierarchical_interval(groups, generator=np.random.default_rng(SEED))
            assert found is not None
            depth, control, num = key
            rows.append((str(depth), control, num, len(groups), found.low, found.high))
    return pd.DataFrame(rows, columns=[*cell, *COLUMNS])
