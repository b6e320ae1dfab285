"""Shape bias of the subnetwork's recipients minus that of every other start, paired by seed.

A recipient is paired with another of its seed, and with the donor that its subnetwork is from; recipients of one donor
are averaged first then, for their donor counts once.
"""

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.elements import paired
from analysis.elements.section import Content, Picture, Results, Section
from analysis.figures.style import Style, count, headline, look, nothing, series, swatch
from analysis.rows import controls, images, settings
from analysis.rows.settings import agrees
from analysis.rows.wording import DASH, MISSING, decimal, interval, listed, probability, signed
from analysis.statistics import LEVEL, paired_difference

COLUMNS = {
    "model": pd.StringDtype(),
    "start": pd.StringDtype(),
    "other": pd.StringDtype(),
    "num_planned": "Int64",
    "num_pairs": "Int64",
    "subnetwork_mean": "Float64",
    "other_mean": "Float64",
    "subnetwork_decisions": pd.StringDtype(),
    "other_decisions": pd.StringDtype(),
    **paired.COLUMNS,
}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per model and other start, after the varying settings, with COLUMNS; no row without a subnetwork.

    `p` is two-sided, of the exact sign-flip test. A start that lacks a setting stands beside each of its values.
    """
    names = images.varying(rows)
    given = images.measured(rows)
    found = []
    is_trained = (given["donor_kind"] != "untrained").fillna(True)
    own = given[(given["control"] == controls.REFERENCE).fillna(False) & is_trained]
    for of, subnetworks in own.groupby([*names, "model", "start"], dropna=False):
        *values, start = of
        shared = dict(zip([*names, "model"], values, strict=True))
        beside = given[agrees(given, shared)]
        for other in controls.ordered(beside["start"].to_list()):
            if other != start:
                cell = _cell(subnetworks, beside[beside["start"] == other])
                found.append({**shared, "start": start, "other": other, **cell})
    return pd.DataFrame(found, columns=[*names, *COLUMNS]).astype(COLUMNS)  # type: ignore[arg-type]


def _cell(subnetworks: pd.DataFrame, others: pd.DataFrame) -> dict[str, object]:
    is_donor = bool((others["stage"] == "donor").all())
    by = "donor_seed" if is_donor else "seed"
    ours = _by_seed(subnetworks, by)
    theirs = _by_seed(others, "seed").rename_axis(by)
    pairs = pd.concat({"ours": ours, "theirs": theirs}, axis=1, join="inner")
    both = pairs.dropna()
    found = paired_difference((both["ours"] - both["theirs"]).to_numpy(float))
    if found is None:
        return {"num_planned": len(pairs), "num_pairs": 0}
    return {
        "num_planned": len(pairs),
        "num_pairs": found.num_pairs,
        "subnetwork_mean": both["ours"].mean(),
        "other_mean": both["theirs"].mean(),
        "subnetwork_decisions": _decisions(subnetworks[subnetworks[by].isin(both.index)]),
        "other_decisions": _decisions(others[others["seed"].isin(both.index)]),
        **paired.cells(found),
    }


def _decisions(runs: pd.DataFrame) -> str:
    """The decisions that the ratios of the finished runs rest on, of all."""
    finished = runs[runs["status"] == "finished"]
    return images.decided({name: finished[name].sum(min_count=1) for name in images.DECISIONS})


def _by_seed(runs: pd.DataFrame, by: str) -> pd.Series:
    """The mean shape bias of each seed's finished runs; absent for a seed of which one has not finished."""
    biases = runs["shape_bias"].where(runs["status"] == "finished")
    return biases.groupby(runs[by]).agg(lambda each: each.mean(skipna=False)).astype("Float64")


def sentences(found: pd.DataFrame) -> list[str]:
    """What the difference from the donor is, a sentence for each model and setting with a pair."""
    chosen = found[(found["other"] == images.DONOR) & (found["num_pairs"] > 0)]
    return [_sentence(row) for row in chosen.to_dict("records")]


def _sentence(row: dict[Any, Any]) -> str:
    values = [name for name in images.SETTINGS if not pd.isna(row.get(name))]
    where = ", ".join([row["model"], *(f"{settings.words(name)} {settings.worded(row[name])}" for name in values)])
    means = f"{decimal(row['subnetwork_mean'])} ({row['start']}) against {decimal(row['other_mean'])} (their donors)"
    difference = f"{signed(row['difference'])} {interval(row['difference_low'], row['difference_high'])}"
    test = f"p {probability(row['p'])} (smallest possible {probability(row['smallest_p'])})"
    decisions = f"decisions for shape or texture: {row['subnetwork_decisions']} against {row['other_decisions']}"
    return f"{where}: shape bias {means}, difference {difference}, {test}, {row['num_pairs']} pairs; {decisions}."


def family(found: pd.DataFrame) -> list[str]:
    """How many differences stand together, that they are not corrected for it, and what their p can tell at most."""
    given = found[found["num_pairs"] > 0]
    if given.empty:
        return []
    others = listed(list(dict.fromkeys(given["other"])))
    said = [f"{len(given)} difference(s), against {others}: neither intervals ({LEVEL:.0%} each) nor p are corrected."]
    floor = float(given["smallest_p"].min())
    if floor > 1 - LEVEL:
        most, level = int(given["num_pairs"].max()), f"{1 - LEVEL:.0%}"
        said.append(f"With {most} pair(s) no p can reach {level}: the smallest possible is {probability(floor)}.")
    return said


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    absent = [MISSING if num == 0 else DASH for num in found["num_pairs"]]
    means = {
        heading: [decimal(value, absent=word) for value, word in zip(found[name], absent, strict=True)]
        for heading, name in (("subnetwork", "subnetwork_mean"), ("the other", "other_mean"))
    }
    return pd.DataFrame(
        {
            **settings.shown(found, images.SETTINGS),
            "model": found["model"],
            "start": found["start"],
            "against": found["other"],
            "pairs / planned": found["num_pairs"].astype("string") + " / " + found["num_planned"].astype("string"),
            **means,
            "its decisions": found["subnetwork_decisions"].fillna(DASH),
            "the other's": found["other_decisions"].fillna(DASH),
            "difference": list(map(signed, found["difference"])),
            **paired.certainty(found),
        }
    )


SPREAD = 0.56
"""Of the points of a line, in lines."""

WIDTH_OF_NAMES = 7.2
"""Inches that the name of an experiment with four settings takes."""


def draw(experiments: list[tuple[str, pd.DataFrame]], *, title: str) -> Figure:
    """A panel per model; of each experiment its name and its rows of the table of `analysis.sections.shape_bias`."""
    whole = pd.concat([part for _, part in experiments]) if experiments else pd.DataFrame(columns=["model", "other"])
    models, others = sorted(set(whole["model"])), controls.ordered(whole["other"].to_list())
    height = 0.3 + 0.09 * len(experiments)
    with look():
        width, below = max(WIDTH_OF_NAMES, 4.0 * len(models) + 1.8), 0.2 * len(experiments)
        figure = Figure(figsize=(width, height * len(others) + below + 1.3), layout="constrained")
        headline(figure, title)
        if not others:
            nothing(figure, "no subnetwork has another start next to it")
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


TITLE = "Shape bias of the subnetwork's recipients minus that of other starts"


def content(results: Results) -> Content | None:
    """One picture of all settings; nothing without a subnetwork and another start."""
    found = table(results.images)
    if found.empty:
        return None
    several = [(each.title, each.rows) for each in images.experiments(found)]
    picture = Picture(
        name="shape_bias",
        draw=partial(draw, several, title=TITLE),
        title=TITLE,
        description="Mean paired difference, 95% t interval (uncorrected); right of zero the subnetwork's is higher.",
    )
    return Content(sentences=[*sentences(found), *family(found)], pictures=[picture], table=found, shown=shown(found))


SECTION = Section(
    name="shape_bias",
    title="Shape bias of the subnetwork's recipients against other starts",
    place=310,
    of="images",
    content=content,
    caption="Differences of shape bias, paired by seed.",
)
