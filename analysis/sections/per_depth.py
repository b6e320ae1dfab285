"""The breakdown by depth: of every control and number of samples the accuracy at each depth, depths side by side."""

from functools import partial
from typing import Any

import pandas as pd

from analysis.elements.section import Content, Picture, Results, Section, endings, titled
from analysis.figures import accuracy
from analysis.rows import chance, published, settings
from analysis.rows.settings import Setting
from analysis.rows.wording import DASH, MISSING, decimal
from analysis.sections import figure_3

COLUMNS = ["num_layers", *(name for name in figure_3.COLUMNS if name not in {"scope", "depths"})]


def table(cells: pd.DataFrame) -> pd.DataFrame:
    """The single depths of the table of figure 3, with `num_layers` in the place of scope and depths.

    >>> from analysis import load
    >>> found = table(figure_3.table(load("results/figure-3-depth-2.parquet")))
    >>> found.query("control == 'subnetwork' and num_disambiguation == 1000")["mean"].to_list()
    [0.919]
    """
    single = cells[~cells["depths"].str.contains(",")]
    varied = [name for name in settings.ARITHMETIC if name in cells.columns]
    names = [name for name in [*varied, *COLUMNS] if name in cells.columns or name == "num_layers"]
    return single.assign(num_layers=single["depths"].astype("Int64"))[names].reset_index(drop=True)


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """One row per control and number of samples, a column per depth: the mean, what was published, and n."""
    varied = [name for name in settings.ARITHMETIC if name in found.columns]
    words = found.assign(
        samples=found["num_disambiguation"].astype("string"),
        cell=[_cell(*each) for each in found[["mean", "num_finished", "num_planned", "published_accuracy"]].to_numpy()],
    )
    rows = words.groupby([*varied, "control", "samples"], sort=False, dropna=False)["cell"].agg(list)
    heads = words.groupby([*varied, "control", "samples"], sort=False, dropna=False)["num_layers"].agg(list)
    depths = sorted(set(found["num_layers"]))
    cells = [
        dict(zip(of_depths, texts, strict=True))
        for of_depths, texts in zip(heads.to_list(), rows.to_list(), strict=True)
    ]
    keys = rows.index.to_frame(index=False)
    return pd.DataFrame(
        {
            **settings.shown(keys),
            "control": keys["control"].str.replace("_", " ") if len(keys) else [],
            "samples": keys["samples"] if len(keys) else [],
            **{f"depth {depth}": [cell.get(depth, DASH) for cell in cells] for depth in depths},
        }
    )


def _cell(mean: Any, num_finished: int, num_planned: int, published: Any) -> str:
    if not num_finished:
        return MISSING
    count = str(num_finished) if num_finished == num_planned else f"{num_finished}/{num_planned}"
    beside = "" if pd.isna(published) else f", published {decimal(published)}"
    return f"{decimal(mean)} (n = {count}{beside})"


def content(results: Results) -> Content | None:
    """A picture for each setting; nothing where there is one depth, which figure 3 shows."""
    found = table(figure_3.cells(results))
    if found["num_layers"].nunique() < 2:
        return None
    several = zip(results.settings, endings(len(results.settings)), strict=True)
    pictures = [_picture(each, found, ending=ending) for each, ending in several]
    return Content(table=found, shown=shown(found), pictures=pictures)


def _picture(setting: Setting, found: pd.DataFrame, *, ending: str) -> Picture:
    cells, beside = setting.part(found), figure_3.points(setting)
    panels = [
        accuracy.Panel(
            heading=f"Depth {depth}",
            cells=cells[cells["num_layers"] == depth],
            points=beside[beside["depths"] == str(depth)],
            chance=chance.levels(setting.rows),
        )
        for depth in sorted(set(cells["num_layers"]))
    ]
    title = titled("Depth by depth", setting)
    return Picture(
        name=f"per_depth{ending}",
        draw=partial(accuracy.draw, panels, names=cells["control"], source=published.SOURCE, title=title),
        title=titled("Accuracy depth by depth", setting),
        description="A panel per depth, a line per control; published curves are dashed.",
    )


SECTION = Section(
    name="per_depth",
    title="Accuracy depth by depth",
    place=130,
    of="arithmetic",
    content=content,
    caption="Mean test accuracy, with the number of finished runs (of those planned) and the published value.",
)
