"""Training: validation accuracy over epochs, a small panel per number of disambiguation samples, a line per control."""

from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import Style, draw_chance, grid, headline, legend_label, look, styles, swatch
from analysis.rows import controls

MOST_COLUMNS = 5


def draw(
    table: pd.DataFrame, *, num_runs: dict[str, tuple[int, int]], title: str, chance: tuple[float, ...] = ()
) -> Figure:
    """Small multiples from the columns control, num_disambiguation, epoch and mean of the training table.

    `chance` is what constant answers get right.
    """
    samples = sorted(set(table["num_disambiguation"]))
    looks = styles(controls.ordered(table["control"]))
    columns = min(MOST_COLUMNS, max(len(samples), 1))
    lines = max(ceil(len(samples) / columns), 1)
    with look():
        figure = Figure(figsize=(max(2.35 * columns, 6.8), 2.0 * lines + 1.3), layout="constrained")
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()
        for index, num in enumerate(samples):
            _panel(panels[index], table[table["num_disambiguation"] == num], looks)
            draw_chance(panels[index], chance, size=6.0)
            panels[index].set_title(f"{num:,} sample{'' if num == 1 else 's'}", fontsize=9, fontweight="normal")
            if index + columns >= len(samples):
                panels[index].tick_params(labelbottom=True)
                panels[index].set_xlabel("epoch")
        for index in range(len(samples), len(panels)):
            panels[index].set_visible(False)
        if not samples:
            figure.text(0.5, 0.5, "no transfer has finished", ha="center", color="#555555")
        headline(figure, title)
        figure.supylabel("validation accuracy", fontsize=9)
        _legend(figure, looks, num_runs)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, looks: dict[str, Style]) -> None:
    for control, curve in table.groupby("control", sort=False):
        style = looks[str(control)]
        width = style.linewidth * 0.75
        axes.plot(curve["epoch"], curve["mean"], color=style.color, linewidth=width, zorder=style.zorder)
    axes.set_ylim(0, 1.03)
    axes.set_yticks(np.linspace(0, 1, 3))
    grid(axes)


def _legend(figure: Figure, looks: dict[str, Style], num_runs: dict[str, tuple[int, int]]) -> None:
    if not looks:
        return
    handles = [swatch(style, with_marker=False) for style in looks.values()]
    labels = [legend_label(control, *num_runs[control]) for control in looks]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(looks)), columnspacing=1.6)
