"""Pictures as they are: contact sheets of images, and the first layers of masks."""

from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.elements.section import Content, Picture, Results, Section, endings
from analysis.figures.style import headline, look
from subind.store.schemas import FIRST_LAYER_SCHEMA, IMAGE_SCHEMA, picture_table

KINDS = {"original": "original", "mean_pooled": "mean-pooled", "cue_conflict": "cue conflict"}
FILTERS_ACROSS = 8
CHANNELS = 3
MASKS_ACROSS = 4
PANEL_INCHES = 2.2


def draw_contact_sheet(images: pd.DataFrame, *, title: str) -> Figure:
    """A row per kind of image, a column per place, from rows of `IMAGE_SCHEMA`; mean-pooled ones need no caption."""
    kinds = [kind for kind in KINDS if (images["kind"] == kind).any()]
    places = int(images["place"].max()) + 1
    with look():
        figure = Figure(figsize=(max(1.15 * places + 0.7, 6.4), 1.35 * len(kinds) + 0.6), layout="constrained")
        panels = figure.subplots(len(kinds), places, squeeze=False)
        for axes in panels.flatten():
            _bare(axes)
        for row in images.to_dict("records"):
            axes = panels[kinds.index(row["kind"])][row["place"]]
            axes.imshow(_pixels(row), interpolation="nearest")
            if row["kind"] != "mean_pooled":
                axes.set_title(row["caption"], fontsize=6.5, fontweight="normal", pad=2)
        for axes, kind in zip(panels[:, 0], kinds, strict=True):
            axes.set_ylabel(KINDS[kind], fontsize=8)
        headline(figure, title)
    return figure


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _pixels(row: dict[Any, Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(row["pixels"], np.uint8).reshape(row["height"], row["width"], CHANNELS)


def draw_first_layers(layers: pd.DataFrame, *, title: str) -> Figure:
    """A panel per mask from rows of `FIRST_LAYER_SCHEMA`: a tile per filter, a weight lit in its channel's colour."""
    sheets = [tiles(row) for row in layers.to_dict("records")]
    columns = min(MASKS_ACROSS, len(sheets))
    lines = ceil(len(sheets) / columns)
    height = PANEL_INCHES * max(sheet.shape[0] / sheet.shape[1] for sheet in sheets) + 0.35
    with look():
        figure = Figure(figsize=(PANEL_INCHES * columns + 0.2, height * lines + 0.4), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).flatten()
        for axes in panels:
            _bare(axes)
        for axes, sheet, row in zip(panels, sheets, layers.to_dict("records"), strict=False):
            axes.imshow(sheet, interpolation="nearest")
            axes.set_title(_heading(row), fontsize=8, fontweight="normal", pad=3)
        headline(figure, title)
    return figure


def _heading(row: dict[Any, Any]) -> str:
    share = f"{row['num_kept'] / row['num_weights']:.1%} kept"
    some = "" if row["num_shown"] == row["num_filters"] else f", {row['num_shown']} of {row['num_filters']} filters"
    return f"{row['model']}, seed {row['seed']}\n{share}{some}"


def tiles(row: dict[Any, Any]) -> npt.NDArray[np.uint8]:
    """The filters of a mask's first layer side by side, [row column channel]: 255 where a weight is kept, else 0.

    Grey lines part them, and fill up the last line.
    """
    height, width, num = row["height"], row["width"], row["num_shown"]
    bits = np.frombuffer(row["bits"], np.uint8).reshape(num, CHANNELS, height, width)
    lines = ceil(num / FILTERS_ACROSS)
    across = min(num, FILTERS_ACROSS)
    sheet = np.full((lines * (height + 1) + 1, across * (width + 1) + 1, CHANNELS), 128, np.uint8)
    for place, each in enumerate(bits):
        top, left = (place // across) * (height + 1) + 1, (place % across) * (width + 1) + 1
        sheet[top : top + height, left : left + width] = 255 * each.transpose(1, 2, 0)
    return sheet


def content(results: Results) -> Content | None:
    """A contact sheet for each task and one picture of all masks; nothing where an export has written none."""
    images = pd.concat([_beside(results.path, name) for name in ("images", "photographs")], ignore_index=True)
    several = list(images.groupby("task", sort=False))
    pictures = [
        Picture(
            name=f"contact_sheet{ending}",
            draw=partial(draw_contact_sheet, part, title=str(task)),
            title=f"Images of {task}",
            description="Originals, the same mean-pooled, and images whose shape and texture are of two classes.",
        )
        for (task, part), ending in zip(several, endings(len(several)), strict=True)
    ]
    layers = _beside(results.path, "first_layers")
    if len(layers):
        title = "First layers of the masks"
        lit = "A tile per filter: a weight that is kept is lit in the colour of its channel."
        draw = partial(draw_first_layers, layers, title=title)
        pictures.append(Picture(name="first_layers", draw=draw, title=title, description=lit))
    return Content(pictures=pictures) if pictures else None


def _beside(path: Path, name: Literal["images", "photographs", "first_layers"]) -> pd.DataFrame:
    """The pictures of one kind that an export wrote next to the rows; none where there is no file."""
    schema, file = _SCHEMAS[name], Path(picture_table(str(path), name))
    found: pd.DataFrame = (pq.read_table(file, schema=schema) if file.is_file() else schema.empty_table()).to_pandas()
    return found


_SCHEMAS = {"images": IMAGE_SCHEMA, "photographs": IMAGE_SCHEMA, "first_layers": FIRST_LAYER_SCHEMA}


SECTION = Section(
    name="contact_sheets",
    title="What the images and the masks' first layers look like",
    place=350,
    of="images",
    content=content,
)
