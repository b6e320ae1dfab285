"""Which rule a recipient follows while it learns: how far its answers agree with each reading of the ambiguous data.

A recipient that has seen pairs (a, a) only cannot tell a² + ab from 2a² or 2b². The agreement with the rule itself is
the validation accuracy. Readings agree with each other on some samples, so the shares do not add up to 1.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.elements.section import Content, Picture, Results, Section, titled
from analysis.figures.style import DOTS, grid, headline, legend_label, look, nothing, series, swatch
from analysis.rows import controls, settings
from analysis.rows.load import chance_agreement
from analysis.rows.seeds import of_seeds
from analysis.rows.wording import DASH, decimal
from analysis.sections.training import Learned, learned

CELL = ["control", "num_disambiguation"]
COLUMNS = [*CELL, "reading", "epoch", "agreement", "lowest", "highest", "num_runs"]


def table(readings: pd.DataFrame) -> pd.DataFrame:
    """One row per control, number of samples, reading and epoch, from `load.readings`, with the columns COLUMNS.

    `agreement` is the mean over seeds, the runs of one seed being averaged first; `lowest` and `highest` are those of a
    single seed. An epoch is here if every run of its cell has it.
    """
    if readings.empty:
        return pd.DataFrame(columns=COLUMNS)
    seeds = of_seeds(readings, key=[*CELL, "reading"], value="agreement")
    grouped = seeds.groupby([*CELL, "reading", "epoch"], as_index=False, observed=True)
    means = grouped.agg(
        mean=("agreement", "mean"),
        lowest=("agreement", "min"),
        highest=("agreement", "max"),
        num_runs=("num_runs", "sum"),
    ).rename(columns={"mean": "agreement"})
    whole = means["num_runs"] == means.groupby([*CELL, "reading"], observed=True)["num_runs"].transform("max")
    texts = {"control": pd.StringDtype(), "reading": pd.StringDtype()}
    return means.loc[whole, COLUMNS].astype(texts).reset_index(drop=True)


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """A row per control, number of samples and one of a few epochs, a column per reading, and the one that leads."""
    if found.empty:
        return pd.DataFrame(columns=["control", "samples", "epoch", "n", "leads"])
    varied = [name for name in settings.ARITHMETIC if name in found.columns]
    chosen = found[found["epoch"].isin(_few(sorted(set(found["epoch"]))))]
    chosen = chosen.astype(dict.fromkeys(varied, "object")).fillna(dict.fromkeys(varied, DASH))
    wide = chosen.pivot_table(
        index=[*varied, *CELL, "epoch", "num_runs"], columns="reading", values="agreement", observed=True
    )
    keys = wide.index.to_frame(index=False)
    order = keys.assign(place=keys["control"].map(controls.ordered(keys["control"]).index))
    order = order.sort_values([*varied, "place", "num_disambiguation", "epoch"])
    wide, keys = wide.iloc[order.index], keys.loc[order.index]
    return pd.DataFrame(
        {
            **{settings.words(name): [settings.worded(value) for value in keys[name]] for name in varied},
            "control": keys["control"].map(controls.label).to_list(),
            "samples": keys["num_disambiguation"].astype("string").to_list(),
            "epoch": keys["epoch"].astype("string").to_list(),
            "n": keys["num_runs"].astype("string").to_list(),
            **{f"as {reading}": [decimal(value) for value in wide[reading]] for reading in wide.columns},
            "leads": wide.idxmax(axis=1).to_list(),
        }
    )


def _few(epochs: list[int]) -> list[int]:
    """The first epoch, about a tenth and a third of the way, and the last."""
    return sorted({epochs[int(share * (len(epochs) - 1))] for share in (0, 0.1, 0.33, 1)})


MOST_COLUMNS = 5
ROW, TOP, BOTTOM, LINE = 1.05, 0.62, 0.78, 0.2
"""Inches: of a row of panels, of the headings above them, of the axis and a line of the legend below, and of a line."""

CHANCE_COLOR = "#555555"


def draw(table: pd.DataFrame, *, rule: str, title: str, chance: Mapping[str, float] | None = None) -> Figure:
    """From the table of `analysis.sections.readings`; of many sample counts a few, evenly spread, are drawn.

    `rule` is the one that the recipients are to learn; it is drawn first. The band is the range over seeds. `chance`
    has by reading the agreement that needs no knowledge of it, which is dotted: with the rule that of the best constant
    answer, with a rival that of the rule itself.
    """
    by_chance = chance or {}
    names, samples = controls.ordered(table["control"]), _spread(sorted(set(table["num_disambiguation"])))
    readings = sorted(set(table["reading"]), key=lambda reading: (reading != rule, reading))
    with look():
        # The dotted entry has a line of its own: next to the others it would run out of a narrow figure.
        bottom = BOTTOM + LINE * bool(by_chance)
        figure = Figure(figsize=(2.1 * max(len(samples), 2) + 1.7, ROW * max(len(names), 2) + TOP + bottom))
        headline(figure, title)
        if not names:
            nothing(figure, "no transfer has finished")
            return figure
        _panels(figure, table, names=names, samples=samples, readings=readings)
        figure.subplots_adjust(bottom=bottom / figure.get_figheight())
        handles = [swatch(series(place), with_marker=False) for place in range(len(readings))]
        labels = [f"answers {reading}" + (" (the rule)" if reading == rule else "") for reading in readings]
        _chance(figure, {each: by_chance[each] for each in readings if each in by_chance})
        place = (0.5, LINE * bool(by_chance) / figure.get_figheight())
        figure.legend(handles, labels, loc="lower center", ncols=len(readings), bbox_to_anchor=place)
    return figure


def _chance(figure: Figure, by_chance: Mapping[str, float]) -> None:
    """A dotted line at each level in every panel, and an entry that names the levels of the readings."""
    if not by_chance:
        return
    for axes in figure.axes:
        for level in sorted(set(by_chance.values())):
            axes.axhline(level, color=CHANCE_COLOR, linewidth=0.9, linestyle=DOTS, zorder=1)
    dotted = Line2D([], [], color=CHANCE_COLOR, linewidth=0.9, linestyle=DOTS)
    words = "by chance " + ", ".join(f"{level:.3g} as {reading}" for reading, level in by_chance.items())
    figure.legend([dotted], [words], loc="lower center")


def _panels(figure: Figure, table: pd.DataFrame, *, names: list[str], samples: list[int], readings: list[str]) -> None:
    """A panel per control and number of samples. Axes are set one by one: sharing them costs seconds."""
    width, height = figure.get_size_inches()
    panels = figure.subplots(len(names), len(samples), squeeze=False)
    figure.subplots_adjust(
        left=1.75 / width, right=1 - 0.1 / width, top=1 - TOP / height, bottom=BOTTOM / height, wspace=0.12, hspace=0.2
    )
    groups = dict(iter(table.groupby(["control", "num_disambiguation"])))
    last = float(table["epoch"].max())
    for row, name in enumerate(names):
        for column, num in enumerate(samples):
            axes = panels[row, column]
            if (name, num) in groups:
                _panel(axes, groups[name, num], readings)
            axes.set_xlim(0, last)
            axes.tick_params(labelsize=7, labelleft=column == 0, labelbottom=row == len(names) - 1)
        runs = table[table["control"] == name]["num_runs"]
        wrapped = legend_label(name, int(runs.min()), int(runs.max())).replace(" (", "\n(")
        panels[row, 0].set_ylabel(wrapped, fontsize=7.5, rotation=0, ha="right", va="center")
    for axes, num in zip(panels[0], samples, strict=True):
        axes.set_title(f"{num:,} sample{'' if num == 1 else 's'}", fontsize=9, fontweight="normal")
    for axes in panels[-1]:
        axes.set_xlabel("epoch")


def _panel(axes: Axes, cells: pd.DataFrame, readings: list[str]) -> None:
    for reading, curve in cells.groupby("reading"):
        style = series(readings.index(str(reading)))
        epoch, agreement, lowest, highest = (
            curve[name].to_numpy(float) for name in ("epoch", "agreement", "lowest", "highest")
        )
        axes.plot(epoch, agreement, color=style.color, linewidth=1.0)
        if (highest > lowest).any():
            axes.fill_between(epoch, lowest, highest, color=style.color, alpha=0.18, linewidth=0)
    axes.set_ylim(0, 1.03)
    axes.set_yticks(np.linspace(0, 1, 3))
    grid(axes)


def _spread(samples: list[int]) -> list[int]:
    if len(samples) <= MOST_COLUMNS:
        return samples
    places = np.linspace(0, len(samples) - 1, MOST_COLUMNS).round().astype(int)
    return [samples[place] for place in places]


def content(results: Results) -> Content:
    """A picture for each setting, above the table of all."""
    several = [(each, table(each.curves)) for each in learned(results)]
    found = pd.concat([each.labelled(own) for each, own in several], ignore_index=True)
    return Content(
        sentences=(
            "Agreement with the rule is the validation accuracy.",
            "Agreement with a rival is the share of validation samples that are answered as it would.",
            "Readings agree with each other on some samples.",
        ),
        pictures=[_picture(results, *each) for each in several],
        table=found,
        shown=shown(found),
    )


def _picture(results: Results, of: Learned, found: pd.DataFrame) -> Picture:
    title = titled(f"Which rule is followed, depth {of.depth}", of.setting)
    rule = str(of.curves["rule"].iloc[0]) if len(of.curves) else ""
    levels = chance_agreement(results.path, run_ids=of.run_ids)
    return Picture(
        name=f"readings{of.ending}",
        draw=partial(draw, found, rule=rule, title=title, chance=levels),
        title=title,
        description="Agreement with each reading over epochs: a row per control, a column per number of samples. "
        "Dotted is chance: with the rule, that of the best constant answer; with a rival, that of the rule itself.",
    )


SECTION = Section(
    name="readings",
    title="Which rule a recipient follows while it learns",
    place=180,
    of="arithmetic",
    content=content,
    caption="Mean agreement over seeds at a few epochs; the files hold every epoch.",
)
