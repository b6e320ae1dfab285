"""Masks of image classifiers, one by one: density, accuracy on mean-pooled images, and those of the donor beside."""

import pandas as pd

from analysis.elements.section import Content, Results, Section
from analysis.rows import images, settings
from analysis.rows.wording import DASH, MISSING, decimal, density
from analysis.sections.masks import empty_sentences

COLUMNS = {
    "model": pd.StringDtype(),
    "donor_kind": pd.StringDtype(),
    "donor_seed": "Int64",
    "seed": "Int64",
    "status": pd.StringDtype(),
    "density": "Float64",
    "subtask_accuracy": "Float64",
    "donor_accuracy_mean_pooled": "Float64",
}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per mask, after the varying settings: COLUMNS; what is measured is absent unless the run finished.

    `subtask_accuracy` is that of the hard mask on mean-pooled images, where the whole donor has
    `donor_accuracy_mean_pooled`.
    """
    masks, donors = (rows[(rows["stage"] == stage)] for stage in ("mask", "donor"))
    finished = donors[donors["status"] == "finished"].set_index("run_id")["accuracy_mean_pooled"]
    found = masks.assign(
        donor_accuracy_mean_pooled=masks["parent_id"].map(finished),
        **{name: masks[name].where(masks["status"] == "finished") for name in ("density", "subtask_accuracy")},
    )
    names = images.varying(rows)
    typed = found.reindex(columns=[*names, *COLUMNS]).astype(COLUMNS)  # type: ignore[arg-type]
    return typed.sort_values([*names, "model", "donor_kind", "donor_seed", "seed"], ignore_index=True)


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    absent = [DASH if status == "finished" else MISSING for status in found["status"]]
    measured = {
        heading: [word_of(value, absent=word) for value, word in zip(found[name], absent, strict=True)]
        for heading, name, word_of in (
            ("density", "density", density),
            ("on mean-pooled images", "subtask_accuracy", decimal),
        )
    }
    return pd.DataFrame(
        {
            **settings.shown(found, images.SETTINGS),
            "model": found["model"],
            "donor": found["donor_kind"].fillna(DASH),
            "donor seed": found["donor_seed"].astype("string").fillna(DASH),
            "seed": found["seed"].astype("string"),
            "mask": found["status"],
            **measured,
            "the whole donor": list(map(decimal, found["donor_accuracy_mean_pooled"])),
        }
    )


def content(results: Results) -> Content | None:
    """The table; nothing without a mask."""
    found = table(results.images)
    if found.empty:
        return None
    return Content(sentences=empty_sentences(results.images), table=found, shown=shown(found))


SECTION = Section(
    name="vision_masks",
    title="Masks of image classifiers",
    place=320,
    of="images",
    content=content,
    caption="Accuracy of the hard mask on mean-pooled images, and that of the whole donor.",
)
