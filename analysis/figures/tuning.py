"""Tuning: the front of accuracy and density, the settings of all trials, what matters, and the front over epochs.

Every function takes the trials of one study, rows of TRIAL_SCHEMA.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import blended_transform_factory

from analysis.figures.style import draw_chance, grid, headline, look, nothing
from analysis.rows import chance

FRONT, PUBLISHED, OTHER, CHOSEN = "#0072B2", "#D55E00", "#9A9A9A", "#000000"

LABELS = {
    "penalty": "penalty λ",
    "final_temperature": "final temperature",
    "initial_logit": "initial logit",
    "learning_rate": "learning rate",
    "num_epochs": "epochs",
    "density": "density",
    "tuning_accuracy": "accuracy",
}
LOGARITHMIC = frozenset({"penalty", "final_temperature", "learning_rate", "density"})
PARAMETERS = ("penalty", "final_temperature", "initial_logit", "learning_rate", "num_epochs")

Numbers = npt.NDArray[np.float64]
Scale = Callable[[pd.Series], pd.Series]
Color = str | tuple[float, ...] | Numbers


def front(trials: pd.DataFrame, *, title: str) -> Figure:
    """Accuracy of the hard mask against density, the front joined, the published setting and the choice marked.

    The lower panel has the same accuracies as errors on a log scale, for near 1 they lie on each other. An accuracy of
    1 has a band of its own there: no error was seen in the samples, which is no error of any size.
    """
    measured = trials[trials["density"].notna() & (trials["density"] > 0)]
    with look():
        figure = Figure(figsize=(7.2, 6.2), layout="constrained")
        headline(figure, f"{title}{_without_empty(trials)}")
        if measured.empty:
            nothing(figure, "no trial has a mask that keeps a weight")
            return figure
        above, below = figure.subplots(2, 1, sharex=True)
        errors = 1 - measured["tuning_accuracy"]
        least = float(errors[errors > 0].min()) if (errors > 0).any() else 0.01
        _front_panel(above, measured, lambda accuracy: accuracy)
        _front_panel(below, measured, lambda accuracy: (1 - accuracy).where(accuracy < 1, least * PLACE_OF_NO_ERROR))
        above.set_ylabel("accuracy on the subtask")
        above.set_ylim(-0.03, 1.05)
        draw_chance(above, chance.levels(trials))
        _error_axis(below, errors, least=least, num_samples=trials["num_tuning_samples"].max())
        below.set_xscale("log")
        _log_ticks(below.xaxis)
        below.set_xlabel("density of the hard mask")
        handles, labels = above.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


PLACE_OF_NO_ERROR, EDGE_OF_NO_ERROR, END_OF_NO_ERROR = 0.3, 0.55, 0.16
"""Where the band of no error has its points, begins and ends: shares of the least error."""

MARGIN = 1.6
"""A range with this on both sides of one error holds a tick at 1, 2 or 5."""


def _error_axis(axes: Axes, errors: pd.Series, *, least: float, num_samples: Any) -> None:
    """Errors in percent on a log scale, the least on top, and above it the band of those that show none."""
    axes.set_ylabel("error (1 − accuracy)")
    axes.set_yscale("log")
    has_none = bool((errors == 0).any())
    low, high = least / MARGIN, max(float(errors.max()), least) * MARGIN
    axes.set_ylim(high, least * END_OF_NO_ERROR if has_none else low)
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [digit * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_yticks(shown, [f"{100 * tick:.3g}%" for tick in shown])
    axes.set_yticks([], minor=True)
    if has_none:
        axes.axhspan(least * EDGE_OF_NO_ERROR, least * END_OF_NO_ERROR, color="#EFEFEF", zorder=0)
        samples = "the samples" if pd.isna(num_samples) else f"{num_samples:,.0f} samples"
        place = blended_transform_factory(axes.transAxes, axes.transData)
        text = f"no error seen in {samples}"
        axes.text(0.99, least * 0.18, text, transform=place, fontsize=7.5, color="#555555", ha="right", va="top")


def _without_empty(trials: pd.DataFrame) -> str:
    """What a heading says of trials that are not drawn: on a log scale a mask that keeps nothing has no place."""
    num_empty = int((trials["density"] == 0).sum())
    return f" ({num_empty} empty mask{'' if num_empty == 1 else 's'} not drawn)" if num_empty else ""


def _log_ticks(axis: Axis) -> None:
    """Ticks at 1, 2 and 5 of every power of ten, in percent."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    axis.set_minor_formatter(NullFormatter())


def _front_panel(axes: Axes, measured: pd.DataFrame, scale: Scale) -> None:
    trials = measured[measured["state"] == "finished"]
    members = trials[trials["is_on_front"]].sort_values("density")
    others = trials[~trials["is_on_front"]]
    axes.scatter(others["density"], scale(others["tuning_accuracy"]), s=16, color=OTHER, label="trials", zorder=2)
    axes.plot(
        members["density"],
        scale(members["tuning_accuracy"]),
        color=FRONT,
        marker="o",
        markersize=5,
        linewidth=1.6,
        drawstyle="steps-post",
        label="front",
        zorder=3,
    )
    published = measured[measured["state"] == "published"]
    axes.scatter(
        published["density"],
        scale(published["tuning_accuracy"]),
        s=110,
        marker="*",
        color=PUBLISHED,
        label="published setting",
        zorder=4,
    )
    chosen = trials[trials["is_chosen"]]
    axes.scatter(
        chosen["density"],
        scale(chosen["tuning_accuracy"]),
        s=110,
        facecolors="none",
        edgecolors=CHOSEN,
        linewidths=1.3,
        label="chosen",
        zorder=5,
    )
    grid(axes)


def parallel(trials: pd.DataFrame, *, title: str) -> Figure:
    """A line per finished trial through its settings and objectives, coloured by density, the front in front."""
    finished = trials[(trials["state"] == "finished") & (trials["density"] > 0)].sort_values("is_on_front")
    names = [*PARAMETERS, "tuning_accuracy", "density"]
    if finished.empty:
        with look():
            figure = Figure(figsize=(8.6, 4.4), layout="constrained")
            headline(figure, f"{title}{_without_empty(trials)}")
            nothing(figure, "no finished trial has a mask that keeps a weight")
        return figure
    places = {name: _placed(finished[name], logarithmic=name in LOGARITHMIC) for name in names}
    with look():
        figure = Figure(figsize=(8.6, 4.4), layout="constrained")
        axes = figure.subplots()
        low, high = float(finished["density"].min()), float(finished["density"].max())
        colors = ScalarMappable(norm=LogNorm(low, max(high, low * 1.01)), cmap="viridis_r")
        for row, (is_member, density) in enumerate(zip(finished["is_on_front"], finished["density"], strict=True)):
            heights = [places[name][row] for name in names]
            width, alpha = (2.2, 1.0) if is_member else (0.8, 0.45)
            axes.plot(heights, color=colors.to_rgba(density), linewidth=width, alpha=alpha, zorder=2 + is_member)
        for place, name in enumerate(names):
            axes.axvline(place, color="#555555", linewidth=0.8, zorder=1)
            for height, value in ((-0.045, finished[name].min()), (1.02, finished[name].max())):
                axes.text(place, height, f"{value:.3g}", ha="center", va="bottom", fontsize=7.5)
        axes.set_xticks(range(len(names)), [LABELS[name] for name in names])
        axes.set_yticks([])
        axes.set_ylim(-0.06, 1.1)
        axes.spines[["left", "bottom"]].set_visible(False)
        _log_ticks(figure.colorbar(colors, ax=axes, label="density").ax.yaxis)
        headline(figure, f"{title}{_without_empty(trials)}")
    return figure


def _placed(values: pd.Series, *, logarithmic: bool) -> Numbers:
    """The values from 0 at the least to 1 at the greatest."""
    numbers = values.to_numpy(np.float64)
    scaled = np.log(numbers) if logarithmic else numbers
    width = np.ptp(scaled) or 1.0
    return np.asarray((scaled - scaled.min()) / width, dtype=np.float64)


def importance(importances: Mapping[str, float], *, title: str) -> Figure:
    """A bar per parameter."""
    ordered = sorted(importances.items(), key=lambda each: each[1])
    with look():
        figure = Figure(figsize=(6.4, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.barh([LABELS.get(name, name) for name, _ in ordered], [share for _, share in ordered], color=FRONT)
        for place, (_, share) in enumerate(ordered):
            axes.text(share + 0.01, place, f"{share:.2f}", va="center", fontsize=8)
        axes.set_xlim(0, 1.08)
        axes.set_xlabel("share of the importance for reaching the best tenth of the trials (PED-ANOVA)")
        headline(figure, title)
    return figure


def over_epochs(trials: pd.DataFrame, *, title: str) -> Figure:
    """Accuracy with the hard and the soft mask, and density, over the epochs of the front's members."""
    members = trials[trials["is_on_front"] & trials["curve_epoch"].notna()].sort_values("density")
    published = trials[(trials["state"] == "published") & trials["curve_epoch"].notna()]
    with look():
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        accuracy, density = figure.subplots(1, 2)
        low = float(members["density"].min()) if len(members) else 1e-3
        high = float(members["density"].max()) if len(members) else 1.0
        colors = ScalarMappable(norm=LogNorm(low, max(high, low * 1.01)), cmap="viridis_r")
        for _, row in members.iterrows():
            _draw_curves(accuracy, density, row, color=colors.to_rgba(row["density"]))
        for _, row in published.iterrows():
            _draw_curves(accuracy, density, row, color=PUBLISHED)
        accuracy.plot([], [], color="#555555", label="hard mask")
        accuracy.plot([], [], color="#555555", linewidth=0.9, linestyle=":", label="soft mask")
        if len(published):
            accuracy.plot([], [], color=PUBLISHED, label="published setting")
        accuracy.set_ylim(-0.03, 1.05)
        draw_chance(accuracy, chance.levels(trials))
        accuracy.set_ylabel("accuracy on the subtask")
        density.set_ylabel("density of the hard mask")
        density.set_yscale("log")
        for axes in (accuracy, density):
            axes.set_xlabel("share of the epochs")
            grid(axes)
        _log_ticks(density.yaxis)
        _log_ticks(figure.colorbar(colors, ax=density, label="density at the best epoch").ax.yaxis)
        figure.legend(loc="outside lower center", ncols=3)
        headline(figure, title)
    return figure


def _draw_curves(accuracy: Axes, density: Axes, row: pd.Series, *, color: Color) -> None:
    share = np.asarray(row["curve_epoch"], dtype=np.float64) / row["num_epochs"]
    accuracy.plot(share, row["curve_tuning_accuracy"], color=color, linewidth=1.4)
    accuracy.plot(share, row["curve_soft_accuracy"], color=color, linewidth=0.9, linestyle=":")
    density.plot(share, row["curve_density"], color=color, linewidth=1.4)
