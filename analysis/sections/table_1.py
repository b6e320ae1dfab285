"""Table 1: of each model and start, accuracy on original and on mean-pooled images, and shape bias on cue conflict.

Means over finished runs, with Student's t intervals over these. With one run the interval of the shape bias is that of
the run's own images (bootstrap), which tells how much depends on the images and nothing of other seeds. A ratio stands
with the decisions that it rests on, and with the rates of shape and texture corrected for chance.
"""

from functools import partial
from typing import Any

import pandas as pd

from analysis.elements.section import Content, Picture, Results, Section, endings, titled
from analysis.figures import images as picture
from analysis.rows import controls, images, published, settings
from analysis.rows.settings import Setting
from analysis.rows.wording import DASH, MISSING, UNCORRECTED, decimal, interval, listed, signed
from analysis.statistics import LEVEL, t_interval

MEANS = (
    "shape_bias_class_mean",
    "shape_rate",
    "texture_rate",
    "other_rate",
    "density",
    "num_training_images",
    "num_cue_conflict",
)
CORRECTED = ("shape_rate_corrected", "texture_rate_corrected")
WITH_INTERVALS = ("accuracy_original", "accuracy_mean_pooled", "shape_bias")

COLUMNS = {
    "model": pd.StringDtype(),
    "start": pd.StringDtype(),
    "num_planned": "Int64",
    "num_finished": "Int64",
    **{f"{name}{end}": "Float64" for name in WITH_INTERVALS for end in ("", "_low", "_high")},
    "interval_over": pd.StringDtype(),
    **dict.fromkeys(MEANS, "Float64"),
    **dict.fromkeys(CORRECTED, "Float64"),
    **dict.fromkeys(images.DECISIONS, "Int64"),
}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per model and start, after the varying settings: COLUMNS; absent where no run has finished.

    `shape_bias` is the pooled ratio, its mean over runs; `interval_over` says what its interval is over: runs or
    images. `num_shape`, `num_texture` and `num_other` are the decisions of all finished runs together.
    """
    given = images.measured(rows)
    key = [*images.varying(rows), "model", "start"]
    cells = [
        {**dict(zip(key, of, strict=True)), **_cell(cell)} for of, cell in given.groupby(key, dropna=False, sort=False)
    ]
    found = pd.DataFrame(cells, columns=[*images.varying(rows), *COLUMNS]).astype(COLUMNS)  # type: ignore[arg-type]
    order = controls.ordered(found["start"].to_list())
    return found.sort_values(key, key=lambda each: each.map(order.index) if each.name == "start" else each).reset_index(
        drop=True
    )


def _cell(cell: pd.DataFrame) -> dict[str, object]:
    finished = cell[cell["status"] == "finished"]
    made: dict[str, object] = {"num_planned": len(cell), "num_finished": len(finished)}
    if finished.empty:
        return made
    made |= {name: finished[name].mean() for name in (*WITH_INTERVALS, *MEANS)}
    made |= {f"{rate}_corrected": images.chance_corrected(made[rate]) for rate in ("shape_rate", "texture_rate")}
    made |= {name: finished[name].sum(min_count=1) for name in images.DECISIONS}
    for name in WITH_INTERVALS:
        found = t_interval(finished[name].dropna().to_numpy(float))
        made |= {f"{name}_low": found and found.low, f"{name}_high": found and found.high}
    if len(finished) == 1:
        ends = {f"shape_bias_{end}": finished[f"shape_bias_{end}"].iloc[0] for end in ("low", "high")}
        return made | ends | {"interval_over": "images"}
    return made | {"interval_over": "runs"}


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    absent = [MISSING if num == 0 else DASH for num in found["num_finished"]]

    def means(name: str) -> list[str]:
        return [decimal(value, absent=word) for value, word in zip(found[name], absent, strict=True)]

    return pd.DataFrame(
        {
            **settings.shown(found, images.SETTINGS),
            "model": found["model"],
            "start": found["start"],
            "finished / planned": found["num_finished"].astype("string")
            + " / "
            + found["num_planned"].astype("string"),
            "training images": [DASH if pd.isna(num) else f"{num:,.0f}" for num in found["num_training_images"]],
            "original": means("accuracy_original"),
            "mean-pooled": means("accuracy_mean_pooled"),
            "shape bias": means("shape_bias"),
            "95% interval": list(map(interval, found["shape_bias_low"], found["shape_bias_high"])),
            "over": found["interval_over"].fillna(DASH),
            "class mean": means("shape_bias_class_mean"),
            "decisions": list(map(images.decided, found.to_dict("records"))),
            "shape / texture / other": list(map(_counts, found.to_dict("records"))),
            "shape": means("shape_rate"),
            "texture": means("texture_rate"),
            "other": means("other_rate"),
            "shape, corrected": list(map(signed, found["shape_rate_corrected"])),
            "texture, corrected": list(map(signed, found["texture_rate_corrected"])),
            "images": [DASH if pd.isna(num) else f"{num:,.0f}" for num in found["num_cue_conflict"]],
            "density": means("density"),
        }
    )


def _counts(row: dict[Any, Any]) -> str:
    """The decisions for shape, texture and neither."""
    counts = [row[name] for name in images.DECISIONS]
    return DASH if any(map(pd.isna, counts)) else " / ".join(f"{count:,}" for count in counts)


METHODS = (
    "Accuracy and cue conflict of image classifiers are measured on images that neither trained nor chose anything.",
    "Shape bias is shape decisions / (shape + texture decisions) over all conflict images together (pooled).",
    "Its class mean is the mean of the ratios of the shape classes.",
    "Decisions are those for shape or texture, of all: what a ratio rests on.",
    f"They are few if under {images.FEWEST_DECISIONS}, or no more than chance gives: 2 in 16 of the images.",
    "Corrected rates are (rate − 1/16) / (1 − 1/16): 0 for decisions drawn among the 16 classes, 1 for every image.",
    "Images whose shape and texture are of one class are left out; decisions for neither count for neither.",
    f"Intervals over runs are Student's t intervals, {LEVEL:.0%} nominal; that of a single run is over its images.",
    "Differences of shape bias are paired by seed; recipients of one donor count once against it.",
    "Their p is two-sided, from all patterns of signs; it cannot fall below the smallest possible p.",
    "Pairs without a difference have no sign and are left out of p and of the smallest possible p.",
    UNCORRECTED,
)


def content(results: Results) -> Content:
    """A picture for each setting, above the table of all."""
    found = table(results.images)
    several = images.experiments(found)
    pictures = [
        _picture(each, results.images, ending=ending)
        for each, ending in zip(several, endings(len(several)), strict=True)
    ]
    return Content(sentences=_observers(found), pictures=pictures, table=found, shown=shown(found))


def _picture(setting: Setting, rows: pd.DataFrame, *, ending: str) -> Picture:
    given = images.measured(rows)
    title = titled("Shape bias by start", setting)
    runs = given[settings.agrees(given, {name: value for name, value in setting.values.items() if value is not None})]
    return Picture(
        name=f"table_1{ending}",
        draw=partial(picture.draw_shape_bias, setting.rows, runs, title=title),
        title=title,
        description="A point per run, a bar per mean; lines are the intervals of the table. "
        "At the right: decisions for shape or texture, of all.",
    )


def _observers(found: pd.DataFrame) -> list[str]:
    """What people and known networks do, where the images are the same."""
    if not (found["num_cue_conflict"] == published.NUM_CUE_CONFLICT).any():
        return []
    observers = published.observers().set_index("observer")["shape_bias_pooled"]
    people = observers[observers.index.str.startswith("subject")]
    others = listed([f"{name} {value:.3f}" for name, value in observers.drop(people.index).items()])
    told = f"On the same images {len(people)} people have a shape bias of {people.min():.3f} to {people.max():.3f}"
    return [f"{told}; networks: {others} ({published.OBSERVERS_SOURCE})."]


SECTION = Section(
    name="table_1",
    title="Table 1: accuracy and shape bias by model and start",
    place=300,
    of="images",
    content=content,
    caption="Means over finished runs. Shape, texture and other are counts and shares of all conflict images.",
    methods=METHODS,
)
