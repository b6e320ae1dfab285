"""Mask anatomy: heat maps of density, one of layers and parts, one of layers and heads for each part of attention."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from analysis.figures.style import headline, look, nothing
from analysis.tables.anatomy import PARTS

NAMES = {"mlp.c_fc": "MLP in", "mlp.c_proj": "MLP out"}


def draw(table: pd.DataFrame, *, title: str) -> Figure:
    """From the rows of one kind of mask of the table of `analysis.tables.anatomy`; all panels share their colours."""
    heads = table[table["head"].notna()]
    parts = [part for part in PARTS if (heads["part"] == part).any()]
    layers = sorted(set(table["layer"]))
    with look():
        figure = Figure(figsize=(11.5, 0.34 * max(len(layers), 3) + 1.9), layout="constrained")
        headline(figure, title)
        if table.empty:
            nothing(figure, "no stored mask was counted")
            return figure
        highest = float(table["density"].max())
        panels = figure.subplots(1, 1 + len(parts), squeeze=False, width_ratios=[2.2, *[1.0] * len(parts)])[0]
        whole = table[table["head"].isna()]
        image = _map(
            panels[0],
            whole,
            layers,
            column="part",
            order=[p for p in PARTS if (whole["part"] == p).any()],
            highest=highest,
        )
        panels[0].set_title("parts of a layer")
        panels[0].set_ylabel("layer")
        for axes, part in zip(panels[1:], parts, strict=True):
            of_part = heads[heads["part"] == part]
            _map(axes, of_part, layers, column="head", order=sorted(set(of_part["head"])), highest=highest)
            axes.set_title(f"{part} by head")
            axes.set_xlabel("head")
        figure.colorbar(image, ax=list(panels), label="density (share of ones)", format=PercentFormatter(xmax=1.0))
    return figure


def _map(
    axes: Axes, cells: pd.DataFrame, layers: list[int], *, column: str, order: list[object], highest: float
) -> AxesImage:
    table = np.full((len(layers), len(order)), np.nan)
    for layer, name, density in cells[["layer", column, "density"]].itertuples(index=False, name=None):
        table[layers.index(layer), order.index(name)] = density
    image = axes.imshow(table, vmin=0.0, vmax=highest, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(order)), [NAMES.get(str(name), str(name)) for name in order])
    axes.set_yticks(range(len(layers)), [str(layer) for layer in layers])
    for (row, place), value in np.ndenumerate(table):
        if np.isfinite(value):
            color = "white" if value < 0.6 * highest else "black"
            axes.text(place, row, f"{100 * value:.1f}", ha="center", va="center", color=color, fontsize=7)
    return image
