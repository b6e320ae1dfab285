"""Figures of image classifiers: shape bias by start, and training on original and mean-pooled images."""

from dataclasses import dataclass
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.style import DOTS, OTHERS, STYLES, Style, draw_chance, grid, headline, look, nothing
from analysis.rows import controls, images

PUBLISHED = {"subnetwork": "subnetwork", "random_init": "random init"}
"""The published controls, each with our start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A column of the figure of training: a heading, our means, and published curves, of which either may be empty.

    `means` has start, evaluation_set, epoch and mean; `published` control, evaluation_set, epoch and accuracy; `chance`
    is what constant answers get right.
    """

    heading: str
    means: pd.DataFrame
    published: pd.DataFrame
    chance: tuple[float, ...] = ()


OWN_STYLES = {
    "donor": Style(color="#882255", marker="h"),
    "untrained donor": Style(color="#AA4499", marker="p"),
    "donor trained longer": Style(color="#CC6677", marker="h"),
    "longer donor": Style(color="#661100", marker="s"),
    "new head": Style(color="#332288", marker="*"),
}
MIXTURES = ("#E3C08B", "#C08A3E", "#8F5A1B", "#5A330B", "#2E1903")
"""Colours of data mixtures, darker with the share of mean-pooled images."""


def styles(starts: list[str]) -> dict[str, Style]:
    """A style for each start; controls have theirs, data mixtures one hue, the others what is free."""
    mixtures = iter(cycle(Style(color=color, marker="d") for color in MIXTURES))
    spare = iter(cycle(OTHERS[2:]))
    known = {start: STYLES.get(start.replace(" ", "_")) or OWN_STYLES.get(start) for start in starts}
    return {
        start: style or next(mixtures if start.startswith("data mixture") else spare) for start, style in known.items()
    }


def draw_shape_bias(table: pd.DataFrame, runs: pd.DataFrame, *, title: str) -> Figure:
    """A panel per model: a line per start of Table 1, its runs as points, its mean with the interval in black.

    At the right stand the decisions for shape or texture that a start's ratio rests on, of all.
    """
    models = sorted(set(table["model"]))
    starts = controls.ordered(table["start"].to_list())
    looks = styles(starts)
    with look():
        figure = Figure(figsize=(max(5.2, 4.2 * len(models) + 1.8), 0.34 * len(starts) + 1.7), layout="constrained")
        if not starts:
            nothing(figure, "no donor and no recipient is planned")
            return figure
        panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for axes, model in zip(panels, models, strict=True):
            _biases(axes, table[table["model"] == model], runs[runs["model"] == model], looks)
            axes.set_title(model, fontsize=9, fontweight="normal")
        panels[0].set_yticks(range(len(starts)), starts)
        panels[0].set_ylim(len(starts) - 0.4, -0.6)
        headline(figure, title)
    return figure


def _biases(axes: Axes, table: pd.DataFrame, runs: pd.DataFrame, looks: dict[str, Style]) -> None:
    for place, (start, style) in enumerate(looks.items()):
        points = runs.loc[(runs["start"] == start) & (runs["status"] == "finished"), "shape_bias"].dropna()
        spread = place + (np.linspace(-0.16, 0.16, len(points)) if len(points) > 1 else np.zeros(len(points)))
        axes.plot(points.to_numpy(float), spread, style.marker, color=style.color, markersize=4, alpha=0.75)
    for cell in table.dropna(subset="shape_bias").to_dict("records"):
        place = list(looks).index(cell["start"])
        axes.plot(cell["shape_bias"], place, "|", color="#000000", markersize=12, markeredgewidth=2, zorder=6)
        if not pd.isna(cell["shape_bias_low"]):
            ends = (max(0.0, cell["shape_bias_low"]), min(1.0, cell["shape_bias_high"]))
            axes.plot(ends, (place, place), color="#000000", linewidth=1, zorder=5)
        label = images.decided(cell)
        axes.text(1.02, place, label, transform=axes.get_yaxis_transform(), fontsize=7, va="center", color=_ink(label))
    axes.axvline(0.5, color="#555555", linewidth=0.9, linestyle=DOTS, zorder=1)
    axes.set_xlim(0, 1)
    across = axes.get_xaxis_transform()
    axes.text(0.51, 0.01, "no preference, as by chance", transform=across, fontsize=6.5, color="#555555", va="bottom")
    axes.set_xlabel("shape bias (0: texture decides, 1: shape decides)\npoint: a run; bar: mean; line: 95% interval")
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)


def _ink(label: str) -> str:
    """Few decisions are marked."""
    return "#B00000" if label.startswith("few") else "#555555"


def draw_training(panels: list[Panel], *, title: str) -> Figure:
    """A row per evaluation set, a column per panel; published curves are dashed."""
    starts = controls.ordered([start for each in panels for start in each.means["start"]])
    published = [PUBLISHED[name] for each in panels for name in each.published["control"].unique()]
    looks = styles(controls.ordered([*starts, *published]))
    with look():
        figure = Figure(figsize=(max(3.1 * len(panels) + 0.6, 6.4), 5.6), layout="constrained")
        if not panels:
            nothing(figure, "no recipient with curves has finished")
            return figure
        axes = figure.subplots(2, len(panels), sharex="col", sharey="row", squeeze=False)
        for column, panel in enumerate(panels):
            for row, evaluation_set in enumerate(images.SETS):
                _curves(axes[row][column], panel, evaluation_set, looks)
            axes[0][column].set_title(panel.heading, fontsize=9, fontweight="normal")
            axes[1][column].set_xlabel("epoch")
            axes[1][column].xaxis.set_major_locator(MaxNLocator(integer=True))
        for row, words in enumerate(images.SETS.values()):
            axes[row][0].set_ylabel(f"accuracy on\n{words}")
        headline(figure, title)
        handles = [Line2D([], [], color=looks[each].color, linewidth=looks[each].linewidth) for each in looks]
        labels = list(looks)
        if published:
            handles.append(Line2D([], [], color="#555555", linewidth=1, linestyle="--"))
            labels.append("published, ImageNet, one run")
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _curves(axes: Axes, panel: Panel, evaluation_set: str, looks: dict[str, Style]) -> None:
    for start, curve in panel.means[panel.means["evaluation_set"] == evaluation_set].groupby("start", sort=False):
        style = looks[str(start)]
        marker = "o" if len(curve) == 1 else None
        axes.plot(curve["epoch"], curve["mean"], marker=marker, color=style.color, linewidth=style.linewidth)
    for name, curve in panel.published[panel.published["evaluation_set"] == evaluation_set].groupby("control"):
        color = looks[PUBLISHED[str(name)]].color
        axes.plot(curve["epoch"], curve["accuracy"], linestyle="--", color=color, linewidth=1)
    axes.set_ylim(0, 1.03)
    draw_chance(axes, panel.chance)
    grid(axes)
