"""What a notebook asks of rows: how the starts compare, by how much the subnetwork is ahead of each, and a figure.

Each function takes the path of a file of rows, or the rows as `load` gives them. Its numbers are those of the report's
section "Which start wins" (`analysis.sections.starts`); of image classifiers, test accuracy is that on original images.
"""

from os import PathLike

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.rows import images, recipients
from analysis.rows.load import load
from analysis.rows.recipients import HIGHER_IS_BETTER, Comparison
from analysis.rows.settings import ARITHMETIC
from analysis.sections import starts

Rows = str | PathLike[str] | pd.DataFrame

OF_ARITHMETIC = ("num_layers", "num_disambiguation", *ARITHMETIC)
OF_IMAGES = ("model", "held", "donor_kind", "mixture_share", *images.SETTINGS)
"""The columns that may tell the settings of recipients apart; of any other task, all that its rows have."""


def compare_starts(rows: Rows) -> pd.DataFrame:
    """A row per setting and start: the mean over seeds with its 95% interval, and the reference's lead over it.

    Columns: a column per axis (what varies, such as num_disambiguation), then those of `starts.COLUMNS`. Raises
    ValueError if there are no recipients, or those of several kinds of tasks.

    >>> table = compare_starts("results/figure-3-depth-2.parquet")
    >>> table.loc[table["start"] == "subnetwork", ["num_disambiguation", "mean", "num_seeds"]].values.tolist()[0]
    [10, 0.297, 1]
    """
    return starts.table(_comparison(rows))


def gaps(rows: Rows) -> pd.DataFrame:
    """How far the reference start (the subnetwork) is ahead of every other start, paired by seed.

    Columns: the axes, start, num_pairs, gap, low, high (95%), p, p_holm (corrected over the table). A positive gap
    means that the reference is better, also for a loss. low and high are absent with fewer than two pairs.
    """
    given = _comparison(rows)
    found = starts.table(given)
    others = found[found["start"] != given.reference].reset_index(drop=True)
    sign = others["measure"].map({name: 1 if higher else -1 for name, higher in HIGHER_IS_BETTER.items()})
    ends = others[["difference_low", "difference_high"]].mul(sign, axis="index")
    found_gaps = {
        "gap": others["difference"] * sign,
        "low": ends.min(axis="columns", skipna=False),
        "high": ends.max(axis="columns", skipna=False),
    }
    own = [*given.axes, "start", "num_pairs"]
    return pd.concat([others[own], pd.DataFrame(found_gaps), others[["p", "p_holm"]]], axis="columns")


def figure(rows: Rows) -> Figure:
    """The picture of the comparison: a line per start against the axis of numbers, or a bar per start without one.

    Of several measures, the first. A notebook shows what is returned; `savefig` writes it.
    """
    given = _comparison(rows)
    found = starts.table(given)
    return starts.pictured(given, found, str(found["measure"].iloc[0]), ending="").draw()


def _comparison(rows: Rows) -> Comparison:
    kinds = [_with_measure(rows)] if isinstance(rows, pd.DataFrame) else _read(rows)
    whole = [each for each in kinds if (each["stage"] == "transfer").any()]
    if not whole:
        raise ValueError("the rows have no recipients, so there are no starts to compare")
    if len(whole) > 1:
        raise ValueError("the rows are of several kinds of tasks: give a DataFrame with those of one")
    return recipients.compared(whole[0])


def _read(path: str | PathLike[str]) -> list[pd.DataFrame]:
    return [_with_measure(load(path)), _with_measure(images.rows(path)), recipients.rows(path)]


def _with_measure(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the columns that a comparison reads: what is measured, and what tells settings apart."""
    if "measured" in rows.columns:
        return rows
    is_image = "accuracy_original" in rows.columns
    axes = OF_IMAGES if is_image else OF_ARITHMETIC
    key = ["run_id", "stage", "status", "control", "seed", "chance_accuracy"]
    chosen = rows[[*key, *(name for name in axes if name in rows.columns)]]
    accuracy = rows["accuracy_original" if is_image else "test_accuracy"].astype("Float64")
    measure = pd.Series("test_accuracy", index=rows.index, dtype=pd.StringDtype())
    return chosen.assign(measure=measure, measured=accuracy.where(rows["status"] == "finished", np.nan))
