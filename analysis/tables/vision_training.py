"""Training of image classifiers: accuracy on original and on mean-pooled images over epochs, means over runs."""

import pandas as pd

from analysis.rows import images as vision
from analysis.rows.wording import decimal
from analysis.tables.table_1 import settings_shown

SHARES_SHOWN = (0, 0.1, 0.33, 0.66, 1)


def table(curves: pd.DataFrame, *, settings: list[str]) -> pd.DataFrame:
    """One row per model, start, evaluation set and epoch, after the settings: …, mean, num_runs.

    An epoch is here only if every finished run of its cell has it, so that a curve is a mean over the same runs from
    end to end.
    """
    cell = [*settings, "model", "start", "evaluation_set"]
    grouped = curves.groupby([*cell, "epoch"], as_index=False, dropna=False)
    means = grouped.agg(mean=("accuracy", "mean"), num_runs=("run_id", "nunique"))
    if means.empty:
        return means
    whole = means["num_runs"] == means.groupby(cell, dropna=False)["num_runs"].transform("max")
    order = vision.in_order(means["start"].to_list())
    found = means[whole].astype({"model": pd.StringDtype(), "start": pd.StringDtype()})
    by_start = found["start"].map(order.index)
    return (
        found.assign(order=by_start)
        .sort_values([*settings, "model", "order"], kind="stable")
        .drop(columns="order")
        .reset_index(drop=True)
    )


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """A row per model, start and evaluation set, a column for each of a few epochs."""
    settings = [name for name in vision.SETTINGS if name in found.columns]
    key = [*settings, "model", "start", "evaluation_set", "num_runs"]
    epochs = sorted(set(found["epoch"]))
    few = sorted({epochs[int(share * (len(epochs) - 1))] for share in SHARES_SHOWN}) if epochs else []
    cells = {of: cell.set_index("epoch")["mean"] for of, cell in found.groupby(key, dropna=False, sort=False)}
    keys = pd.DataFrame(list(cells), columns=key)
    return pd.DataFrame(
        {
            **settings_shown(keys),
            "model": keys["model"],
            "start": keys["start"],
            "images": keys["evaluation_set"].map(vision.SETS),
            "n": keys["num_runs"].astype("string"),
            **{f"epoch {epoch:g}": [decimal(cell.get(epoch)) for cell in cells.values()] for epoch in few},
        }
    )
