"""Sections of image classifiers: coverage, Table 1, paired shape bias, training, cue conflict by class, pictures."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow.parquet as pq

from analysis.figures import differences, pictures
from analysis.figures import images as vision_picture
from analysis.figures.images import Panel
from analysis.rows import chance, published
from analysis.rows import images as vision
from analysis.rows.recipients import agrees
from analysis.rows.wording import UNCORRECTED, listed
from analysis.sections.parts import Picture, Section, Sheet
from analysis.statistics import LEVEL
from analysis.tables import cue_conflict, shape_bias, table_1, vision_coverage, vision_masks, vision_training
from analysis.tables.masks import empty_sentences
from subind.store.schemas import FIRST_LAYER_SCHEMA, IMAGE_SCHEMA, picture_table

METHODS = (
    "Accuracy and cue conflict of image classifiers are measured on images that neither trained nor chose anything.",
    "Shape bias is shape decisions / (shape + texture decisions) over all conflict images together (pooled).",
    "Its class mean is the mean of the ratios of the shape classes.",
    "Decisions are those for shape or texture, of all: what a ratio rests on.",
    f"They are few if under {vision.FEWEST_DECISIONS}, or no more than chance gives: 2 in 16 of the images.",
    "Corrected rates are (rate − 1/16) / (1 − 1/16): 0 for decisions drawn among the 16 classes, 1 for every image.",
    "Images whose shape and texture are of one class are left out; decisions for neither count for neither.",
    f"Intervals over runs are Student's t intervals, {LEVEL:.0%} nominal; that of a single run is over its images.",
    "Differences of shape bias are paired by seed; recipients of one donor count once against it.",
    "Their p is two-sided, from all patterns of signs; it cannot fall below the smallest possible p.",
    "Pairs without a difference have no sign and are left out of p and of the smallest possible p.",
    UNCORRECTED,
)


def sections(path: Path, rows: pd.DataFrame) -> Iterator[Section]:
    """All of them, in order, each as soon as it is made."""
    yield _coverage(rows)
    yield _table_1(rows)
    yield from _differences(rows)
    yield from _masks(rows)
    yield _training(path, rows)
    yield from _cue_conflict(path, rows)
    yield from _contact_sheets(path)
    yield from _first_layers(path)


def experiment(rows: pd.DataFrame) -> str:
    """What was trained, in words; empty without image classifiers."""
    if rows.empty:
        return ""
    given = vision.measured(rows)
    models = listed(sorted(set(rows["model"])))
    return f"Image classifiers {models} from {given['start'].nunique()} starts; {given['seed'].nunique()} seed(s)."


def _coverage(rows: pd.DataFrame) -> Section:
    found = vision_coverage.table(rows)
    return Section(
        name="vision_coverage",
        title="Coverage",
        sentences=tuple(vision_coverage.sentences(rows)),
        sheet=Sheet(numbers=found, shown=vision_coverage.shown(found), caption="Planned cells by status."),
    )


def _table_1(rows: pd.DataFrame) -> Section:
    found = table_1.table(rows)
    several = vision.experiments(found)
    figures = [
        _biases(part, rows, values, ending=f"-{place}" if len(several) > 1 else "")
        for place, (values, part) in enumerate(several, start=1)
    ]
    caption = "Means over finished runs. Shape, texture and other are counts and shares of all conflict images."
    return Section(
        name="table_1",
        title="Table 1: accuracy and shape bias by model and start",
        sentences=tuple(_observers(found)),
        pictures=tuple(figures),
        sheet=Sheet(numbers=found, shown=table_1.shown(found), caption=caption),
    )


def _biases(found: pd.DataFrame, rows: pd.DataFrame, values: dict[str, Any], *, ending: str) -> Picture:
    """The picture of a part of Table 1 that has one value of every setting."""
    given = vision.measured(rows)
    title = _titled("Shape bias by start", values)
    return Picture(
        name=f"table_1{ending}",
        draw=partial(vision_picture.draw_shape_bias, found, given[agrees(given, values)], title=title),
        title=title,
        description="A point per run, a bar per mean; lines are the intervals of the table. "
        "At the right: decisions for shape or texture, of all.",
    )


def _titled(text: str, settings: dict[str, Any]) -> str:
    """The text with the values of the settings."""
    values = [f"{vision.SETTINGS[name]} {value:g}" for name, value in settings.items() if not pd.isna(value)]
    return ", ".join([text, *values])


def _observers(found: pd.DataFrame) -> list[str]:
    """What people and known networks do, where the images are the same."""
    if not (found["num_cue_conflict"] == published.NUM_CUE_CONFLICT).any():
        return []
    observers = published.observers().set_index("observer")["shape_bias_pooled"]
    people = observers[observers.index.str.startswith("subject")]
    others = listed([f"{name} {value:.3f}" for name, value in observers.drop(people.index).items()])
    told = f"On the same images {len(people)} people have a shape bias of {people.min():.3f} to {people.max():.3f}"
    return [f"{told}; networks: {others} ({published.OBSERVERS_SOURCE})."]


def _differences(rows: pd.DataFrame) -> list[Section]:
    found = shape_bias.table(rows)
    if found.empty:
        return []
    several = [(_titled("", values).removeprefix(", "), part) for values, part in vision.experiments(found)]
    title = "Shape bias of the subnetwork's recipients minus that of other starts"
    picture = Picture(
        name="shape_bias",
        draw=partial(differences.draw, several, title=title),
        title=title,
        description="Mean paired difference, 95% t interval (uncorrected); right of zero the subnetwork's is higher.",
    )
    return [
        Section(
            name="shape_bias",
            title="Shape bias of the subnetwork's recipients against other starts",
            sentences=(*shape_bias.sentences(found), *shape_bias.family(found)),
            pictures=(picture,),
            sheet=Sheet(
                numbers=found, shown=shape_bias.shown(found), caption="Differences of shape bias, paired by seed."
            ),
        )
    ]


def _masks(rows: pd.DataFrame) -> list[Section]:
    found = vision_masks.table(rows)
    if found.empty:
        return []
    caption = "Accuracy of the hard mask on mean-pooled images, and that of the whole donor."
    sheet = Sheet(numbers=found, shown=vision_masks.shown(found), caption=caption)
    return [
        Section(name="vision_masks", title="Masks of image classifiers", sentences=empty_sentences(rows), sheet=sheet)
    ]


def _training(path: Path, rows: pd.DataFrame) -> Section:
    found = vision_training.table(vision.curves(path, rows), settings=vision.varying(rows))
    several = vision.experiments(found)
    own = chance.levels(rows[rows["stage"] == "transfer"])
    figures = [
        _curves(part, values, chances=own, ending=f"-{place}" if len(several) > 1 else "")
        for place, (values, part) in enumerate(several, start=1)
    ]
    sheet = Sheet(
        numbers=found,
        shown=vision_training.shown(found),
        caption="Mean accuracy over runs at a few epochs; the files hold every epoch.",
    )
    title = "Training dynamics of image classifiers"
    return Section(name="vision_training", title=title, pictures=tuple(figures), sheet=sheet)


def _curves(found: pd.DataFrame, values: dict[str, Any], *, chances: tuple[float, ...], ending: str) -> Picture:
    """The picture of a part of the curves that has one value of every setting, beside the published ones."""
    own = found.groupby("model")
    panels = [
        Panel(heading=str(model), means=part, published=_published(str(model)), chance=chances) for model, part in own
    ]
    known = {name for each in panels for name in each.published["model"]}
    panels += [
        Panel(
            heading=f"published: {NAMES[str(name)]}, ImageNet",
            means=found.iloc[:0],
            published=part,
            chance=(published.CHANCE_OF_IMAGES,),
        )
        for name, part in published.vision_curves().groupby("model")
        if name not in known
    ]
    title = _titled("Training of image classifiers, mean over runs", values)
    return Picture(
        name=f"vision_training{ending}",
        draw=partial(vision_picture.draw_training, panels, title=title),
        title=title,
        description=f"Accuracy over epochs; published curves ({published.SOURCE}) are dashed, beside ours where the "
        "model is theirs, else in panels of their own.",
    )


NAMES = {"resnet18": "ResNet-18", "vitb16": "ViT-B/16"}
"""The published models in words."""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _published(model: str) -> pd.DataFrame:
    """The published curves of the model, if it is one of the paper's."""
    curves = published.vision_curves()
    return curves[curves["model"] == _plain(model)]


def _cue_conflict(path: Path, rows: pd.DataFrame) -> list[Section]:
    decisions = vision.decisions(path, rows)
    if decisions.empty:
        return []
    found = cue_conflict.table(decisions, settings=vision.varying(rows))
    caption = "Shares of the conflict images of a shape, over all runs."
    sheet = Sheet(numbers=found, shown=cue_conflict.shown(found), caption=caption)
    return [Section(name="cue_conflict", title="Cue conflict class by class", sheet=sheet)]


def _contact_sheets(path: Path) -> list[Section]:
    images = pd.concat([_beside(path, "images"), _beside(path, "photographs")], ignore_index=True)
    if images.empty:
        return []
    several = list(images.groupby("task", sort=False))
    figures = tuple(
        Picture(
            name="contact_sheet" if len(several) == 1 else f"contact_sheet-{place}",
            draw=partial(pictures.draw_contact_sheet, part, title=str(task)),
            title=f"Images of {task}",
            description="Originals, the same mean-pooled, and images whose shape and texture are of two classes.",
        )
        for place, (task, part) in enumerate(several, start=1)
    )
    return [Section(name="contact_sheets", title="What the images look like", pictures=figures)]


def _first_layers(path: Path) -> list[Section]:
    layers = _beside(path, "first_layers")
    if layers.empty:
        return []
    picture = Picture(
        name="first_layers",
        draw=partial(pictures.draw_first_layers, layers, title="First layers of the masks"),
        title="First layers of the masks",
        description="A tile per filter: a weight that is kept is lit in the colour of its channel.",
    )
    return [Section(name="first_layers", title="First layers of the masks", pictures=(picture,))]


def _beside(path: Path, name: Literal["images", "photographs", "first_layers"]) -> pd.DataFrame:
    """The pictures of one kind that an export wrote beside the rows; none where there is no file."""
    schema, file = _SCHEMAS[name], Path(picture_table(str(path), name))
    found: pd.DataFrame = (pq.read_table(file, schema=schema) if file.is_file() else schema.empty_table()).to_pandas()
    return found


_SCHEMAS = {"images": IMAGE_SCHEMA, "photographs": IMAGE_SCHEMA, "first_layers": FIRST_LAYER_SCHEMA}
