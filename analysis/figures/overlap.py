"""Overlap of pairs of masks against chance at equal density: a point per pair, the diagonal is chance."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from analysis.figures.style import grid, look, nothing, series
from analysis.tables.overlap import RELATIONS


def draw(table: pd.DataFrame) -> Figure:
    """A column per depth and relation of the table of `analysis.tables.overlap`; a dash is the pair's chance."""
    with look():
        groups = [
            (depth, relation, pairs)
            for depth in sorted(set(table["num_layers"]))
            for relation in RELATIONS
            if len(pairs := table[(table["num_layers"] == depth) & (table["relation"] == relation)])
        ]
        figure = Figure(figsize=(max(4.8, 1.5 * len(groups) + 1.4), 4.0), layout="constrained")
        if not groups:
            nothing(figure, "fewer than two stored masks were counted")
            return figure
        axes = figure.subplots()
        for place, (_, relation, pairs) in enumerate(groups):
            style = series(RELATIONS.index(relation))
            spread = place + np.linspace(-0.18, 0.18, len(pairs)) if len(pairs) > 1 else np.array([float(place)])
            axes.plot(spread, pairs["overlap"].to_numpy(float), style.marker, color=style.color, markersize=5)
            axes.plot(spread, pairs["expected_overlap"].to_numpy(float), "_", color="#000000", markersize=9)
        labels = [
            f"depth {depth}\n{relation.replace(', ', ',' + chr(10))}\n{len(pairs)} pair{'' if len(pairs) == 1 else 's'}"
            for depth, relation, pairs in groups
        ]
        axes.set_xticks(range(len(groups)), labels, fontsize=8)
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0))
        axes.set_ylabel("share of the smaller mask\nthat is in the other (black dash: chance)")
        grid(axes)
        axes.tick_params(axis="x", labelsize=8)
    return figure
