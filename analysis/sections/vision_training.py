"""Training of image classifiers: accuracy on original and on mean-pooled images over epochs, means over runs."""

import re
from functools import partial

import pandas as pd

from analysis.elements.section import Content, Picture, Results, Section, endings, titled
from analysis.figures import images as picture
from analysis.figures.images import Panel
from analysis.rows import chance, controls, images, published, settings
from analysis.rows.settings import Setting
from analysis.rows.wording import decimal

SHARES_SHOWN = (0, 0.1, 0.33, 0.66, 1)


def table(curves: pd.DataFrame, *, settings: list[str]) -> pd.DataFrame:
    """One row per model, start, evaluation set and epoch, after the settings: …, mean, num_runs.

    An epoch is here only if every finished run of its cell has it, so that a curve is a mean over the same runs from
    end to end.
    """
    cell = [*settings, "model", "start", "evaluation_set"]
    grouped = curves.groupby([*cell, "epoch"], as_index=False, dropna=False)
    means = grouped.agg(mean=("value", "mean"), num_runs=("run_id", "nunique"))
    if means.empty:
        return means
    whole = means["num_runs"] == means.groupby(cell, dropna=False)["num_runs"].transform("max")
    order = controls.ordered(means["start"].to_list())
    found = means[whole].astype({"model": pd.StringDtype(), "start": pd.StringDtype()})
    by_start = found["start"].map(order.index)
    return (
        found.assign(order=by_start)
        .sort_values([*settings, "model", "order"], kind="stable")
        .drop(columns="order")
        .reset_index(drop=True)
    )


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """A row per model, start and evaluation set, a column for each of a few epochs."""
    key = [*(name for name in images.SETTINGS if name in found.columns), "model", "start", "evaluation_set", "num_runs"]
    epochs = sorted(set(found["epoch"]))
    few = sorted({epochs[int(share * (len(epochs) - 1))] for share in SHARES_SHOWN}) if epochs else []
    cells = {of: cell.set_index("epoch")["mean"] for of, cell in found.groupby(key, dropna=False, sort=False)}
    keys = pd.DataFrame(list(cells), columns=key)
    return pd.DataFrame(
        {
            **settings.shown(keys, images.SETTINGS),
            "model": keys["model"],
            "start": keys["start"],
            "images": keys["evaluation_set"].map(images.SETS),
            "n": keys["num_runs"].astype("string"),
            **{f"epoch {epoch:g}": [decimal(cell.get(epoch)) for cell in cells.values()] for epoch in few},
        }
    )


def content(results: Results) -> Content | None:
    """A picture for each setting, above the table of all; nothing where no recipient has curves."""
    rows = results.images
    found = table(images.curves(results.path, rows), settings=images.varying(rows))
    if found.empty:
        return None
    several = images.experiments(found)
    levels = chance.levels(rows[rows["stage"] == "transfer"])
    pictures = [
        _picture(each, levels=levels, ending=ending)
        for each, ending in zip(several, endings(len(several)), strict=True)
    ]
    return Content(pictures=pictures, table=found, shown=shown(found))


def _picture(setting: Setting, *, levels: tuple[float, ...], ending: str) -> Picture:
    """The curves of a setting, next to the published ones."""
    panels = [
        Panel(heading=str(model), means=part, published=of_paper(str(model)), chance=levels)
        for model, part in setting.rows.groupby("model")
    ]
    known = {name for each in panels for name in each.published["model"]}
    panels += [
        Panel(
            heading=f"published: {PAPERS[str(name)]}, ImageNet",
            means=setting.rows.iloc[:0],
            published=part,
            chance=(published.CHANCE_OF_IMAGES,),
        )
        for name, part in published.vision_curves().groupby("model")
        if name not in known
    ]
    title = titled("Training of image classifiers, mean over runs", setting)
    return Picture(
        name=f"vision_training{ending}",
        draw=partial(picture.draw_training, panels, title=title),
        title=title,
        description=f"Accuracy over epochs; published curves ({published.SOURCE}) are dashed, beside ours where the "
        "model is theirs, else in panels of their own.",
    )


PAPERS = {"resnet18": "ResNet-18", "vitb16": "ViT-B/16"}
"""The published models in words."""


def of_paper(model: str) -> pd.DataFrame:
    """The published curves of the model, if it is one of the paper's."""
    curves = published.vision_curves()
    return curves[curves["model"] == re.sub(r"[^a-z0-9]", "", model.lower())]


SECTION = Section(
    name="vision_training",
    title="Training dynamics of image classifiers",
    place=330,
    of="images",
    content=content,
    caption="Mean accuracy over runs at a few epochs; the files hold every epoch.",
)
