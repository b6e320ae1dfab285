"""Mask anatomy: where the ones of the discovered masks are, by layer and part of a layer, and by head."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import PercentFormatter

from analysis.elements.section import Content, Picture, Results, Section, endings
from analysis.figures.style import headline, look, nothing
from analysis.rows import settings
from analysis.rows.load import mask_counts, masks
from analysis.rows.wording import DASH

PARTS = ("query", "key", "value", "output", "mlp.c_fc", "mlp.c_proj")
"""In the order of the forward pass. The first three are columns of attn.c_attn, the fourth rows of attn.c_proj."""

KEY = ["num_layers", "subtask", "penalty", "donor_kind"]

COLUMNS = {
    "num_layers": "Int64",
    "subtask": pd.StringDtype(),
    "penalty": "Float64",
    "donor_kind": pd.StringDtype(),
    "layer": "Int64",
    "part": pd.StringDtype(),
    "head": "Int64",
    "num_masks": "Int64",
    "num_finished": "Int64",
    "num_weights": "Int64",
    "density": "Float64",
    "lowest": "Float64",
    "highest": "Float64",
}
"""`head` is absent for a whole part. `density` is the mean over masks, `lowest` and `highest` are those of a single
mask; `num_masks` of `num_finished` masks are counted. `num_weights` is that of one mask."""


def table(rows: pd.DataFrame, parts: pd.DataFrame) -> pd.DataFrame:
    """One row per kind of mask, layer, part and head, and one per part as a whole.

    `parts` is `load.mask_counts(path, "parts")`.

    >>> from analysis.rows.load import load, mask_counts
    >>> path = "results/figure-3-depth-2.parquet"
    >>> found = table(load(path), mask_counts(path, "parts"))
    >>> found.query("layer == 1 and part == 'mlp.c_fc'")["density"].round(3).to_list()
    [0.083]
    """
    of_masks = masks(rows)[["run_id", "status", *KEY]]
    joined = parts.merge(of_masks, left_on="mask_id", right_on="run_id")
    whole = joined.groupby(["mask_id", *KEY, "layer", "part"], dropna=False, as_index=False)[
        ["num_weights", "num_kept"]
    ]
    each = pd.concat([joined[joined["head"].notna()], whole.sum()], ignore_index=True)
    each["density"] = each["num_kept"] / each["num_weights"]
    found = each.groupby([*KEY, "layer", "part", "head"], dropna=False, as_index=False).agg(
        num_masks=("mask_id", "nunique"),
        num_weights=("num_weights", "first"),
        density=("density", "mean"),
        lowest=("density", "min"),
        highest=("density", "max"),
    )
    finished = of_masks[of_masks["status"] == "finished"].groupby(KEY, dropna=False, as_index=False)
    found = found.merge(finished.agg(num_finished=("run_id", "size")), on=KEY, how="left")
    typed = found.reindex(columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    ranks = typed.assign(place=[PARTS.index(part) if part in PARTS else len(PARTS) for part in typed["part"]])
    ordered = ranks.sort_values([*KEY, "layer", "place", "part", "head"], na_position="first", ignore_index=True)
    return ordered[list(COLUMNS)]


def heading(kind: pd.DataFrame) -> str:
    """What tells one kind of mask, given by its rows, from another."""
    first = kind.iloc[0]
    donor = "" if pd.isna(first["donor_kind"]) else f", {first['donor_kind']} donor"
    counted, finished = int(kind["num_masks"].max()), int(first["num_finished"])
    count = f"n = {counted}" if counted == finished else f"n = {counted} of {finished}"
    return f"depth {first['num_layers']}, {first['subtask']}, penalty {first['penalty']:g}{donor} ({count})"


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    return pd.DataFrame(
        {
            "depth": found["num_layers"].astype("string"),
            "subtask": found["subtask"],
            "penalty": [settings.worded(float(value)) for value in found["penalty"]],
            "layer": found["layer"].astype("string"),
            "part": found["part"],
            "head": found["head"].astype("string").fillna("all" if len(found) else DASH),
            "masks counted / finished": found["num_masks"].astype("string")
            + " / "
            + found["num_finished"].astype("string"),
            "density": [f"{value:.2%}" for value in found["density"]],
            "lowest, highest": [
                f"{low:.2%}, {high:.2%}" for low, high in zip(found["lowest"], found["highest"], strict=True)
            ],
        }
    )


NAMES = {"mlp.c_fc": "MLP in", "mlp.c_proj": "MLP out"}


def draw(table: pd.DataFrame, *, title: str) -> Figure:
    """From the rows of one kind of mask of the table of `analysis.sections.anatomy`; all panels share their colours."""
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


def content(results: Results) -> Content | None:
    """A picture for each kind of mask; nothing where no stored mask was counted."""
    found = table(results.arithmetic, mask_counts(results.path, "parts"))
    if found.empty:
        return None
    kinds = [kind for _, kind in found.groupby(KEY, dropna=False, sort=False)]
    pictures = [
        Picture(
            name=f"anatomy{ending}",
            draw=partial(draw, kind, title=heading(kind)),
            title=f"Density in % of ones: {heading(kind)}",
            description="Heat maps: parts of a layer, and the heads of each part of attention.",
        )
        for kind, ending in zip(kinds, endings(len(kinds)), strict=True)
    ]
    return Content(pictures=pictures, table=found, shown=shown(found))


SECTION = Section(
    name="anatomy",
    title="Mask anatomy: density per layer, part and head",
    place=240,
    of="arithmetic",
    content=content,
    caption="Means over masks; the range is over masks.",
)
