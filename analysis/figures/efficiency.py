"""Data efficiency: samples needed to reach an accuracy, a panel per accuracy, a line per control.

A bar is the interval over seeds; an arrow says that the curve, or an end of the interval, does not reach the accuracy
with the most samples there are. A hollow diamond is the published curve, crossed in the same way.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.figures.style import Style, headline, look, nothing, styles
from analysis.rows import controls


def draw(table: pd.DataFrame, *, title: str) -> Figure:
    """From the rows of one combination and scope of the table of `analysis.tables.efficiency`."""
    cells = table[table["is_reached"].notna()]
    names = controls.ordered(cells["control"])
    thresholds = sorted({float(value) for value in cells["accuracy"]})
    with look():
        figure = Figure(figsize=(3.1 * max(len(thresholds), 2) + 1.8, 0.34 * len(names) + 1.9), layout="constrained")
        headline(figure, title)
        if not names:
            nothing(figure, "no cell has finished")
            return figure
        panels = figure.subplots(1, len(thresholds), sharey=True, squeeze=False)[0]
        for axes, threshold in zip(panels, thresholds, strict=True):
            _panel(axes, cells[cells["accuracy"] == threshold], styles(names))
            axes.set_title(f"accuracy {threshold:g}")
            axes.set_xlabel("disambiguation samples")
        counts = cells.groupby("control")["num_seeds"].max()
        panels[0].set_yticks(range(len(names)), [f"{controls.label(name)} (n = {counts[name]})" for name in names])
        panels[0].invert_yaxis()
        entries = _entries(cells)
        if entries:
            figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=2)
    return figure


def _entries(cells: pd.DataFrame) -> dict[str, Line2D]:
    """Of the hollow markers, those that are drawn."""
    looks = {
        "published curve, crossed in the same way": ("D", cells["published_samples"].notna().any()),
        "not reached with the most samples": (">", (~cells["is_reached"]).any() or (~cells["is_high_reached"]).any()),
    }
    return {
        label: Line2D([], [], marker=marker, markerfacecolor="none", color="#555555", linestyle="none", markersize=6)
        for label, (marker, is_drawn) in looks.items()
        if is_drawn
    }


def _panel(axes: Axes, cells: pd.DataFrame, looks: dict[str, Style]) -> None:
    places = {name: place for place, name in enumerate(looks)}
    most = float(cells["most_samples"].max())
    known = cells[["samples", "samples_low", "published_samples", "fewest_samples"]].to_numpy(float, na_value=np.nan)
    axes.set_xscale("log")
    axes.set_xlim(max(float(np.nanmin(known)), 1.0) / 1.6, max(most, float(np.nanmax(known))) * 1.6)
    for row in cells.to_dict("records"):
        style, place = looks[str(row["control"])], places[str(row["control"])]
        reached = bool(row["is_reached"])
        samples = max(float(row["samples"]), 1.0) if reached else most
        if not pd.isna(row["is_high_reached"]):
            low = float(row["samples_low"]) if row["is_low_reached"] else most
            high = float(row["samples_high"]) if row["is_high_reached"] else most
            axes.plot([max(low, 1.0), high], [place, place], color=style.color, linewidth=2.2, alpha=0.55)
        beyond = not reached or row["is_high_reached"] is False
        axes.plot([samples], [place], marker=style.marker if reached else "none", color=style.color, markersize=6)
        if beyond:
            axes.plot([most * 1.15], [place], marker=">", color=style.color, markersize=7, markerfacecolor="none")
        if not pd.isna(row["published_samples"]):
            published = max(float(row["published_samples"]), 1.0)
            axes.plot([published], [place], marker="D", color=style.color, markerfacecolor="none", markersize=7)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_yticks(np.arange(len(looks)))
    axes.tick_params(labelsize=8.5)
