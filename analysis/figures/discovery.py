"""Discovery in pretrained against random donors: subtask accuracy of the masks, two points per depth."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import draw_chance, grid, look, nothing, series, swatch

ARMS = {"trained": "pretrained donor", "untrained": "random donor"}


def draw(table: pd.DataFrame, *, chance: tuple[float, ...] = ()) -> Figure:
    """From the table of `analysis.tables.discovery`: a column per subtask, penalty and depth, bars are t intervals.

    `chance` is what constant answers get right.
    """
    with look():
        figure = Figure(figsize=(max(4.6, 1.3 * len(table) + 2.4), 4.0), layout="constrained")
        if table.empty or not (table["trained_finished"] + table["untrained_finished"]).any():
            nothing(figure, "no mask has finished")
            return figure
        axes = figure.subplots()
        for place, arm in enumerate(ARMS):
            mean, low, high = (
                table[f"{arm}_{name}"].to_numpy(float, na_value=np.nan) for name in ("accuracy", "low", "high")
            )
            style = series(place)
            where = np.arange(len(table)) + (-0.12, 0.12)[place]
            bars = np.stack([mean - low, high - mean])
            axes.errorbar(where, mean, yerr=bars, fmt=style.marker, color=style.color, capsize=3, markersize=6)
        axes.set_xticks(range(len(table)), [_label(row) for row in table.to_dict("records")], fontsize=8)
        axes.set_xlim(-0.6, len(table) - 0.4)
        axes.set_ylim(0, 1.05)
        draw_chance(axes, chance)
        axes.set_ylabel("subtask accuracy, hard mask")
        grid(axes)
        axes.tick_params(axis="x", labelsize=8)
        figure.legend(
            [swatch(series(place)) for place in range(len(ARMS))],
            list(ARMS.values()),
            loc="outside lower center",
            ncols=2,
        )
    return figure


def _label(row: Mapping[Hashable, Any]) -> str:
    counts = f"n = {row['trained_finished']} and {row['untrained_finished']}"
    return f"{row['subtask']}, depth {row['num_layers']}\npenalty {row['penalty']:g}\n{counts}"
