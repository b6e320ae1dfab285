"""Data efficiency: how many disambiguation samples a control needs to reach an accuracy.

Isotonic regression of the mean over seeds, crossed with the accuracy (`analysis.statistics.isotonic`). The published
curves are crossed in the same way.
"""

from functools import partial
from itertools import zip_longest
from math import inf, isinf

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.elements.section import Content, Picture, Results, Section, endings, titled
from analysis.figures.style import Style, headline, look, nothing, styles
from analysis.rows import controls, published, settings
from analysis.rows.load import transfers
from analysis.rows.seeds import MEAN_OVER_DEPTHS, seed_accuracies
from analysis.rows.settings import Setting
from analysis.rows.wording import DASH
from analysis.statistics import samples_to_reach
from analysis.statistics.isotonic import Crossing
from analysis.statistics.values import Array

THRESHOLDS = (0.5, 0.7, 0.9)
SEED = 0
"""Of the draws of seeds: the same rows give the same table."""

COLUMNS = {
    "scope": pd.StringDtype(),
    "depths": pd.StringDtype(),
    "control": pd.StringDtype(),
    "accuracy": "Float64",
    "num_seeds": "Int64",
    "fewest_samples": "Int64",
    "most_samples": "Int64",
    "samples": "Float64",
    "is_reached": "boolean",
    "samples_low": "Float64",
    "samples_high": "Float64",
    "is_low_reached": "boolean",
    "is_high_reached": "boolean",
    "published_samples": "Float64",
}
"""`samples` is absent where the curve does not reach the accuracy (`is_reached` is false) or no run has finished; the
same holds of either end of the interval, which is absent for one seed too. `fewest_samples` and `most_samples` are the
ends of the counts with a finished run."""


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per scope, control and accuracy of THRESHOLDS, after the varying settings.

    >>> from analysis import load
    >>> found = table(load("results/figure-3-depth-2.parquet"))
    >>> found.query("control == 'full_transfer' and accuracy == 0.7")["samples"].round().to_list()
    [179.0]
    """
    found = settings.settings_of_arithmetic(transfers(rows))
    return pd.concat([each.labelled(_table(each.rows)) for each in found], ignore_index=True)


def _table(given: pd.DataFrame) -> pd.DataFrame:
    accuracies = seed_accuracies(given)
    points = published.accuracies() if published.is_comparable(given) else published.accuracies().iloc[:0]
    made = [
        row
        for (depths, control), cells in accuracies.groupby(["depths", "control"])
        for row in _rows(str(depths), str(control), cells, points)
    ]
    typed = pd.DataFrame(made, columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    order = controls.ordered(typed["control"])
    ranks = pd.DataFrame(
        {
            "depth": [-1 if "," in depths else int(depths) for depths in typed["depths"]],
            "accuracy": typed["accuracy"],
            "control": typed["control"].map(order.index),
        }
    )
    return typed.loc[ranks.sort_values(["depth", "accuracy", "control"]).index].reset_index(drop=True)


def _rows(depths: str, control: str, cells: pd.DataFrame, points: pd.DataFrame) -> list[dict[str, object]]:
    wide = cells.pivot_table(index="seed", columns="num_disambiguation", values="test_accuracy", dropna=False)
    finished = wide.notna().any(axis=0)
    counts = [int(num) for num in wide.columns[finished]]
    values, places = wide.to_numpy(float, na_value=np.nan), np.array([float(num) for num in wide.columns])
    curve = points[(points["depths"] == depths) & (points["control"] == control)].sort_values("num_disambiguation")
    found, told = _crossings(values, places), _published_crossings(curve)
    return [
        {
            "scope": MEAN_OVER_DEPTHS if "," in depths else f"depth {depths}",
            "depths": depths,
            "control": control,
            "accuracy": threshold,
            "fewest_samples": min(counts, default=None),
            "most_samples": max(counts, default=None),
            **({"num_seeds": 0} if crossing is None else _crossing(crossing)),
            "published_samples": None if theirs is None else _finite(theirs.samples),
        }
        for threshold, crossing, theirs in zip_longest(THRESHOLDS, found, told)
    ]


def _crossing(found: Crossing) -> dict[str, object]:
    return {
        "num_seeds": found.num_seeds,
        "samples": _finite(found.samples),
        "is_reached": not isinf(found.samples),
        "samples_low": _finite(found.low),
        "samples_high": _finite(found.high),
        "is_low_reached": None if found.low is None else not isinf(found.low),
        "is_high_reached": None if found.high is None else not isinf(found.high),
    }


def _published_crossings(curve: pd.DataFrame) -> list[Crossing]:
    values: Array = curve["published_accuracy"].to_numpy(float)[None]
    return _crossings(values, curve["num_disambiguation"].to_numpy(float))


def _crossings(accuracies: Array, counts: Array) -> list[Crossing]:
    return samples_to_reach(accuracies, counts, thresholds=THRESHOLDS, generator=np.random.default_rng(SEED))


def _finite(value: float | None) -> float | None:
    return None if value is None or value == inf else value


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    ends = found[["samples_low", "samples_high", "is_low_reached", "is_high_reached", "most_samples"]]
    return pd.DataFrame(
        {
            **settings.shown(found),
            "scope": found["scope"],
            "accuracy": [f"{value:g}" for value in found["accuracy"]],
            "control": found["control"].map(controls.label),
            "seeds": found["num_seeds"].astype("string"),
            "samples needed": [
                _samples(*each)
                for each in found[["samples", "is_reached", "fewest_samples", "most_samples"]].to_numpy()
            ],
            "95% interval": [_interval(*each) for each in ends.to_numpy()],
            "published": [DASH if pd.isna(value) else f"{value:,.0f}" for value in found["published_samples"]],
        }
    )


def _samples(samples: object, is_reached: object, fewest: int, most: int) -> str:
    if pd.isna(is_reached):  # type: ignore[call-overload]
        return "missing"
    if not is_reached:
        return f"> {most:,}"
    assert isinstance(samples, float)
    return f"≤ {fewest:,}" if samples <= fewest else f"{samples:,.0f}"


def _interval(*given: object) -> str:
    low, high, is_low_reached, is_high_reached, most = given
    if pd.isna(is_low_reached):  # type: ignore[call-overload]
        return DASH
    ends = [
        f"{end:,.0f}" if reached else f"> {most:,}" for end, reached in ((low, is_low_reached), (high, is_high_reached))
    ]
    return f"[{ends[0]}, {ends[1]}]"


def draw(table: pd.DataFrame, *, title: str) -> Figure:
    """From the rows of one combination and scope of the table of `analysis.sections.efficiency`."""
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


def content(results: Results) -> Content:
    """A picture for each setting, above the table of all."""
    found = table(results.arithmetic)
    several = zip(results.settings, endings(len(results.settings)), strict=True)
    return Content(
        sentences=(
            "Whole seeds are resampled for the interval; one seed gives none.",
            "Between two sample counts a curve is taken as straight over log(1 + n).",
        ),
        pictures=[_picture(each, found, ending=ending) for each, ending in several],
        table=found,
        shown=shown(found),
    )


def _picture(setting: Setting, found: pd.DataFrame, *, ending: str) -> Picture:
    """The mean over depths if there is one, else the deepest depth."""
    cells = setting.part(found)
    finished = cells[cells["is_reached"].notna()]
    several = (finished if len(finished) else cells)["depths"]
    depths = max(set(several), key=lambda each: ("," in each, int(each.split(",")[-1])), default="")
    scope = cells[cells["depths"] == depths]
    name = str(scope["scope"].iloc[0]) if len(scope) else "no cell"
    title = titled(f"Samples needed to reach an accuracy, {name}", setting)
    return Picture(
        name=f"efficiency{ending}",
        draw=partial(draw, scope, title=title),
        title=title,
        description="A panel per accuracy, a line per control; arrows mark what is not reached.",
    )


SECTION = Section(
    name="efficiency",
    title="Data efficiency",
    place=160,
    of="arithmetic",
    content=content,
    caption="Samples at which the isotonic curve of the mean reaches an accuracy; “>” says that it does not by then.",
)
