"""Training of recipients of any task: their validation curves, means over runs."""

from functools import partial

import numpy as np
import pandas as pd

from analysis.elements.section import Content, Picture, Results, Section
from analysis.figures import starts as picture
from analysis.figures.starts import Panel
from analysis.rows import controls, settings
from analysis.rows.recipients import CURVES, curves
from analysis.sections.starts import MOST_PANELS, level


def means(curves: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """Mean curves: one row per setting, start and epoch that every finished run of the cell has; mean and num_runs."""
    cell = [*axes, "start"]
    grouped = curves.groupby([*cell, "epoch"], as_index=False, dropna=False)
    found = grouped.agg(mean=("value", "mean"), num_runs=("run_id", "nunique"))
    if found.empty:
        return found
    whole = found["num_runs"] == found.groupby(cell, dropna=False)["num_runs"].transform("max")
    return found[whole].reset_index(drop=True).astype({"mean": np.float64})


def content(results: Results) -> Content | None:
    """One picture, a panel for each setting; nothing where no recipient has a curve."""
    given = results.compared
    if given.rows.empty:
        return None
    name, several = curves(results.path, given)
    found = means(several, given.axes)
    if found.empty:
        return None
    measure = "test_accuracy" if name == "validation_accuracy" else "test_loss"
    panels = []
    for each in settings.settings(found, given.axes)[:MOST_PANELS]:
        values = {axis: value for axis, value in each.values.items() if value is not None}
        levels = level(given.rows[settings.agrees(given.rows, values)], measure)
        panels.append(Panel(heading=each.title, table=each.rows, points=found.iloc[:0], chance=levels))
    names = controls.ordered(found["start"])
    draw = partial(picture.draw_training, panels, starts=names, measure=CURVES[name], title="Training of recipients")
    one = Picture(
        name="any_training",
        draw=draw,
        title=f"{CURVES[name].capitalize()} over epochs",
        description="Mean over the finished runs of a cell, as far as all of them have trained.",
    )
    return Content(pictures=[one])


SECTION = Section(name="any_training", title="Training", place=410, of="others", content=content)
