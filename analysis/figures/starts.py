"""Figures of any task: the means of starts with their seeds, against an axis of numbers or side by side; training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    STYLES,
    Style,
    count,
    draw_chance,
    grid,
    headline,
    look,
    nothing,
    styles,
    swatch,
)

MOST_COLUMNS = 4
LETTERS_PER_INCH = 14
"""Of a legend."""
LONGEST_SCALE = 20
"""An axis whose largest value is this many times its smallest above 0 is drawn on a logarithmic scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel: its heading, the rows of the table of starts, and each seed's value as start and measured.

    Of training, `table` has start, epoch, mean and num_runs, and there are no points. `chance` is what constant answers
    get right.
    """

    heading: str
    table: pd.DataFrame
    points: pd.DataFrame
    chance: tuple[float, ...] = ()


def looks_of(starts: Sequence[str]) -> dict[str, Style]:
    """A style for each start: that of its control where it has the control's name alone."""
    by_control = styles([start.replace(" ", "_") for start in starts])
    return {start: STYLES.get(start.replace(" ", "_")) or by_control[start.replace(" ", "_")] for start in starts}


def draw_means(panels: Sequence[Panel], *, starts: Sequence[str], measure: str, title: str) -> Figure:
    """Side by side: a line per start with a point per seed, the mean in black and its interval."""
    looks = looks_of(starts)
    columns, lines = _shape(len(panels))
    with look():
        size = (max(5.6, 3.2 * columns + 1.6), lines * (0.34 * len(starts) + 1.3) + 0.4)
        figure = Figure(figsize=size, layout="constrained")
        if not starts:
            nothing(figure, "no recipient is planned")
            return figure
        axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()
        for each, panel in zip(axes, panels, strict=False):
            _means(each, panel, looks)
            each.set_title(panel.heading, fontsize=9, fontweight="normal")
        _hide_rest(axes, len(panels), columns)
        axes[0].set_yticks(range(len(starts)), starts)
        axes[0].set_ylim(len(starts) - 0.4, -0.6)
        figure.supxlabel(f"{measure}\npoint: a seed; bar: mean; line: 95% t interval; n: seeds", fontsize=9)
        headline(figure, title)
    return figure


def _means(axes: Axes, panel: Panel, looks: Mapping[str, Style]) -> None:
    for place, (start, style) in enumerate(looks.items()):
        points = panel.points.loc[panel.points["start"] == start, "measured"].dropna().to_numpy(float)
        spread = place + (np.linspace(-0.16, 0.16, len(points)) if len(points) > 1 else np.zeros(len(points)))
        axes.plot(points, spread, style.marker, color=style.color, markersize=4, alpha=0.75)
    for cell in panel.table.dropna(subset="mean").to_dict("records"):
        place = list(looks).index(cell["start"])
        axes.plot(cell["mean"], place, "|", color="#000000", markersize=12, markeredgewidth=2, zorder=6)
        if not pd.isna(cell["low"]):
            axes.plot((cell["low"], cell["high"]), (place, place), color="#000000", linewidth=1, zorder=5)
        label = f"n = {cell['num_seeds']}"
        axes.text(1.01, place, label, transform=axes.get_yaxis_transform(), fontsize=6.5, va="center", color="#555555")
    for level in panel.chance:
        axes.axvline(level, color="#555555", linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
        across = axes.get_xaxis_transform()
        axes.text(level, 0.01, f" chance {level:.3g}", transform=across, fontsize=6.5, color="#555555", va="bottom")
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)


def draw_against(
    panels: Sequence[Panel], *, starts: Sequence[str], axis: tuple[str, str], measure: str, title: str
) -> Figure:
    """Means against an axis of numbers, given by its column and its name in words, with their intervals."""
    looks, (column, axis_words) = looks_of(starts), axis
    num_columns, lines = _shape(len(panels))
    with look():
        size = (max(6.2, 3.2 * num_columns + 1.2), 2.7 * lines + 1.6)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(lines, num_columns, sharex=True, sharey=True, squeeze=False).flatten()
        values = sorted({float(each) for panel in panels for each in panel.table[column].dropna()})
        for each, panel in zip(axes, panels, strict=False):
            _lines(each, panel, looks, column)
            draw_chance(each, panel.chance)
            each.set_title(panel.heading, fontsize=9, fontweight="normal")
            _scale(each, values)
        _hide_rest(axes, len(panels), num_columns)
        _label_lowest(axes, len(panels), num_columns, f"{axis_words}\nline: mean over seeds; area: 95% t interval")
        for first in axes[::num_columns]:
            first.set_ylabel(measure)
        _legend(figure, looks, [panel.table for panel in panels], "num_seeds")
        headline(figure, title)
    return figure


def _lines(axes: Axes, panel: Panel, looks: Mapping[str, Style], column: str) -> None:
    for start, style in looks.items():
        cells = panel.table[(panel.table["start"] == start) & panel.table["mean"].notna()].sort_values(column)
        along, means = cells[column].to_numpy(float), cells["mean"].to_numpy(float)
        low, high = (cells[name].fillna(cells["mean"]).to_numpy(float) for name in ("low", "high"))
        axes.fill_between(along, low, high, color=style.color, alpha=0.12, linewidth=0)
        shape: dict[str, Any] = {"color": style.color, "linewidth": style.linewidth, "marker": style.marker}
        axes.plot(along, means, zorder=style.zorder, markersize=4, **shape)
    grid(axes)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic scale where the numbers span much, linear about 0 where they have it."""
    above = [value for value in values if value > 0]
    if len(above) < 2 or above[-1] < LONGEST_SCALE * above[0] or values[0] < 0:
        return
    if values[0] > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=above[0])
    axes.set_xticks(values, [f"{value:,g}" for value in values])
    axes.minorticks_off()


def draw_training(panels: Sequence[Panel], *, starts: Sequence[str], measure: str, title: str) -> Figure:
    """Mean curves over epochs, a line per start."""
    looks = looks_of(starts)
    columns, lines = _shape(len(panels))
    with look():
        figure = Figure(figsize=(max(5.6, 2.8 * columns + 0.8), 2.3 * lines + 1.2), layout="constrained")
        if not starts:
            nothing(figure, "no recipient has finished")
            return figure
        axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()
        for each, panel in zip(axes, panels, strict=False):
            for start, curve in panel.table.groupby("start", sort=False):
                style = looks[str(start)]
                each.plot(curve["epoch"], curve["mean"], color=style.color, linewidth=0.75 * style.linewidth)
            draw_chance(each, panel.chance, size=6.0)
            each.set_title(panel.heading, fontsize=9, fontweight="normal")
            grid(each)
        _hide_rest(axes, len(panels), columns)
        _label_lowest(axes, len(panels), columns, "epoch\nline: mean over finished runs")
        for first in axes[::columns]:
            first.set_ylabel(measure)
        _legend(figure, looks, [panel.table for panel in panels], "num_runs")
        headline(figure, title)
    return figure


def _shape(num_panels: int) -> tuple[int, int]:
    columns = min(MOST_COLUMNS, max(1, num_panels))
    return columns, max(1, ceil(num_panels / columns))


def _label_lowest(axes: Any, num_panels: int, columns: int, text: str) -> None:
    """Label the lowest panel of every column."""
    for place in range(max(0, num_panels - columns), num_panels):
        axes[place].set_xlabel(text)


def _hide_rest(axes: Any, num_panels: int, columns: int) -> None:
    for place in range(num_panels, len(axes)):
        axes[place].set_visible(False)
        if place >= columns:
            axes[place - columns].tick_params(labelbottom=True)


def _legend(figure: Figure, looks: Mapping[str, Style], tables: Sequence[pd.DataFrame], number: str) -> None:
    """The starts with their numbers of seeds or runs, in as many columns as the width has room for."""
    whole = pd.concat(tables)
    nums = {start: whole.loc[(whole["start"] == start) & (whole[number] > 0), number] for start in looks}
    known = {start: each for start, each in nums.items() if len(each)}
    if known:
        labels = [f"{start} ({count(int(each.min()), int(each.max()))})" for start, each in known.items()]
        handles = [swatch(looks[start], with_marker=number == "num_seeds") for start in known]
        most = max(1, int(figure.get_figwidth() * LETTERS_PER_INCH / (max(map(len, labels)) + 7)))
        figure.legend(handles, labels, loc="outside lower center", ncols=min(most, len(labels)), columnspacing=1.6)
