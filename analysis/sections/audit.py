"""The controls audit: what a control's recipients take from the donor, counted on the stored masks.

A name promises something: `random_as_released` a random subnetwork of the discovered one's size. The shares here are
counted weight by weight on the masks that the recipients were made from, and stand beside the share that the recipients
themselves recorded when they were trained.
"""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from analysis.elements.section import Content, Picture, Results, Section
from analysis.figures.style import look, nothing, series
from analysis.rows import controls
from analysis.rows.load import mask_counts, transfers
from analysis.rows.wording import DASH
from analysis.sections.masks import empty_sentences

COUNTS = [
    "num_weights",
    "num_subnetwork",
    "num_inherited",
    "num_frozen",
    "num_subnetwork_inherited",
    "num_subnetwork_frozen",
]

COLUMNS = {
    "num_layers": "Int64",
    "control": pd.StringDtype(),
    "num_recipients": "Int64",
    "num_masks": "Int64",
    "num_planned_starts": "Int64",
    "subnetwork_share": "Float64",
    "inherited_share": "Float64",
    "frozen_share": "Float64",
    "contained_share": "Float64",
    "contained_frozen_share": "Float64",
    "expected_contained_share": "Float64",
    "size_ratio": "Float64",
    "recorded_inherited_share": "Float64",
    "recorded_frozen_share": "Float64",
}
"""Shares of projection weights: `subnetwork_share` in the discovered subnetwork, `inherited_share` that start at the
donor's value, `frozen_share` that stay there. `contained_share` is the share of the subnetwork that is inherited,
`expected_contained_share` what a random set of the same size in every matrix would contain, and `size_ratio` how many
times the subnetwork's size is inherited; these are absent where no mask keeps a weight.
`recorded_*` are the means that the recipients' records hold. A start is a
control's mask or donor and seed; sample counts share it."""


def table(rows: pd.DataFrame, recipients: pd.DataFrame) -> pd.DataFrame:
    """One row per depth and control, from the result rows and `load.mask_counts(path, "recipients")`.

    >>> from analysis.rows.load import load, mask_counts
    >>> path = "results/figure-3-depth-2.parquet"
    >>> found = table(load(path), mask_counts(path, "recipients"))
    >>> float(found.set_index("control").loc["random_as_released", "frozen_share"].round(2))
    0.95
    """
    expected = recipients["num_inherited"] * recipients["num_subnetwork"] / recipients["num_weights"]
    key = ["num_layers", "control"]
    grouped = recipients.assign(expected=expected).groupby(key, as_index=False)
    found = grouped[[*COUNTS, "expected"]].sum()
    found[["num_recipients", "num_masks"]] = grouped[["run_id", "mask_id"]].nunique()[["run_id", "mask_id"]]
    for name in ("subnetwork", "inherited", "frozen"):
        found[f"{name}_share"] = found[f"num_{name}"] / found["num_weights"]
    size = found["num_subnetwork"].where(found["num_subnetwork"] > 0)  # of an empty subnetwork there are no shares
    for share, count in (
        ("contained_share", "num_subnetwork_inherited"),
        ("contained_frozen_share", "num_subnetwork_frozen"),
        ("expected_contained_share", "expected"),
    ):
        found[share] = found[count] / size
    found["size_ratio"] = found["num_inherited"] / size
    typed = found.merge(_recorded(rows), on=key, how="left").reindex(columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    order = controls.ordered(typed["control"])
    ranks = typed.assign(place=typed["control"].map(order.index)).sort_values(["num_layers", "place"])
    return ranks[list(COLUMNS)].reset_index(drop=True)


def _recorded(rows: pd.DataFrame) -> pd.DataFrame:
    """What the records of finished recipients say, and how many starts are planned, by depth and control."""
    given = transfers(rows)
    grouped = given.groupby(["num_layers", "control"])
    starts = given.assign(parent=given["parent_id"].fillna("")).drop_duplicates(
        ["num_layers", "control", "parent", "seed"]
    )
    return pd.DataFrame(
        {
            "recorded_inherited_share": grouped["kept_fraction"].mean(),
            "recorded_frozen_share": grouped["frozen_fraction"].mean(),
            "num_planned_starts": starts.groupby(["num_layers", "control"]).size(),
        }
    ).reset_index()


def sentences(found: pd.DataFrame) -> list[str]:
    """What a reader should not miss: controls whose random set is not of the subnetwork's size."""
    odd = found[
        found["control"].str.contains("random|complement")
        & (found["control"] != "random_init")
        & (found["size_ratio"] > 2).fillna(False)
    ]
    return [
        f"{controls.label(str(row['control']))} at depth {row['num_layers']} keeps {row['inherited_share']:.1%} of the "
        f"donor frozen, {row['size_ratio']:.0f} times the subnetwork's size, and {row['contained_share']:.1%} of the "
        "subnetwork itself is among it."
        for row in odd.to_dict("records")
    ]


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    shares = {
        "subnetwork's size": "subnetwork_share",
        "kept from the donor": "inherited_share",
        "frozen": "frozen_share",
        "of the subnetwork: kept": "contained_share",
        "kept by chance at that size": "expected_contained_share",
        "of the subnetwork: frozen": "contained_frozen_share",
        "kept, as recorded": "recorded_inherited_share",
        "frozen, as recorded": "recorded_frozen_share",
    }
    return pd.DataFrame(
        {
            "depth": found["num_layers"].astype("string"),
            "control": found["control"].map(controls.label),
            "starts counted / planned": found["num_recipients"].astype("string")
            + " / "
            + found["num_planned_starts"].astype("string").fillna(DASH),
            **{
                heading: [DASH if pd.isna(value) else f"{value:.1%}" for value in found[name]]
                for heading, name in shares.items()
            },
            "kept / subnetwork's size": [DASH if pd.isna(value) else f"{value:.2f}" for value in found["size_ratio"]],
        }
    )


DASHES = (0, (2, 2))
BARS = {
    "inherited_share": "kept from the donor",
    "frozen_share": "of which frozen",
    "contained_share": "of the subnetwork: kept",
    "expected_contained_share": "the same by chance",
}


def draw(table: pd.DataFrame) -> Figure:
    """A panel per depth of the table of `analysis.sections.audit`, a group of bars per control."""
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


TITLE = "Controls audit: what each control keeps, freezes and contains"


def content(results: Results) -> Content | None:
    """The table and its picture; nothing where the table is empty."""
    found = table(results.arithmetic, mask_counts(results.path, "recipients"))
    if found.empty:
        return None
    picture = Picture(
        name="audit",
        draw=partial(draw, found),
        title="What each control takes from the donor",
        description="Shares of projection weights, and of the subnetwork's among them, counted on stored masks.",
    )
    return Content(
        sentences=[*sentences(found), *empty_sentences(results.arithmetic)],
        pictures=[picture],
        table=found,
        shown=shown(found),
    )


SECTION = Section(
    name="audit",
    title=TITLE,
    place=230,
    of="arithmetic",
    content=content,
    caption="Counted on the stored masks, weight by weight; the last columns are what the recipients recorded.",
)
