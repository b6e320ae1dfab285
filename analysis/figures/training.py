"""Training: validation accuracy over epochs, one small panel per number of disambiguation samples, a line per control."""

from math import ceil

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import controls
from analysis.figures.style import PARAMETERS, Style, grid, legend_label, styles, swatch

MOST_COLUMNS = 5


def draw(
    table: pd.DataFrame, *, num_seeds: dict[str, tuple[int, int]], title: str
) -> Figure:
    """Small multiples from the columns control, num_disambiguation, epoch and mean of the training table."""
    samples = sorted(set(table["num_disambiguation"]))
    looks = styles(controls.ordered(table["control"]))
    columns = min(MOST_COLUMNS, max(len(samples), 1))
    lines = max(ceil(len(samples) / columns), 1)
    with rc_context(PARAMETERS):
        figure = Figure(
            figsize=(max(2.35 * columns, 6.8), 2.0 * lines + 1.3), layout="constrained"
        )
        panels = figure.subplots(
            lines, columns, sharex=True, sharey=True, squeeze=False
        ).flatten()
        for axes, num in zip(panels, samples, strict=False):
            _panel(axes, table[table["num_disambiguation"] == num], looks)
            axes.set_title(
                f"{num:,} sample{'' if num == 1 else 's'}",
                fontsize=9,
                fontweight="normal",
            )
        for index in range(len(samples), len(panels)):
            panels[index].set_visible(False)
            panels[index - columns].tick_params(labelbottom=True)
        if not samples:
            figure.text(
                0.5, 0.5, "no transfer has finished", ha="center", color="#555555"
            )
        figure.suptitle(title, fontsize=10, fontweight="bold")
        figure.supxlabel("epoch", fontsize=9)
        figure.supylabel("validation accuracy, mean over seeds", fontsize=9)
        _legend(figure, looks, num_seeds)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, looks: dict[str, Style]) -> None:
    for control, curve in table.groupby("control", sort=False):
        look = looks[str(control)]
        width = look.linewidth * 0.75
        axes.plot(
            curve["epoch"],
            curve["mean"],
            color=look.color,
            linewidth=width,
            zorder=look.zorder,
        )
    axes.set_ylim(0, 1.03)
    axes.set_yticks(np.linspace(0, 1, 3))
    grid(axes)


def _legend(
    figure: Figure, looks: dict[str, Style], num_seeds: dict[str, tuple[int, int]]
) -> None:
    if not looks:
        return
    handles = [swatch(look, with_marker=False) for look in looks.values()]
    labels = [legend_label(control, *num_seeds[control]) for control in looks]
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(3, len(looks)),
        columnspacing=1.6,
    )
