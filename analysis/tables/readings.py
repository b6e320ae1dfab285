"""Which rule a recipient follows while it learns: how far its answers agree with each reading of the ambiguous data.

A recipient that has seen pairs (a, a) only cannot tell a² + ab from 2a² or 2b². The agreement with the rule itself is
the validation accuracy. Readings agree with each other on some samples, so the shares do not add up to 1.
"""

import pandas as pd

from analysis.rows import controls, settings
from analysis.rows.seeds import of_seeds
from analysis.rows.wording import DASH, decimal

CELL = ["control", "num_disambiguation"]
COLUMNS = [*CELL, "reading", "epoch", "agreement", "lowest", "highest", "num_runs"]


def table(readings: pd.DataFrame) -> pd.DataFrame:
    """One row per control, number of samples, reading and epoch, from `load.readings`, with the columns COLUMNS.

    `agreement` is the mean over seeds, the runs of one seed being averaged first; `lowest` and `highest` are those of a
    single seed. An epoch is here if every run of its cell has it.
    """
    if readings.empty:
        return pd.DataFrame(columns=COLUMNS)
    seeds = of_seeds(readings, key=[*CELL, "reading"], value="agreement")
    grouped = seeds.groupby([*CELL, "reading", "epoch"], as_index=False, observed=True)
    means = grouped.agg(
        mean=("agreement", "mean"),
        lowest=("agreement", "min"),
        highest=("agreement", "max"),
        num_runs=("num_runs", "sum"),
    ).rename(columns={"mean": "agreement"})
    whole = means["num_runs"] == means.groupby([*CELL, "reading"], observed=True)["num_runs"].transform("max")
    texts = {"control": pd.StringDtype(), "reading": pd.StringDtype()}
    return means.loc[whole, COLUMNS].astype(texts).reset_index(drop=True)


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """A row per control, number of samples and one of a few epochs, a column per reading, and the one that leads."""
    if found.empty:
        return pd.DataFrame(columns=["control", "samples", "epoch", "n", "leads"])
    varied = [name for name in settings.SETTINGS if name in found.columns]
    chosen = found[found["epoch"].isin(_few(sorted(set(found["epoch"]))))]
    chosen = chosen.astype(dict.fromkeys(varied, "object")).fillna(dict.fromkeys(varied, DASH))
    wide = chosen.pivot_table(
        index=[*varied, *CELL, "epoch", "num_runs"], columns="reading", values="agreement", observed=True
    )
    keys = wide.index.to_frame(index=False)
    order = keys.assign(place=keys["control"].map(controls.ordered(keys["control"]).index))
    order = order.sort_values([*varied, "place", "num_disambiguation", "epoch"])
    wide, keys = wide.iloc[order.index], keys.loc[order.index]
    return pd.DataFrame(
        {
            **{settings.SETTINGS[name]: [settings.worded(value) for value in keys[name]] for name in varied},
            "control": keys["control"].map(controls.label).to_list(),
            "samples": keys["num_disambiguation"].astype("string").to_list(),
            "epoch": keys["epoch"].astype("string").to_list(),
            "n": keys["num_runs"].astype("string").to_list(),
            **{f"as {reading}": [decimal(value) for value in wide[reading]] for reading in wide.columns},
            "leads": wide.idxmax(axis=1).to_list(),
        }
    )


def _few(epochs: list[int]) -> list[int]:
    """The first epoch, about a tenth and a third of the way, and the last."""
    return sorted({epochs[int(share * (len(epochs) - 1))] for share in (0, 0.1, 0.33, 1)})
