"""Discovery in pretrained against random donors: does a mask find the subtask where nothing was learned?

If a mask over an untrained network computes the subtask as well, the mask and not the network holds it.
"""

from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.elements.columns import INTEGER, NUMBER, TEXT, Column, of_planned, typed
from analysis.elements.section import Content, Picture, Results, Section
from analysis.figures.style import draw_chance, grid, look, nothing, series, swatch
from analysis.rows import chance, settings
from analysis.rows.load import masks
from analysis.rows.wording import DASH, MISSING, decimal, interval, signed
from analysis.statistics import probability_of_improvement, t_interval

KEY = ["subtask", "penalty", "num_layers"]


def _of_arm(kind: str, name: str) -> tuple[Column, ...]:
    return (
        Column(f"{kind}_planned", INTEGER),
        Column(f"{kind}_finished", INTEGER, f"{name}: n finished / planned", of_planned, (f"{kind}_planned",)),
        Column(f"{kind}_accuracy", NUMBER, f"{name}: subtask accuracy", _accuracy, (f"{kind}_planned",)),
        Column(f"{kind}_low", NUMBER, f"{name}: 95% interval (t)", interval, (f"{kind}_high",)),
        Column(f"{kind}_high", NUMBER),
        Column(f"{kind}_density", NUMBER, f"{name}: density", decimal),
    )


def _accuracy(value: Any, num_planned: int) -> str:
    return decimal(value, absent=MISSING if num_planned else DASH)


COLUMNS = (
    Column("subtask", TEXT, "subtask"),
    Column("penalty", NUMBER, "penalty", settings.worded),
    Column("num_layers", INTEGER, "depth"),
    *_of_arm("trained", "pretrained donor"),
    *_of_arm("untrained", "random donor"),
    Column("difference", NUMBER, "difference", signed),
    Column("improvement", NUMBER, "P(pretrained is better)", decimal),
    Column("improvement_low", NUMBER, "its 95% interval", interval, ("improvement_high",)),
    Column("improvement_high", NUMBER),
)
"""`*_accuracy` is the mean accuracy on the subtask under the hard mask, with its t interval; `difference` is trained
minus untrained; `improvement` is the probability that a mask in a trained donor is the more accurate one."""


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per subtask, penalty and depth for which masks of untrained donors are planned, the COLUMNS.

    Empty if no donor is planned that is used as it was initialised.
    """
    given = masks(rows)
    untrained = given[given["donor_kind"] == "untrained"]
    keys = untrained[KEY].drop_duplicates()
    made = []
    for key in keys.itertuples(index=False, name=None):
        same = (given[KEY] == list(key)).all(axis=1)
        arms = {kind: given[same & (given["donor_kind"] == kind)] for kind in ("trained", "untrained")}
        made.append({**dict(zip(KEY, key, strict=True)), **_row(arms)})
    return typed(made, COLUMNS).sort_values(KEY, ignore_index=True)


def _row(arms: dict[str, pd.DataFrame]) -> dict[str, object]:
    row: dict[str, object] = {}
    values = {}
    for kind, arm in arms.items():
        finished = arm[arm["status"] == "finished"]
        values[kind] = finished["subtask_accuracy"].to_numpy(float)
        found = t_interval(values[kind])
        row |= {
            f"{kind}_planned": len(arm),
            f"{kind}_finished": len(finished),
            f"{kind}_accuracy": values[kind].mean() if len(finished) else None,
            f"{kind}_low": found and found.low,
            f"{kind}_high": found and found.high,
            f"{kind}_density": finished["density"].mean() if len(finished) else None,
        }
    chance = probability_of_improvement(values["trained"], values["untrained"])
    if chance is None:
        return row
    return row | {
        "difference": values["trained"].mean() - values["untrained"].mean(),
        "improvement": chance.probability,
        "improvement_low": chance.interval and chance.interval.low,
        "improvement_high": chance.interval and chance.interval.high,
    }


ARMS = {"trained": "pretrained donor", "untrained": "random donor"}


def draw(table: pd.DataFrame, *, chance: tuple[float, ...] = ()) -> Figure:
    """From the table of `analysis.sections.discovery`: a column per subtask, penalty and depth, bars are t intervals.

    `chance` is what constant answers get right.
    """
    with look():
        figure = Figure(figsize=(max(4.6, 1.3 * len(table) + 2.4), 4.0), layout="constrained")
        if table.empty or not (table["trained_finished"] + table["untrained_finished"]).any():
            nothing(figure, "no mask has finished")
            return figure
        axes = figure.subplots()
        for place, arm in enumerate(ARMS):
            mean, low, high = (
                table[f"{arm}_{name}"].to_numpy(float, na_value=np.nan) for name in ("accuracy", "low", "high")
            )
            style = series(place)
            where = np.arange(len(table)) + (-0.12, 0.12)[place]
            bars = np.stack([mean - low, high - mean])
            axes.errorbar(where, mean, yerr=bars, fmt=style.marker, color=style.color, capsize=3, markersize=6)
        axes.set_xticks(range(len(table)), [_label(row) for row in table.to_dict("records")], fontsize=8)
        axes.set_xlim(-0.6, len(table) - 0.4)
        axes.set_ylim(0, 1.05)
        draw_chance(axes, chance)
        axes.set_ylabel("subtask accuracy, hard mask")
        grid(axes)
        axes.tick_params(axis="x", labelsize=8)
        figure.legend(
            [swatch(series(place)) for place in range(len(ARMS))],
            list(ARMS.values()),
            loc="outside lower center",
            ncols=2,
        )
    return figure


def _label(row: Mapping[Hashable, Any]) -> str:
    counts = f"n = {row['trained_finished']} and {row['untrained_finished']}"
    return f"{row['subtask']}, depth {row['num_layers']}\npenalty {row['penalty']:g}\n{counts}"


TITLE = "Discovery in pretrained against random donors"


def content(results: Results) -> Content | None:
    """The table and its picture; nothing where the table is empty."""
    found = table(results.arithmetic)
    if found.empty:
        return None
    picture = Picture(
        name="discovery",
        draw=partial(draw, found, chance=chance.levels(masks(results.arithmetic))),
        title=TITLE,
        description="Subtask accuracy of masks in trained and in untrained donors; bars are t intervals.",
    )
    return Content(pictures=[picture], table=found)


SECTION = Section(
    name="discovery",
    title=TITLE,
    place=220,
    of="arithmetic",
    content=content,
    columns=COLUMNS,
    caption="Accuracy on the subtask under the hard mask.",
)
