"""The table of training: validation accuracy over epochs, a mean over seeds for each control and number of samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.elements.section import Content, Picture, Results, Section, endings, titled
from analysis.figures.style import Style, draw_chance, grid, headline, legend_label, look, styles, swatch
from analysis.rows import chance, controls, settings
from analysis.rows.load import readings
from analysis.rows.seeds import of_seeds
from analysis.rows.settings import Setting
from analysis.rows.wording import decimal

CELL = ["control", "num_disambiguation"]


def table(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per control, number of samples and epoch: control, num_disambiguation, epoch, mean, num_runs.

    `curves` has a row per run and epoch. The runs of one seed are averaged first, then the seeds. An epoch is here only
    if every finished run of its cell has it, so that a curve is a mean over the same runs from end to end.
    """
    seeds = of_seeds(curves, key=CELL, value="validation_accuracy")
    grouped = seeds.groupby([*CELL, "epoch"], as_index=False, observed=True)
    means = grouped.agg(mean=("validation_accuracy", "mean"), num_runs=("num_runs", "sum"))
    whole = means["num_runs"] == means.groupby(CELL, observed=True)["num_runs"].transform("max")
    return means[whole].astype({"control": pd.StringDtype()}).reset_index(drop=True)


def shown(training: pd.DataFrame) -> pd.DataFrame:
    """A row per control and number of samples, a column for each of a few epochs."""
    epochs = sorted(set(training["epoch"]))
    few = sorted({epochs[int(share * (len(epochs) - 1))] for share in (0, 0.1, 0.33, 0.66, 1)}) if epochs else []
    varied = [name for name in settings.ARITHMETIC if name in training.columns]
    key = [*varied, "control", "num_disambiguation", "num_runs"]
    chosen = training[training["epoch"].isin(few)]
    cells = {tuple(key): cell.set_index("epoch")["mean"] for key, cell in chosen.groupby(key, dropna=False, sort=False)}
    keys = pd.DataFrame(list(cells), columns=key)
    return pd.DataFrame(
        {
            **settings.shown(keys),
            "control": keys["control"].map(controls.label),
            "samples": keys["num_disambiguation"].astype("string"),
            "n": keys["num_runs"].astype("string"),
            **{f"epoch {epoch}": [decimal(cell.get(epoch)) for cell in cells.values()] for epoch in few},
        }
    )


def num_runs(training: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """For each control the fewest and the most runs behind one of its curves, in the order of listing."""
    grouped = training.groupby("control")["num_runs"]
    fewest, most = ({str(key): int(num) for key, num in each.items()} for each in (grouped.min(), grouped.max()))
    return {control: (fewest[control], most[control]) for control in controls.ordered(most)}


MOST_COLUMNS = 5


def draw(
    table: pd.DataFrame, *, num_runs: dict[str, tuple[int, int]], title: str, chance: tuple[float, ...] = ()
) -> Figure:
    """Small multiples from the columns control, num_disambiguation, epoch and mean of the training table.

    `chance` is what constant answers get right.
    """
    samples = sorted(set(table["num_disambiguation"]))
    looks = styles(controls.ordered(table["control"]))
    columns = min(MOST_COLUMNS, max(len(samples), 1))
    lines = max(ceil(len(samples) / columns), 1)
    with look():
        figure = Figure(figsize=(max(2.35 * columns, 6.8), 2.0 * lines + 1.3), layout="constrained")
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()
        for index, num in enumerate(samples):
            _panel(panels[index], table[table["num_disambiguation"] == num], looks)
            draw_chance(panels[index], chance, size=6.0)
            panels[index].set_title(f"{num:,} sample{'' if num == 1 else 's'}", fontsize=9, fontweight="normal")
            if index + columns >= len(samples):
                panels[index].tick_params(labelbottom=True)
                panels[index].set_xlabel("epoch")
        for index in range(len(samples), len(panels)):
            panels[index].set_visible(False)
        if not samples:
            figure.text(0.5, 0.5, "no transfer has finished", ha="center", color="#555555")
        headline(figure, title)
        figure.supylabel("validation accuracy", fontsize=9)
        _legend(figure, looks, num_runs)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, looks: dict[str, Style]) -> None:
    for control, curve in table.groupby("control", sort=False):
        style = looks[str(control)]
        width = style.linewidth * 0.75
        axes.plot(curve["epoch"], curve["mean"], color=style.color, linewidth=width, zorder=style.zorder)
    axes.set_ylim(0, 1.03)
    axes.set_yticks(np.linspace(0, 1, 3))
    grid(axes)


def _legend(figure: Figure, looks: dict[str, Style], num_runs: dict[str, tuple[int, int]]) -> None:
    if not looks:
        return
    handles = [swatch(style, with_marker=False) for style in looks.values()]
    labels = [legend_label(control, *num_runs[control]) for control in looks]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(looks)), columnspacing=1.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The curves of a setting at one depth, and the ending of its files."""

    setting: Setting
    ending: str
    depth: int
    curves: pd.DataFrame
    run_ids: Sequence[str]

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table with the setting and the depth."""
        return self.setting.labelled(table).assign(num_layers=self.depth)


@lru_cache(maxsize=1)
def learned(results: Results) -> tuple[Learned, ...]:
    """Of each setting, at the greatest depth with a finished transfer; the curves are read once for all sections."""
    several = zip(results.settings, endings(len(results.settings)), strict=True)
    return tuple(_learned(results, setting, ending) for setting, ending in several)


def _learned(results: Results, setting: Setting, ending: str) -> Learned:
    finished = setting.rows[setting.rows["status"] == "finished"]
    depth = int((results.arithmetic if finished.empty else finished)["num_layers"].max())
    run_ids = finished[finished["num_layers"] == depth]["run_id"].to_list()
    curves = readings(results.path, run_ids=run_ids)
    return Learned(setting=setting, ending=ending, depth=depth, curves=curves, run_ids=run_ids)


def content(results: Results) -> Content:
    """A picture for each setting, above the table of all."""
    several = [(each, table(_own(each.curves))) for each in learned(results)]
    found = pd.concat([each.labelled(own) for each, own in several], ignore_index=True)
    return Content(pictures=[_picture(*each) for each in several], table=found, shown=shown(found))


def _own(given: pd.DataFrame) -> pd.DataFrame:
    """Validation accuracy among the readings: the agreement with the rule itself."""
    own = given[given["reading"] == given["rule"]]
    return own.rename(columns={"agreement": "validation_accuracy"}).drop(columns=["reading", "rule"])


def _picture(of: Learned, found: pd.DataFrame) -> Picture:
    title = titled(f"Training at depth {of.depth}, mean over seeds", of.setting)
    levels = chance.levels(of.setting.rows)
    return Picture(
        name=f"training{of.ending}",
        draw=partial(draw, found, num_runs=num_runs(found), title=title, chance=levels),
        title=title,
        description="Validation accuracy over epochs: each control's mean over seeds, a panel per number of samples.",
    )


SECTION = Section(
    name="training",
    title="Training dynamics",
    place=170,
    of="arithmetic",
    content=content,
    caption="Mean validation accuracy over seeds at a few epochs; the files hold every epoch.",
)
