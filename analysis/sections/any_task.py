"""Sections of any task and network: which start wins, coverage, training, donors and masks; and measurements."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.figures import starts as pictures
from analysis.figures.starts import Panel
from analysis.rows import recipients as any_task
from analysis.rows.recipients import CURVES, MEASURES, Comparison
from analysis.rows.wording import listed
from analysis.sections.parts import Picture, Section, Sheet
from analysis.statistics import LEVEL
from analysis.tables import any_coverage, measurements, parents, starts

FEWEST_VALUES = 3
"""Of an axis of numbers for a picture against it."""

MOST_PANELS = 12

METHODS = (
    "Recipients of a task are compared by its test accuracy, or by its test loss where it measures no accuracy.",
    "Tests are measured once, at the kept epoch; the runs of a seed are averaged, so that every seed counts once.",
    f"Intervals of a mean are Student's t intervals over seeds, {LEVEL:.0%} nominal; one seed gives none (–).",
    "Differences are the reference start minus another, paired by seed within a setting.",
    "A seed has a pair once all its runs of both starts have finished.",
    "Their p is two-sided, from flipping the signs of the pairs; it cannot fall below the smallest possible p.",
    "Holm's p is corrected for all differences of the table; intervals are not corrected.",
    "A run that lacks what tells settings apart, such as a start without a mask, stands in every setting.",
)


def sections(path: Path, rows: pd.DataFrame) -> Iterator[Section]:
    """All of them, in order, each as soon as it is made."""
    given = any_task.compared(rows)
    yield from _starts(given)
    yield _coverage(rows, given)
    yield from _training(path, given)
    yield from _parents(rows)


def experiment(rows: pd.DataFrame) -> str:
    """What recipients learn, in words; empty without any."""
    given = rows[rows["stage"] == "transfer"]
    if given.empty:
        return ""
    tasks, networks = (listed(sorted(set(given[name].dropna()))) for name in ("task", "model"))
    starts_worded = f"{given['control'].nunique()} start(s), {given['seed'].nunique()} seed(s)"
    return f"Recipients learn {tasks}; network {networks}; {starts_worded}."


def _starts(given: Comparison) -> Iterator[Section]:
    if given.rows.empty:
        return
    found = starts.table(given)
    measures = [str(each) for each in dict.fromkeys(found["measure"].dropna())]
    yield Section(
        name="starts",
        title="Which start wins",
        sentences=tuple(starts.sentences(found, given)),
        pictures=tuple(
            _means(given, found, measure, ending="" if len(measures) == 1 else f"-{measure}") for measure in measures
        ),
        sheet=Sheet(
            numbers=found,
            shown=starts.shown(found, given),
            caption="Means over seeds; differences are paired by seed. Finished and planned count runs.",
        ),
    )


def _means(given: Comparison, found: pd.DataFrame, measure: str, *, ending: str) -> Picture:
    """Against the axis of numbers with the most values, or side by side."""
    table = found[found["measure"] == measure]
    rows = given.rows[given.rows["measure"] == measure]
    names = any_task.in_order(table["start"].to_list(), given.reference)
    axis = _numeric_axis(table, given.axes)
    kept = [name for name in given.axes if name != axis]
    several = any_task.parts(table, kept)[:MOST_PANELS]
    panels = [
        Panel(heading=any_task.where(values), table=part, points=_points(rows, values), chance=_chance(part, measure))
        for values, part in several
    ]
    title = f"{MEASURES[measure].capitalize()} by start"
    what: dict[str, Any] = {"starts": names, "measure": MEASURES[measure], "title": title}
    if axis is None:
        draw = partial(pictures.draw_means, panels, **what)
        told = "A point per seed, a bar per mean with its interval."
    else:
        draw = partial(pictures.draw_against, panels, axis=(axis, any_task.words(axis)), **what)
        told = f"A line per start against {any_task.words(axis)}, with the interval of its mean."
    more = f" The first {MOST_PANELS} settings." if len(any_task.parts(table, kept)) > MOST_PANELS else ""
    return Picture(name=f"starts{ending}", draw=draw, title=title, description=told + more)


def _numeric_axis(table: pd.DataFrame, axes: list[str]) -> str | None:
    numbers = [name for name in axes if pd.api.types.is_numeric_dtype(table[name].dtype) or _are_numbers(table[name])]
    counts = {name: table[name].nunique() for name in numbers}
    longest = max(counts, key=lambda name: counts[name], default=None)
    return longest if longest is not None and counts[longest] >= FEWEST_VALUES else None


def _are_numbers(values: pd.Series) -> bool:
    return all(isinstance(each, int | float) and not isinstance(each, bool) for each in values.dropna())


def _points(rows: pd.DataFrame, values: dict[str, Any]) -> pd.DataFrame:
    """Each seed's value in a setting."""
    own = rows[any_task.agrees(rows, values) & (rows["status"] == "finished")]
    return own.groupby(["start", "seed"], as_index=False).agg(measured=("measured", "mean"))


def _chance(part: pd.DataFrame, measure: str) -> tuple[float, ...]:
    levels = part["chance_accuracy"].dropna().unique() if measure == "test_accuracy" else ()
    return tuple(sorted(float(level) for level in levels)) if len(levels) == 1 else ()


def _coverage(rows: pd.DataFrame, given: Comparison) -> Section:
    found = any_coverage.table(rows, given)
    return Section(
        name="any_coverage",
        title="Coverage",
        sentences=tuple(any_coverage.sentences(found)),
        sheet=Sheet(numbers=found, shown=any_coverage.shown(found), caption="Planned cells by status."),
    )


def _training(path: Path, given: Comparison) -> Iterator[Section]:
    if given.rows.empty:
        return
    name, curves = any_task.curves(path, given)
    means = starts.training(curves, given.axes)
    names = any_task.in_order(means["start"].to_list(), given.reference) if len(means) else []
    measure = "test_accuracy" if name == "validation_accuracy" else "test_loss"
    panels = [
        Panel(heading=any_task.where(values), table=part, points=means.iloc[:0], chance=_level(given, values, measure))
        for values, part in any_task.parts(means, given.axes)[:MOST_PANELS]
    ]
    picture = Picture(
        name="any_training",
        draw=partial(
            pictures.draw_training, panels, starts=names, measure=CURVES[name], title="Training of recipients"
        ),
        title=f"{CURVES[name].capitalize()} over epochs",
        description="Mean over the finished runs of a cell, as far as all of them have trained.",
    )
    yield Section(name="any_training", title="Training", pictures=(picture,))


def _level(given: Comparison, values: dict[str, Any], measure: str) -> tuple[float, ...]:
    return _chance(given.rows[any_task.agrees(given.rows, values)], measure)


def _parents(rows: pd.DataFrame) -> Iterator[Section]:
    found = parents.table(rows)
    if len(found):
        yield Section(
            name="parents",
            title="Donors and masks",
            sheet=Sheet(
                numbers=found,
                shown=parents.shown(found),
                caption="What recipients descend from: means over finished runs, with intervals.",
            ),
        )


def measured(found: pd.DataFrame) -> Iterator[Section]:
    """The section of runs that measure finished networks; none where none is planned."""
    if found.empty:
        return
    made = measurements.table(found)
    yield Section(
        name="measurements",
        title="Measurements",
        sheet=Sheet(
            numbers=made,
            shown=measurements.shown(made),
            caption="What finished networks were asked, by what they started from: means over runs.",
        ),
    )
