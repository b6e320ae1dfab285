"""Table 1: of each model and start, accuracy on original and on mean-pooled images, and shape bias on cue conflict.

Means over finished runs, with Student's t intervals over these. With one run the interval of the shape bias is that of
the run's own images (bootstrap), which tells how much depends on the images and nothing of other seeds. A ratio stands
with the decisions that it rests on, and with the rates of shape and texture corrected for chance.
"""

from typing import Any

import pandas as pd

from analysis.rows import images as vision
from analysis.rows.wording import DASH, MISSING, decimal, interval, signed
from analysis.statistics import t_interval

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
    **dict.fromkeys(vision.DECISIONS, "Int64"),
}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per model and start, after the varying settings: COLUMNS; absent where no run has finished.

    `shape_bias` is the pooled ratio, its mean over runs; `interval_over` says what its interval is over: runs or
    images. `num_shape`, `num_texture` and `num_other` are the decisions of all finished runs together.
    """
    given = vision.measured(rows)
    key = [*vision.varying(rows), "model", "start"]
    cells = [
        {**dict(zip(key, of, strict=True)), **_cell(cell)} for of, cell in given.groupby(key, dropna=False, sort=False)
    ]
    found = pd.DataFrame(cells, columns=[*vision.varying(rows), *COLUMNS]).astype(COLUMNS)  # type: ignore[arg-type]
    order = vision.in_order(found["start"].to_list())
    return found.sort_values(key, key=lambda each: each.map(order.index) if each.name == "start" else each).reset_index(
        drop=True
    )


def _cell(cell: pd.DataFrame) -> dict[str, object]:
    finished = cell[cell["status"] == "finished"]
    made: dict[str, object] = {"num_planned": len(cell), "num_finished": len(finished)}
    if finished.empty:
        return made
    made |= {name: finished[name].mean() for name in (*WITH_INTERVALS, *MEANS)}
    made |= {f"{rate}_corrected": vision.chance_corrected(made[rate]) for rate in ("shape_rate", "texture_rate")}
    made |= {name: finished[name].sum(min_count=1) for name in vision.DECISIONS}
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
            **settings_shown(found),
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
            "decisions": list(map(vision.decided, found.to_dict("records"))),
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
    counts = [row[name] for name in vision.DECISIONS]
    return DASH if any(map(pd.isna, counts)) else " / ".join(f"{count:,}" for count in counts)


def settings_shown(found: pd.DataFrame) -> dict[str, list[str]]:
    """The settings that the table has, in words, by heading."""
    return {
        heading: [DASH if pd.isna(value) else f"{value:g}" for value in found[name]]
        for name, heading in vision.SETTINGS.items()
        if name in found.columns
    }
