"""Frozen against trainable: the paired difference over the number of samples, a line per scope; published is dashed."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.accuracy import DASHES, set_samples_axis
from analysis.figures.style import grid, headline, look, nothing, series, swatch


def draw(table: pd.DataFrame, *, title: str) -> Figure:
    """From the rows of one combination of the table of `analysis.tables.frozen`."""
    cells = table[table["num_pairs"].fillna(0) > 0]
    with look():
        figure = Figure(figsize=(7.6, 4.2), layout="constrained")
        headline(figure, title)
        if cells.empty:
            nothing(figure, "no seed has both")
            return figure
        axes = figure.subplots()
        origin = set_samples_axis(axes, sorted({int(num) for num in cells["num_disambiguation"]}))
        axes.axhline(0, color="#555555", linewidth=0.8)
        entries = []
        for place, (scope, line) in enumerate(cells.groupby("scope", sort=False)):
            style = series(place)
            samples, difference, low, high, published = (
                line[name].to_numpy(float, na_value=np.nan)
                for name in (
                    "num_disambiguation",
                    "difference",
                    "difference_low",
                    "difference_high",
                    "published_difference",
                )
            )
            position = np.where(samples > 0, samples * (1 + 0.03 * place), origin)
            axes.plot(position[samples > 0], difference[samples > 0], color=style.color, linewidth=style.linewidth)
            bars = np.stack([difference - low, high - difference])
            axes.errorbar(
                position, difference, yerr=bars, fmt=style.marker, color=style.color, markersize=5, capsize=1.8
            )
            axes.plot(position[samples > 0], published[samples > 0], color=style.color, linestyle=DASHES, linewidth=1.0)
            axes.plot(position[samples == 0], published[samples == 0], "_", color=style.color)
            fewest, most = int(line["num_pairs"].min()), int(line["num_pairs"].max())
            pairs = f"{most}" if fewest == most else f"{fewest} to {most}"
            entries.append((swatch(style), f"{scope} (pairs: {pairs})"))
        if cells["published_difference"].notna().any():
            dashed = Line2D([], [], color="#555555", linestyle=DASHES, linewidth=1.0)
            entries.append((dashed, "dashed: published,\none run per depth"))
        axes.set_ylabel("test accuracy, trainable − frozen")
        grid(axes)
        handles, labels = zip(*entries, strict=True)
        figure.legend(handles, labels, loc="outside right center")
    return figure
