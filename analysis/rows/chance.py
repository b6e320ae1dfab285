"""Chance: what a constant answer gets right, from the column `chance_accuracy` of result rows."""

import pandas as pd


def levels(rows: pd.DataFrame) -> tuple[float, ...]:
    """The distinct chances of the rows, ascending; none where the column is absent or empty.

    Rows of several rules have several.
    """
    if "chance_accuracy" not in rows.columns:
        return ()
    return tuple(sorted({float(value) for value in rows["chance_accuracy"].dropna()}))
