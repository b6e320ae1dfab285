"""Figure 3: test accuracy against the number of disambiguation samples, one line per control.

The x axis is logarithmic; training without disambiguation samples stands at its left end behind a break, joined to no
line. Error bars are the table's intervals; a point without a bar has one seed. Published curves are dashed.
"""

from itertools import pairwise
from math import log10

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter
from matplotlib.transforms import blended_transform_factory

from analysis import controls
from analysis.figures.style import PARAMETERS, Style, grid, legend_label, styles, swatch

WIDTH_OF_PANEL = 5.4
HEIGHT = 5.2
SPREAD = 0.16
"""How much of the distance of neighbouring sample counts the controls of one count are spread over."""


def draw(
    table: pd.DataFrame,
    *,
    panels: list[tuple[str, str]],
    published: pd.DataFrame,
    source: str,
) -> Figure:
    """One panel per (depths, title) of `panels`, from the rows of the figure's table and the published points.

    `published` has the columns of `analysis.published.accuracies`, and no rows where nothing published is comparable.
    """
    names = controls.ordered(table["control"])
    looks = styles(names)
    with rc_context(PARAMETERS):
        columns = max(len(panels), 1)
        size = (max(WIDTH_OF_PANEL * columns, 6.8), HEIGHT)
        figure = Figure(figsize=size, layout="constrained")
        grids = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
        drawn = [
            _panel(axes, table, published, depths, title, looks)
            for axes, (depths, title) in zip(grids, panels)
        ]
        if not panels:
            _nothing_finished(grids[0])
        grids[0].set_ylabel("test accuracy")
        _legend(
            figure,
            table[table["depths"].isin([depths for depths, _ in panels])],
            looks,
            source if any(drawn) else "",
        )
    return figure


def _panel(
    axes: Axes,
    table: pd.DataFrame,
    published: pd.DataFrame,
    depths: str,
    title: str,
    looks: dict[str, Style],
) -> bool:
    """Draw one panel; whether it has published curves."""
    cells = table[(table["depths"] == depths) & (table["num_finished"] > 0)]
    points = published[
        (published["depths"] == depths)
        & published["control"].isin(set(cells["control"]))
    ]
    samples = sorted(
        set(table["num_disambiguation"]) | set(points["num_disambiguation"])
    )
    origin = _set_samples_axis(axes, [int(num) for num in samples])
    for control, curve in points.groupby("control"):
        _published_line(axes, curve, looks[str(control)], origin)
    offsets = _offsets(list(looks), samples)
    for control, look in looks.items():
        _line(axes, cells[cells["control"] == control], look, origin, offsets[control])
    axes.set_title(title)
    axes.set_ylim(0, 1.03)
    axes.set_yticks(np.linspace(0, 1, 6))
    grid(axes)
    return not points.empty


def _line(
    axes: Axes, cells: pd.DataFrame, look: Style, origin: float, offset: float
) -> None:
    """A line through the counts above 0, markers everywhere, bars where there is an interval."""
    samples, mean, low, high = (
        cells[name].to_numpy(float, na_value=np.nan)
        for name in ("num_disambiguation", "mean", "interval_low", "interval_high")
    )
    position = np.where(samples > 0, samples, origin) * offset
    above = samples > 0
    axes.plot(
        position[above],
        mean[above],
        color=look.color,
        linewidth=look.linewidth,
        zorder=look.zorder,
    )
    axes.errorbar(
        position,
        mean,
        yerr=np.stack([mean - low, high - mean]),
        fmt=look.marker,
        color=look.color,
        markersize=4.5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        elinewidth=1.0,
        capsize=1.8,
        zorder=look.zorder + 0.1,
    )


def _published_line(
    axes: Axes, curve: pd.DataFrame, look: Style, origin: float
) -> None:
    above = curve[curve["num_disambiguation"] > 0]
    dashed = {
        "color": look.color,
        "linestyle": (0, (3, 2)),
        "linewidth": 1.0,
        "alpha": 0.75,
        "zorder": 2,
    }
    axes.plot(above["num_disambiguation"], above["published_accuracy"], **dashed)
    at_zero = curve[curve["num_disambiguation"] == 0]["published_accuracy"]
    axes.plot(
        [origin] * len(at_zero),
        at_zero,
        color=look.color,
        marker="_",
        linestyle="none",
        alpha=0.75,
        zorder=2,
    )


def _offsets(names: list[str], samples: list[int]) -> dict[str, float]:
    """A factor around 1 for each control, so that the error bars of one sample count do not cover each other."""
    above = [num for num in samples if num > 0]
    nearest = min((right / left for left, right in pairwise(above)), default=2.0)
    places = np.linspace(-SPREAD, SPREAD, len(names)) if len(names) > 1 else np.zeros(1)
    return {
        name: float(nearest**place) for name, place in zip(names, places, strict=True)
    }


def _set_samples_axis(axes: Axes, samples: list[int]) -> float:
    """Ticks at powers of ten and at the ends, a broken-off 0 where it is among the samples; the position of that 0."""
    above = [num for num in samples if num > 0] or [1]
    origin = above[0] / 2.6
    with_zero = 0 in samples
    axes.set_xscale("log")
    axes.set_xlim((origin if with_zero else above[0]) / 1.35, above[-1] * 1.35)
    ticks = _ticks(above)
    labels = [f"{num:,}" for num in ticks]
    axes.set_xticks(
        [origin, *ticks] if with_zero else ticks,
        ["0", *labels] if with_zero else labels,
    )
    axes.xaxis.set_minor_locator(
        FixedLocator([float(num) for num in above if num not in ticks])
    )
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
        axes.plot(
            *stroke,
            transform=place,
            color="black",
            linewidth=0.9,
            clip_on=False,
            zorder=10,
        )


def _nothing_finished(axes: Axes) -> None:
    axes.text(
        0.5,
        0.5,
        "no cell has finished",
        transform=axes.transAxes,
        ha="center",
        va="center",
        color="#555555",
    )
    axes.set_xticks([])
    axes.set_yticks([])


def _legend(
    figure: Figure, cells: pd.DataFrame, looks: dict[str, Style], source: str
) -> None:
    """An entry per control with the number of seeds behind its points, and one for the published curves."""
    entries: list[tuple[Line2D, str]] = []
    finished = (
        cells[cells["num_finished"] > 0]
        .groupby("control")["num_finished"]
        .agg(["min", "max"])
    )
    for control, look in looks.items():
        if control in finished.index:
            fewest, most = (
                int(finished.loc[control, "min"]),
                int(finished.loc[control, "max"]),
            )
            entries.append((swatch(look), legend_label(control, fewest, most)))
        else:
            entries.append((swatch(look), f"{controls.label(control)} (none finished)"))
    if source:
        dashed = Line2D([], [], color="#555555", linestyle=(0, (3, 2)), linewidth=1.0)
        entries.append((dashed, f"dashed, same colours: published ({source})"))
    if entries:
        handles, labels = zip(*entries, strict=True)
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=min(3, len(entries)),
            columnspacing=1.6,
        )
