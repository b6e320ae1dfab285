"""Frozen against trainable: what it costs, or gains, to leave the transplanted weights free.

The difference is `subnetwork_trainable` minus `subnetwork`, paired by seed. Published are the paper's figure 3 (frozen)
and the figure of its appendix B.3 (trainable), both means over depths of one run each.
"""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.elements import paired
from analysis.elements.section import Content, Picture, Results, Section, endings, titled
from analysis.figures.accuracy import DASHES, set_samples_axis
from analysis.figures.style import grid, headline, look, nothing, series, swatch
from analysis.rows import published, settings
from analysis.rows.load import transfers
from analysis.rows.seeds import MEAN_OVER_DEPTHS, seed_accuracies
from analysis.rows.wording import DASH, MISSING, decimal, signed
from analysis.statistics import paired_difference

FROZEN, TRAINABLE = "subnetwork", "subnetwork_trainable"
CELL = ["depths", "num_disambiguation"]

COLUMNS = {
    "scope": pd.StringDtype(),
    "depths": pd.StringDtype(),
    "num_disambiguation": "Int64",
    "num_planned": "Int64",
    "num_pairs": "Int64",
    "frozen_mean": "Float64",
    "trainable_mean": "Float64",
    **paired.COLUMNS,
    "published_frozen": "Float64",
    "published_trainable": "Float64",
    "published_difference": "Float64",
    "published_source": pd.StringDtype(),
}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per scope and number of samples for which both are planned, after the varying settings.

    Means are over the seeds that have both; without such a seed they are absent. `num_planned` counts the seeds that
    are to have both.

    >>> from analysis import load
    >>> found = table(load("results/figure-3-depth-2.parquet"))
    >>> found["num_disambiguation"].to_list()
    [10, 100, 250, 1000, 2500]
    """
    found = settings.settings_of_arithmetic(transfers(rows))
    return pd.concat([each.labelled(_table(each.rows)) for each in found], ignore_index=True)


def _table(given: pd.DataFrame) -> pd.DataFrame:
    accuracies = seed_accuracies(given[given["control"].isin([FROZEN, TRAINABLE])])
    key = [*CELL, "seed"]
    frozen, trainable = (
        accuracies.loc[accuracies["control"] == name, [*key, "test_accuracy"]] for name in (FROZEN, TRAINABLE)
    )
    pairs = frozen.merge(trainable, on=key, suffixes=("_frozen", "_trainable"))
    cells = [{**dict(zip(CELL, of, strict=True)), **_cell(cell)} for of, cell in pairs.groupby(CELL)]
    made = pd.DataFrame(
        cells, columns=[name for name in COLUMNS if not name.startswith("published") and name != "scope"]
    )
    points = _published() if published.is_comparable(given) else _published().iloc[:0]
    made = made.merge(points, on=CELL, how="left")
    made["scope"] = [MEAN_OVER_DEPTHS if "," in depths else f"depth {depths}" for depths in made["depths"]]
    typed = made.reindex(columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    order = [-1 if "," in depths else int(depths) for depths in typed["depths"]]
    return (
        typed.assign(order=order).sort_values(["order", "num_disambiguation"], ignore_index=True).drop(columns="order")
    )


def _cell(cell: pd.DataFrame) -> dict[str, object]:
    both = cell.dropna()
    found = paired_difference((both["test_accuracy_trainable"] - both["test_accuracy_frozen"]).to_numpy(float))
    if found is None:
        return {"num_planned": len(cell), "num_pairs": 0}
    return {
        "num_planned": len(cell),
        "num_pairs": found.num_pairs,
        "frozen_mean": both["test_accuracy_frozen"].mean(),
        "trainable_mean": both["test_accuracy_trainable"].mean(),
        **paired.cells(found),
    }


def _published() -> pd.DataFrame:
    points = published.accuracies()
    frozen, trainable = (
        points.loc[points["control"] == name, [*CELL, "published_accuracy", "published_source"]]
        for name in (FROZEN, TRAINABLE)
    )
    both = frozen.merge(trainable, on=CELL, suffixes=("_frozen", "_trainable"))
    return pd.DataFrame(
        {
            **{name: both[name] for name in CELL},
            "published_frozen": both["published_accuracy_frozen"],
            "published_trainable": both["published_accuracy_trainable"],
            "published_difference": both["published_accuracy_trainable"] - both["published_accuracy_frozen"],
            "published_source": both["published_source_frozen"] + " and " + both["published_source_trainable"],
        }
    )


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    absent = [MISSING if num == 0 else DASH for num in found["num_pairs"]]
    means = {
        heading: [decimal(value, absent=word) for value, word in zip(found[name], absent, strict=True)]
        for heading, name in (("frozen", "frozen_mean"), ("trainable", "trainable_mean"))
    }
    return pd.DataFrame(
        {
            **settings.shown(found),
            "scope": found["scope"],
            "samples": found["num_disambiguation"].astype("string"),
            "pairs / planned": found["num_pairs"].astype("string") + " / " + found["num_planned"].astype("string"),
            **means,
            "trainable − frozen": list(map(signed, found["difference"])),
            **paired.certainty(found),
            "published frozen": list(map(decimal, found["published_frozen"])),
            "published trainable": list(map(decimal, found["published_trainable"])),
            "published difference": list(map(signed, found["published_difference"])),
        }
    )


def draw(table: pd.DataFrame, *, title: str) -> Figure:
    """From the rows of one combination of the table of `analysis.sections.frozen`."""
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


TITLE = "Frozen against trainable subnetworks"


def content(results: Results) -> Content | None:
    """A picture for each setting; nothing where no cell plans both."""
    found = table(results.arithmetic)
    if found.empty:
        return None
    pictures = [
        Picture(
            name=f"frozen{ending}",
            draw=partial(draw, each.part(found), title=titled(TITLE, each)),
            title=titled(TITLE, each),
            description="Test accuracy of subnetwork trainable minus subnetwork, paired by seed; dashed is published.",
        )
        for each, ending in zip(results.settings, endings(len(results.settings)), strict=True)
    ]
    return Content(table=found, shown=shown(found), pictures=pictures)


SECTION = Section(
    name="frozen",
    title=TITLE,
    place=140,
    of="arithmetic",
    content=content,
    caption=(
        "Differences are paired by seed; neither their intervals nor p are corrected for their number. "
        "Published: figure 3 and the figure of appendix B.3, one run per depth."
    ),
)
