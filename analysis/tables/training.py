"""The table of training: validation accuracy over epochs, a mean over seeds for each control and number of samples."""

import pandas as pd

from analysis import controls

CELL = ["control", "num_disambiguation"]


def table(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per control, number of samples and epoch: control, num_disambiguation, epoch, mean, num_seeds.

    `curves` has a row per run and epoch. An epoch is here only if every finished run of its cell has it, so that a
    curve is a mean over the same runs from end to end.
    """
    grouped = curves.groupby([*CELL, "epoch"], as_index=False, observed=True)
    means = grouped.agg(mean=("validation_accuracy", "mean"), num_seeds=("validation_accuracy", "count"))
    whole = means["num_seeds"] == means.groupby(CELL)["num_seeds"].transform("max")
    return means[whole].reset_index(drop=True)


def num_seeds(training: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """For each control the fewest and the most seeds behind one of its curves, in the order of listing."""
    grouped = training.groupby("control")["num_seeds"]
    fewest, most = ({str(key): int(num) for key, num in each.items()} for each in (grouped.min(), grouped.max()))
    return {control: (fewest[control], most[control]) for control in controls.ordered(most)}
