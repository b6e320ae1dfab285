"""Which rule a recipient follows: agreement with each reading over epochs; a row per control, a column per count."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import controls
from analysis.figures.style import grid, headline, legend_label, look, nothing, series, swatch

MOST_COLUMNS = 5


def draw(table: pd.DataFrame, *, rule: str, title: str) -> Figure:
    """From the table of `analysis.tables.readings`; of many sample counts a few, evenly spread, are drawn.

    `rule` is the one that the recipients are to learn; it is drawn first. The band is the range over seeds.
    """
    names, samples = controls.ordered(table["control"]), _spread(sorted(set(table["num_disambiguation"])))
    readings = sorted(set(table["reading"]), key=lambda reading: (reading != rule, reading))
    with look():
        figure = Figure(
            figsize=(2.1 * max(len(samples), 2) + 1.6, 1.15 * max(len(names), 2) + 1.2), layout="constrained"
        )
        headline(figure, title)
        if not names:
            nothing(figure, "no transfer has finished")
            return figure
        panels = figure.subplots(len(names), len(samples), sharex=True, sharey=True, squeeze=False)
        groups = dict(iter(table.groupby(["control", "num_disambiguation"])))
        for line, name in zip(panels, names, strict=True):
            for axes, num in zip(line, samples, strict=True):
                if (name, num) in groups:
                    _panel(axes, groups[name, num], readings)
            runs = table[table["control"] == name]["num_runs"]
            wrapped = legend_label(name, int(runs.min()), int(runs.max())).replace(" (", "\n(")
            line[0].set_ylabel(wrapped, fontsize=7.5, rotation=0, ha="right", va="center")
        for axes, num in zip(panels[0], samples, strict=True):
            axes.set_title(f"{num:,} sample{'' if num == 1 else 's'}", fontsize=9, fontweight="normal")
        for axes in panels[-1]:
            axes.set_xlabel("epoch")
        handles = [swatch(series(place), with_marker=False) for place in range(len(readings))]
        labels = [f"answers {reading}" + (" (the rule)" if reading == rule else "") for reading in readings]
        figure.legend(handles, labels, loc="outside lower center", ncols=len(readings))
    return figure


def _panel(axes: Axes, cells: pd.DataFrame, readings: list[str]) -> None:
    for reading, curve in cells.groupby("reading"):
        style = series(readings.index(str(reading)))
        epoch, agreement, lowest, highest = (
            curve[name].to_numpy(float) for name in ("epoch", "agreement", "lowest", "highest")
        )
        axes.plot(epoch, agreement, color=style.color, linewidth=1.0)
        if (highest > lowest).any():
            axes.fill_between(epoch, lowest, highest, color=style.color, alpha=0.18, linewidth=0)
    axes.set_ylim(0, 1.03)
    axes.set_yticks(np.linspace(0, 1, 3))
    grid(axes)
    axes.tick_params(labelsize=7)


def _spread(samples: list[int]) -> list[int]:
    if len(samples) <= MOST_COLUMNS:
        return samples
    places = np.linspace(0, len(samples) - 1, MOST_COLUMNS).round().astype(int)
    return [samples[place] for place in places]
