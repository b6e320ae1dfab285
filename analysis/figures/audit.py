"""The controls audit: shares of the donor that are kept and frozen, and the share of the subnetwork among them."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from analysis.figures.style import look, nothing, series
from analysis.rows import controls

DASHES = (0, (2, 2))
BARS = {
    "inherited_share": "kept from the donor",
    "frozen_share": "of which frozen",
    "contained_share": "of the subnetwork: kept",
    "expected_contained_share": "the same by chance",
}


def draw(table: pd.DataFrame) -> Figure:
    """A panel per depth of the table of `analysis.tables.audit`, a group of bars per control."""
    depths = sorted(set(table["num_layers"]))
    names = controls.ordered(table["control"])
    columns = min(max(len(depths), 1), 3)
    lines = -(-max(len(depths), 1) // columns)
    with look():
        figure = Figure(figsize=(4.6 * columns + 1.6, (0.5 * max(len(names), 4) + 1.2) * lines), layout="constrained")
        if not depths:
            nothing(figure, "no stored mask was counted")
            return figure
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()
        for axes, depth in zip(panels, depths, strict=False):
            cells = table[table["num_layers"] == depth].set_index("control").reindex(names)
            for place, name in enumerate(BARS):
                share = cells[name].to_numpy(float, na_value=np.nan)
                axes.barh(np.arange(len(names)) + 0.2 * (place - 1.5), share, height=0.19, color=series(place).color)
            size = float(cells["subnetwork_share"].mean())
            axes.axvline(size, color="#000000", linewidth=0.9, linestyle=DASHES)
            axes.set_title(f"Depth {depth}: subnetwork {size:.1%}")
            axes.xaxis.set_major_formatter(PercentFormatter(xmax=1.0))
            axes.set_xlim(0, 1.02)
            axes.set_xlabel("share of weights")
        for axes in panels[len(depths) :]:
            axes.set_visible(False)
        counts = table.groupby("control")["num_recipients"].max()
        panels[0].set_yticks(range(len(names)), [f"{controls.label(name)} (n = {counts[name]})" for name in names])
        panels[0].invert_yaxis()
        handles = [Patch(color=series(place).color) for place in range(len(BARS))]
        dashed = Line2D([], [], color="#000000", linewidth=0.9, linestyle=DASHES)
        figure.legend(
            [*handles, dashed], [*BARS.values(), "size of the subnetwork"], loc="outside lower center", ncols=2
        )
    return figure
