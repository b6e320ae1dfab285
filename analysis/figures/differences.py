"""Paired differences of shape bias as a forest: a line per other start, a point with its interval per experiment."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import Style, count, headline, look, nothing, series, swatch
from analysis.rows import images as vision

SPREAD = 0.56
"""Of the points of a line, in lines."""

WIDTH_OF_NAMES = 7.2
"""Inches that the name of an experiment with four settings takes."""


def draw(experiments: list[tuple[str, pd.DataFrame]], *, title: str) -> Figure:
    """A panel per model; of each experiment its name and its rows of the table of `analysis.tables.shape_bias`."""
    whole = pd.concat([part for _, part in experiments]) if experiments else pd.DataFrame(columns=["model", "other"])
    models, others = sorted(set(whole["model"])), vision.in_order(whole["other"].to_list())
    height = 0.3 + 0.09 * len(experiments)
    with look():
        width, below = max(WIDTH_OF_NAMES, 4.0 * len(models) + 1.8), 0.2 * len(experiments)
        figure = Figure(figsize=(width, height * len(others) + below + 1.3), layout="constrained")
        headline(figure, title)
        if not others:
            nothing(figure, "no subnetwork has another start beside it")
            return figure
        panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for axes, model in zip(panels, models, strict=True):
            for place, (_, part) in enumerate(experiments):
                shift = SPREAD * ((place + 0.5) / len(experiments) - 0.5)
                _points(axes, part[part["model"] == model], others, series(place), shift=shift)
            _frame(axes, model, whole.loc[whole["model"] == model, "num_pairs"])
        panels[0].set_yticks(range(len(others)), others)
        panels[0].set_ylim(len(others) - 0.5, -0.5)
        if len(experiments) > 1:
            handles = [swatch(series(place)) for place in range(len(experiments))]
            figure.legend(handles, [name for name, _ in experiments], loc="outside lower center")
    return figure


def _points(axes: Axes, table: pd.DataFrame, others: list[str], style: Style, *, shift: float) -> None:
    for cell in table.dropna(subset="difference").to_dict("records"):
        place = others.index(cell["other"]) + shift
        if not pd.isna(cell["difference_low"]):
            axes.plot((cell["difference_low"], cell["difference_high"]), (place, place), color=style.color, linewidth=1)
        axes.plot(cell["difference"], place, style.marker, color=style.color, markersize=4.5)


def _frame(axes: Axes, model: str, num_pairs: pd.Series) -> None:
    axes.axvline(0, color="#555555", linewidth=0.8)
    pairs = count(int(num_pairs.min()), int(num_pairs.max()))
    axes.set_title(f"{model} ({pairs} pairs)", fontsize=9, fontweight="normal")
    axes.set_xlabel("shape bias, subnetwork − other\npoint: mean over pairs; line: 95% t interval, uncorrected")
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)
