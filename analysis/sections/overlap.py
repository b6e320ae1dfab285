"""How much two masks have in common, against what chance gives at equal density in every matrix.

Two random sets of n₁ and n₂ of N weights share n₁·n₂/N on average, with the variance of the hypergeometric
distribution; matrices are independent, so both add up over them. Masks of different donors are compared place by place
as well: their weights have no common meaning, which makes them a second measure of chance.
"""

from functools import partial
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from analysis.elements.columns import INTEGER, NUMBER, TEXT, Column, percent, typed
from analysis.elements.section import Content, Picture, Results, Section
from analysis.figures.style import grid, look, nothing, series
from analysis.rows.load import mask_counts, masks
from analysis.rows.wording import EMPTY, decimal, signed

RELATIONS = (
    "same donor, same subtask",
    "same donor, other subtask",
    "other donor, same subtask",
    "other donor, other subtask",
)


def _densities(first: float, second: float) -> str:
    return ", ".join(EMPTY if each == 0 else f"{each:.1%}" for each in (first, second))


COLUMNS = (
    Column("num_layers", INTEGER, "depth"),
    Column("relation", TEXT, "masks"),
    Column("first_id", TEXT),
    Column("second_id", TEXT),
    Column("first_subtask", TEXT, "subtasks", lambda *both: " | ".join(both), ("second_subtask",)),
    Column("second_subtask", TEXT),
    Column("first_seed", INTEGER, "seeds", lambda *both: ", ".join(map(str, both)), ("second_seed",)),
    Column("second_seed", INTEGER),
    Column("first_density", NUMBER, "densities", _densities, ("second_density",)),
    Column("second_density", NUMBER),
    Column("jaccard", NUMBER, "Jaccard", percent),
    Column("expected_jaccard", NUMBER, "Jaccard by chance", percent),
    Column("overlap", NUMBER, "overlap of the smaller", percent),
    Column("expected_overlap", NUMBER, "by chance", percent),
    Column("ratio", NUMBER, "times chance", lambda value: decimal(value, digits=1)),
    Column("deviations", NUMBER, "standard deviations", lambda value: signed(value, digits=0)),
)
"""`overlap` is the share of the smaller mask that is in the other, `jaccard` the common ones over those of either,
`expected_*` the same at chance; `ratio` is overlap over its expectation, and `deviations` says how many standard
deviations of chance lie between."""


def table(rows: pd.DataFrame, overlaps: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of masks; `overlaps` is `load.mask_counts(path, "overlaps")`."""
    of_masks = masks(rows).set_index("run_id")
    made = [
        _pair(str(first), str(second), pair, of_masks)
        for (first, second), pair in overlaps.groupby(["first_id", "second_id"], sort=False)
        if first in of_masks.index and second in of_masks.index
    ]
    found = typed(made, COLUMNS)
    ranks = found.assign(place=[RELATIONS.index(relation) for relation in found["relation"]])
    return ranks.sort_values(["num_layers", "place"], kind="stable", ignore_index=True).drop(columns="place")


def _pair(first: str, second: str, pair: pd.DataFrame, of_masks: pd.DataFrame) -> dict[str, Any]:
    one, two = (of_masks.loc[[run]].iloc[0] for run in (first, second))
    sizes, ones, twos, both = (
        pair[name].to_numpy(float) for name in ("num_weights", "num_first", "num_second", "num_both")
    )
    expected = ones * twos / sizes
    variance = float((expected * (1 - ones / sizes) * (sizes - twos) / np.maximum(sizes - 1, 1)).sum())
    common, chance, smaller = float(both.sum()), float(expected.sum()), min(float(ones.sum()), float(twos.sum()))
    total = float(ones.sum() + twos.sum())
    return {
        "num_layers": one["num_layers"],
        "relation": f"{_like(one, two, 'parent_id')} donor, {_like(one, two, 'subtask')} subtask",
        "first_id": first,
        "second_id": second,
        **{f"{name}_subtask": mask["subtask"] for name, mask in (("first", one), ("second", two))},
        **{f"{name}_seed": mask["seed"] for name, mask in (("first", one), ("second", two))},
        "first_density": float(ones.sum() / sizes.sum()),
        "second_density": float(twos.sum() / sizes.sum()),
        "jaccard": common / (total - common) if total > common else None,
        "expected_jaccard": chance / (total - chance) if total > chance else None,
        "overlap": common / smaller if smaller else None,
        "expected_overlap": chance / smaller if smaller else None,
        "ratio": common / chance if chance else None,
        "deviations": (common - chance) / sqrt(variance) if variance else None,
    }


def _like(one: pd.Series, two: pd.Series, name: str) -> str:
    return "same" if one[name] == two[name] else "other"


def draw(table: pd.DataFrame) -> Figure:
    """A column per depth and relation of the table of `analysis.sections.overlap`; a dash is the pair's chance."""
    with look():
        groups = [
            (depth, relation, pairs)
            for depth in sorted(set(table["num_layers"]))
            for relation in RELATIONS
            if len(pairs := table[(table["num_layers"] == depth) & (table["relation"] == relation)])
        ]
        figure = Figure(figsize=(max(4.8, 1.5 * len(groups) + 1.4), 4.0), layout="constrained")
        if not groups:
            nothing(figure, "fewer than two stored masks were counted")
            return figure
        axes = figure.subplots()
        for place, (_, relation, pairs) in enumerate(groups):
            style = series(RELATIONS.index(relation))
            spread = place + np.linspace(-0.18, 0.18, len(pairs)) if len(pairs) > 1 else np.array([float(place)])
            axes.plot(spread, pairs["overlap"].to_numpy(float), style.marker, color=style.color, markersize=5)
            axes.plot(spread, pairs["expected_overlap"].to_numpy(float), "_", color="#000000", markersize=9)
        labels = [
            f"depth {depth}\n{relation.replace(', ', ',' + chr(10))}\n{len(pairs)} pair{'' if len(pairs) == 1 else 's'}"
            for depth, relation, pairs in groups
        ]
        axes.set_xticks(range(len(groups)), labels, fontsize=8)
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0))
        axes.set_ylabel("share of the smaller mask\nthat is in the other (black dash: chance)")
        grid(axes)
        axes.tick_params(axis="x", labelsize=8)
    return figure


TITLE = "Overlap of masks against chance"


def content(results: Results) -> Content | None:
    """The table and its picture; nothing where the table is empty."""
    found = table(results.arithmetic, mask_counts(results.path, "overlaps"))
    if found.empty:
        return None
    picture = Picture(
        name="overlap",
        draw=partial(draw, found),
        title="Overlap of pairs of masks",
        description="A point per pair: the share of the smaller mask that is in the other; a dash is chance.",
    )
    return Content(pictures=[picture], table=found)


SECTION = Section(
    name="overlap",
    title=TITLE,
    place=250,
    of="arithmetic",
    content=content,
    columns=COLUMNS,
    caption="Chance is that of two random masks with as many ones in every matrix.",
)
