"""Test accuracy against the number of disambiguation samples, one line per control, in one panel or several.

The x axis is logarithmic; training without disambiguation samples stands at its left end behind a break, joined to no
line. Error bars are the table's intervals; a point without a bar has one seed. Published curves are dashed, and chance
is dotted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log10

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter
from matplotlib.transforms import blended_transform_factory

from analysis.figures.style import Style, draw_chance, grid, headline, legend_label, look, styles, swatch
from analysis.rows import controls

WIDTH_OF_PANEL = 5.4
WIDTH_OF_LEGEND = 2.6
HEIGHT = 5.2
DASHES = (0, (3, 2))
SPREAD = 0.16
WIDEST_SPREAD = 0.022
"""The controls of one sample count are spread, to each side, over this share of the distance to the next count, and at
most over this share of the axis, so that error bars stand side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The cells of one panel, from the table of figure 3, its published points and its chances, with their heading."""

    heading: str
    cells: pd.DataFrame
    points: pd.DataFrame
    chance: tuple[float, ...] = ()


def draw(panels: Sequence[Panel], *, names: Iterable[str], source: str, title: str, most_columns: int = 3) -> Figure:
    """The panels side by side, broken into lines after `most_columns`, with one legend.

    `names` are the controls, drawn or not, that the legend tells of. `title` stands over all panels; an empty one takes
    no room.
    """
    looks = styles(controls.ordered(names))
    columns = min(max(len(panels), 1), most_columns)
    lines = max(ceil(len(panels) / columns), 1)
    beside = len(panels) < 2
    width = WIDTH_OF_PANEL * min(columns, 2) * (1 if columns < 3 else 1.25) + (WIDTH_OF_LEGEND if beside else 0)
    height = HEIGHT - 0.8 if beside else (HEIGHT if lines == 1 else 3.4 * lines + 1.2)
    with look():
        figure = Figure(figsize=(width, height), layout="constrained")
        grids = figure.subplots(lines, columns, sharey=True, squeeze=False)
        places = list(grids.flatten())
        for axes, panel in zip(places, panels, strict=False):
            _panel(axes, panel.cells, panel.points[panel.points["control"].isin(looks)], looks)
            draw_chance(axes, panel.chance)
            axes.set_title(panel.heading)
        for axes in places[max(len(panels), 1) :]:
            axes.set_visible(False)
        if not panels:
            _nothing_finished(places[0])
        for line in grids:
            line[0].set_ylabel("test accuracy")
        entries = _entries(panels, looks, source=source, wrapped=beside)
        _legend(figure, entries, beside=beside)
        if title:
            headline(figure, title)
    return figure


def _entries(
    panels: Sequence[Panel], looks: dict[str, Style], *, source: str, wrapped: bool
) -> list[tuple[Line2D, str]]:
    drawn = [panel.cells for panel in panels if len(panel.cells)]
    finished = pd.concat(drawn) if drawn else pd.DataFrame({"num_finished": [], "control": []})
    entries = _control_entries(finished, looks)
    if any(len(panel.points) for panel in panels):
        entries.append(_published_entry(source, wrapped=wrapped))
    return entries


def _panel(axes: Axes, table: pd.DataFrame, points: pd.DataFrame, looks: dict[str, Style]) -> None:
    """One scope: the cells of its table that have finished, and its published points."""
    cells = table[table["num_finished"] > 0]
    samples = sorted({int(num) for num in [*table["num_disambiguation"], *points["num_disambiguation"]]})
    origin = set_samples_axis(axes, samples)
    for control, curve in points.groupby("control"):
        _published_line(axes, curve, looks[str(control)], origin)
    offsets = _offsets(list(looks), samples)
    for control, style in looks.items():
        offset = offsets[control]
        _line(axes, cells[cells["control"] == control], style, origin=origin * offset, offset=offset)
    axes.set_ylim(0, 1.03)
    axes.set_yticks(np.linspace(0, 1, 6))
    grid(axes)


def _line(axes: Axes, cells: pd.DataFrame, style: Style, *, origin: float, offset: float) -> None:
    """A line through the counts above 0, markers everywhere (0 at `origin`), bars where there is an interval."""
    samples, mean, low, high = (
        cells[name].to_numpy(float, na_value=np.nan)
        for name in ("num_disambiguation", "mean", "interval_low", "interval_high")
    )
    position = np.where(samples > 0, samples * offset, origin)
    above = samples > 0
    axes.plot(position[above], mean[above], color=style.color, linewidth=style.linewidth, zorder=style.zorder)
    axes.errorbar(
        position,
        mean,
        yerr=np.stack([mean - low, high - mean]),
        fmt=style.marker,
        color=style.color,
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        elinewidth=1.0,
        capsize=1.8,
        zorder=style.zorder + 0.1,
    )


def _published_line(axes: Axes, curve: pd.DataFrame, style: Style, origin: float) -> None:
    above = curve[curve["num_disambiguation"] > 0]
    axes.plot(
        above["num_disambiguation"],
        above["published_accuracy"],
        color=style.color,
        linestyle=DASHES,
        linewidth=1.0,
        alpha=0.8,
        zorder=2,
    )
    at_zero = curve[curve["num_disambiguation"] == 0]["published_accuracy"]
    axes.plot([origin] * len(at_zero), at_zero, color=style.color, marker="_", linestyle="none", alpha=0.8, zorder=2)


def _offsets(names: list[str], samples: list[int]) -> dict[str, float]:
    """A factor around 1 for each control, so that the error bars of one sample count do not cover each other."""
    above = [num for num in samples if num > 0] or [1]
    nearest = min((log10(right / left) for left, right in pairwise(above)), default=1.0)
    reach = min(SPREAD * nearest, WIDEST_SPREAD * log10(above[-1] / above[0] * 10))
    places = np.linspace(-reach, reach, len(names)) if len(names) > 1 else np.zeros(1)
    return {name: float(10**place) for name, place in zip(names, places, strict=True)}


def set_samples_axis(axes: Axes, samples: list[int]) -> float:
    """Ticks at powers of ten and at the ends, a broken-off 0 where it is among the samples; the position of that 0."""
    above = [num for num in samples if num > 0] or [1]
    origin = above[0] / 2.6
    with_zero = 0 in samples
    axes.set_xscale("log")
    axes.set_xlim((origin if with_zero else above[0]) / 1.35, above[-1] * 1.35)
    ticks = _ticks(above)
    labels = [f"{num:,}" for num in ticks]
    axes.set_xticks([origin, *ticks] if with_zero else ticks, ["0", *labels] if with_zero else labels)
    axes.xaxis.set_minor_locator(FixedLocator([float(num) for num in above if num not in ticks]))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("disambiguation samples (log scale)")
    if with_zero:
        _break_mark(axes, (origin * above[0]) ** 0.5)
    return origin


def _ticks(above: list[int]) -> list[int]:
    """The counts to label: all if they are few and apart, else the powers of ten among them and the last."""
    apart = all(right / left > 2 for left, right in pairwise(above))
    if len(above) <= 6 and apart:
        return above
    powers = [num for num in above if log10(num).is_integer()]
    return powers if len(powers) > 1 else [above[0], above[-1]]


def _break_mark(axes: Axes, position: float) -> None:
    """Two strokes through the axis, between 0 and the first sample count."""
    place = blended_transform_factory(axes.transData, axes.transAxes)
    for shift in (0.955, 1.045):
        centre = position * shift
        stroke = ([centre / 1.035, centre * 1.035], [-0.014, 0.014])
        axes.plot(*stroke, transform=place, color="black", linewidth=0.9, clip_on=False, zorder=10)


def _nothing_finished(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no cell has finished", transform=axes.transAxes, ha="center", va="center", color="#555555")
    axes.set_xticks([])
    axes.set_yticks([])


def _control_entries(cells: pd.DataFrame, looks: dict[str, Style]) -> list[tuple[Line2D, str]]:
    """An entry per control with the number of runs behind its points."""
    finished = cells[cells["num_finished"] > 0].groupby("control")["num_finished"]
    fewest, most = finished.min().to_dict(), finished.max().to_dict()
    return [
        (
            swatch(style),
            legend_label(control, fewest[control], most[control])
            if control in most
            else f"{controls.label(control)} (none finished)",
        )
        for control, style in looks.items()
    ]


def _published_entry(source: str, *, wrapped: bool) -> tuple[Line2D, str]:
    dashed = Line2D([], [], color="#555555", linestyle=DASHES, linewidth=1.0)
    return dashed, ("dashed: published,\n" if wrapped else "dashed: published, ") + source


def _legend(figure: Figure, entries: list[tuple[Line2D, str]], *, beside: bool) -> None:
    if not entries:
        return
    handles, labels = zip(*entries, strict=True)
    if beside:
        figure.legend(handles, labels, loc="outside right center", labelspacing=0.9)
    else:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(entries)), columnspacing=1.6)
