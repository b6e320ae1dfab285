"""The table of training: validation accuracy over epochs, a mean over seeds for each control and number of samples."""

import pandas as pd

from analysis.rows import controls, settings
from analysis.rows.seeds import of_seeds
from analysis.rows.wording import decimal

CELL = ["control", "num_disambiguation"]


def table(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per control, number of samples and epoch: control, num_disambiguation, epoch, mean, num_runs.

    `curves` has a row per run and epoch. The runs of one seed are averaged first, then the seeds. An epoch is here only
    if every finished run of its cell has it, so that a curve is a mean over the same runs from end to end.
    """
    seeds = of_seeds(curves, key=CELL, value="validation_accuracy")
    grouped = seeds.groupby([*CELL, "epoch"], as_index=False, observed=True)
    means = grouped.agg(mean=("validation_accuracy", "mean"), num_runs=("num_runs", "sum"))
    whole = means["num_runs"] == means.groupby(CELL, observed=True)["num_runs"].transform("max")
    return means[whole].astype({"control": pd.StringDtype()}).reset_index(drop=True)


def shown(training: pd.DataFrame) -> pd.DataFrame:
    """A row per control and number of samples, a column for each of a few epochs."""
    epochs = sorted(set(training["epoch"]))
    few = sorted({epochs[int(share * (len(epochs) - 1))] for share in (0, 0.1, 0.33, 0.66, 1)}) if epochs else []
    varied = [name for name in settings.SETTINGS if name in training.columns]
    key = [*varied, "control", "num_disambiguation", "num_runs"]
    chosen = training[training["epoch"].isin(few)]
    cells = {tuple(key): cell.set_index("epoch")["mean"] for key, cell in chosen.groupby(key, dropna=False, sort=False)}
    keys = pd.DataFrame(list(cells), columns=key)
    return pd.DataFrame(
        {
            **settings.shown(keys),
            "control": keys["control"].map(controls.label),
            "samples": keys["num_disambiguation"].astype("string"),
            "n": keys["num_runs"].astype("string"),
            **{f"epoch {epoch}": [decimal(cell.get(epoch)) for cell in cells.values()] for epoch in few},
        }
    )


def num_runs(training: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """For each control the fewest and the most runs behind one of its curves, in the order of listing."""
    grouped = training.groupby("control")["num_runs"]
    fewest, most = ({str(key): int(num) for key, num in each.items()} for each in (grouped.min(), grouped.max()))
    return {control: (fewest[control], most[control]) for control in controls.ordered(most)}
