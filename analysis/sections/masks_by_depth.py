"""Table 2: density and subtask accuracy of the discovered masks by depth, and how often discovery succeeds.

The paper says of its masks that they compute the subtask and that their densities are below 10%.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.elements.section import Content, Picture, Results, Section
from analysis.figures.style import count, draw_chance, grid, look, nothing, series, swatch
from analysis.rows import chance, settings
from analysis.rows.load import donors, masks
from analysis.rows.wording import DASH, MISSING, decimal, interval
from analysis.sections.masks import empty_sentences
from analysis.statistics import t_interval, wilson_interval

FOUND = 0.99
"""A mask at or above this accuracy on the subtask counts as found."""

PUBLISHED_DENSITY = "below 0.1"
SOURCE = "arXiv 2310.10899"

KEY = ["donor_kind", "subtask", "penalty", "temperature_schedule", "final_temperature", "num_layers"]

COLUMNS = {
    "donor_kind": pd.StringDtype(),
    "subtask": pd.StringDtype(),
    "penalty": "Float64",
    "temperature_schedule": pd.StringDtype(),
    "final_temperature": "Float64",
    "num_layers": "Int64",
    "num_planned": "Int64",
    "num_finished": "Int64",
    "donor_accuracy": "Float64",
    "density": "Float64",
    "density_low": "Float64",
    "density_high": "Float64",
    "num_empty": "Int64",
    "subtask_accuracy": "Float64",
    "subtask_low": "Float64",
    "subtask_high": "Float64",
    "num_found": "Int64",
    "found_low": "Float64",
    "found_high": "Float64",
    "published_density": pd.StringDtype(),
    "published_source": pd.StringDtype(),
}
"""`donor_accuracy` is on the donor's own task; `num_empty` masks keep no weight.
`*_low` and `*_high` are ends of 95% intervals: t for means, Wilson for
the share of masks that reach FOUND."""


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per kind of mask and depth, means over its finished masks.

    >>> from analysis import load
    >>> found = table(load("results/figure-3-depth-2.parquet"))
    >>> found[["num_layers", "num_found"]].values.tolist()
    [[2, 1]]
    """
    given, of_donors = masks(rows), donors(rows)
    accuracies = of_donors.set_index("run_id")["validation_accuracy"].where(
        (of_donors["status"] == "finished").to_numpy()
    )
    joined = given.assign(donor_accuracy=given["parent_id"].map(accuracies).astype("Float64"))
    made = list(_rows(joined))
    typed = pd.DataFrame(made, columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    return typed.sort_values(KEY, ignore_index=True)


def _rows(given: pd.DataFrame) -> Iterator[dict[str, object]]:
    for key, cell in given.groupby(KEY, dropna=False):
        finished = cell[cell["status"] == "finished"]
        accuracies = finished["subtask_accuracy"].dropna().to_numpy(float)
        densities = finished["density"].dropna().to_numpy(float)
        num_found = int((accuracies >= FOUND).sum())
        share, spread, accuracy = (
            wilson_interval(num_found, len(accuracies)),
            t_interval(densities),
            t_interval(accuracies),
        )
        yield {
            **dict(zip(KEY, key, strict=True)),
            "num_planned": len(cell),
            "num_finished": len(finished),
            "donor_accuracy": finished["donor_accuracy"].mean(),
            "density": densities.mean() if densities.size else None,
            "density_low": spread and spread.low,
            "density_high": spread and spread.high,
            "num_empty": int((densities == 0).sum()),
            "subtask_accuracy": accuracies.mean() if accuracies.size else None,
            "subtask_low": accuracy and accuracy.low,
            "subtask_high": accuracy and accuracy.high,
            "num_found": num_found,
            "found_low": share and share.low,
            "found_high": share and share.high,
            "published_density": PUBLISHED_DENSITY,
            "published_source": SOURCE,
        }


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    words = [MISSING if num == 0 else DASH for num in found["num_finished"]]
    means = {
        name: [decimal(value, absent=word) for value, word in zip(found[name], words, strict=True)]
        for name in ("donor_accuracy", "density", "subtask_accuracy")
    }
    return pd.DataFrame(
        {
            "donor": found["donor_kind"].fillna(DASH),
            "subtask": found["subtask"],
            "penalty": [settings.worded(float(value)) for value in found["penalty"]],
            "τ ends at": [settings.worded(float(value)) for value in found["final_temperature"]],
            "depth": found["num_layers"].astype("string"),
            "n finished / planned": found["num_finished"].astype("string")
            + " / "
            + found["num_planned"].astype("string"),
            "donor's accuracy": means["donor_accuracy"],
            "density": means["density"],
            "its 95% interval": list(map(interval, found["density_low"], found["density_high"])),
            "empty masks": found["num_empty"].astype("string"),
            "published density": found["published_density"],
            "subtask accuracy": means["subtask_accuracy"],
            "its 95% interval (t)": list(map(interval, found["subtask_low"], found["subtask_high"])),
            f"masks ≥ {FOUND}": found["num_found"].astype("string"),
            "success rate's 95% interval": [
                interval(low, high, digits=2) for low, high in zip(found["found_low"], found["found_high"], strict=True)
            ],
        }
    )


MEASURES = {
    "density": ("density (share of ones)", "density_low", "density_high"),
    "subtask_accuracy": ("subtask accuracy, hard mask", "subtask_low", "subtask_high"),
}


def draw(table: pd.DataFrame, *, chance: tuple[float, ...] = ()) -> Figure:
    """Two panels from the table of `analysis.sections.masks_by_depth`; dashed are the published bound and FOUND.

    `chance` is what constant answers get right; a level below the axis is named in the panel's title.
    """
    cells = table[table["num_finished"] > 0]
    with look():
        figure = Figure(figsize=(9.4, 3.9), layout="constrained")
        if cells.empty:
            nothing(figure, "no mask has finished")
            return figure
        panels = figure.subplots(1, 2)
        kinds = list(cells.groupby([name for name in KEY if name != "num_layers"], dropna=False, sort=False))
        for axes, (name, (label, low, high)) in zip(panels, MEASURES.items(), strict=True):
            for place, (_, line) in enumerate(kinds):
                depth, mean, down, up = (
                    line[column].to_numpy(float, na_value=np.nan) for column in ("num_layers", name, low, high)
                )
                bars, style = np.stack([mean - down, up - mean]), series(place)
                axes.errorbar(depth + 0.06 * place, mean, yerr=bars, marker=style.marker, color=style.color, capsize=2)
            axes.set_xticks(sorted({int(depth) for depth in cells["num_layers"]}))
            axes.margins(x=0.15)
            axes.set_xlabel("depth (layers)")
            axes.set_ylabel(label)
            grid(axes)
        panels[0].set_ylim(0, max(0.11, panels[0].get_ylim()[1]))
        panels[0].axhline(0.1, color="#555555", linewidth=0.9, linestyle=(0, (3, 2)))
        panels[0].set_title("dashed: published, below 10%", fontsize=9, fontweight="normal")
        low = min(panels[1].get_ylim()[0], 0.98)
        panels[1].set_ylim(low, max(1 + 0.05 * (1 - low), panels[1].dataLim.ymax))
        panels[1].axhline(FOUND, color="#555555", linewidth=0.9, linestyle=(0, (3, 2)))
        draw_chance(panels[1], [level for level in chance if level >= low])
        below = "".join(f"; chance {level:.3g} is below" for level in chance if level < low)
        panels[1].set_title(f"dashed: {FOUND}, counted as found{below}", fontsize=9, fontweight="normal")
        handles = [swatch(series(place)) for place in range(len(kinds))]
        figure.legend(handles, [_kind(line) for _, line in kinds], loc="outside lower center", ncols=2)
    return figure


def _kind(line: pd.DataFrame) -> str:
    first = line.iloc[0]
    num = count(int(line["num_finished"].min()), int(line["num_finished"].max()))
    donor = "" if pd.isna(first["donor_kind"]) else f"{first['donor_kind']} donor, "
    return f"{donor}{first['subtask']}, penalty {first['penalty']:g} ({num})"


TITLE = "Table 2: density and subtask accuracy by depth"


def content(results: Results) -> Content | None:
    """The table and its picture; nothing where the table is empty."""
    found = table(results.arithmetic)
    if found.empty:
        return None
    picture = Picture(
        name="masks_by_depth",
        draw=partial(draw, found, chance=chance.levels(masks(results.arithmetic))),
        title="Density and subtask accuracy of the masks against depth",
        description="A line per kind of mask; bars are t intervals over masks.",
    )
    return Content(sentences=empty_sentences(results.arithmetic), pictures=[picture], table=found, shown=shown(found))


SECTION = Section(
    name="masks_by_depth",
    title=TITLE,
    place=200,
    of="arithmetic",
    content=content,
    caption=f"Means over masks. Published: densities {PUBLISHED_DENSITY} ({SOURCE}).",
)
