"""Cue conflict class by class: how often images of a shape are taken for their shape, their texture, or neither."""

import pandas as pd

from analysis.elements.section import Content, Results, Section
from analysis.rows import controls, images, settings
from analysis.rows.wording import decimal, signed

RATES = ("shape_rate", "texture_rate", "other_rate")
COLUMNS = {
    "model": pd.StringDtype(),
    "start": pd.StringDtype(),
    "shape_class": pd.StringDtype(),
    "num_runs": "Int64",
    "num_images": "Float64",
    **dict.fromkeys(images.DECISIONS, "Int64"),
    **dict.fromkeys(RATES, "Float64"),
    **dict.fromkeys(("shape_rate_corrected", "texture_rate_corrected"), "Float64"),
    "shape_bias": "Float64",
}


def table(decisions: pd.DataFrame, *, settings: list[str]) -> pd.DataFrame:
    """One row per model, start and shape class, after the settings, from `images.decisions`.

    Decisions are counted, and rates are, over all images of all runs; `num_images` is the mean number of images a run.
    `shape_bias` is absent where no decision is for shape or texture.
    """
    key = [*settings, "model", "start", "shape_class"]
    counts = [f"num_{cue}" for cue in images.CUES]
    grouped = decisions.groupby(key, dropna=False, as_index=False)
    sums = grouped[counts].sum().merge(grouped.agg(num_runs=("run_id", "nunique")), on=key)
    total = sums[counts].sum(axis=1).astype("Float64")
    decided = (sums["num_shape"] + sums["num_texture"]).astype("Float64")
    made = sums.assign(
        num_images=total / sums["num_runs"],
        **{rate: sums[count] / total.where(total > 0) for rate, count in zip(RATES, counts, strict=True)},
        shape_bias=sums["num_shape"] / decided.where(decided > 0),
    )
    made = made.assign(
        **{f"{rate}_corrected": images.chance_corrected(made[rate]) for rate in ("shape_rate", "texture_rate")}
    )
    found = made[[*settings, *COLUMNS]].astype(COLUMNS)  # type: ignore[arg-type]
    order = controls.ordered(found["start"].to_list())
    return found.sort_values(key, key=lambda each: each.map(order.index) if each.name == "start" else each).reset_index(
        drop=True
    )


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    return pd.DataFrame(
        {
            **settings.shown(found, images.SETTINGS),
            "model": found["model"],
            "start": found["start"],
            "shape": found["shape_class"],
            "n": found["num_runs"].astype("string"),
            "images": [f"{num:g}" for num in found["num_images"]],
            "taken for its shape": _with_counts(found, "shape"),
            "for its texture": _with_counts(found, "texture"),
            "for neither": _with_counts(found, "other"),
            "shape, corrected": list(map(signed, found["shape_rate_corrected"])),
            "texture, corrected": list(map(signed, found["texture_rate_corrected"])),
            "decisions": list(map(images.decided, found.to_dict("records"))),
            "shape bias": list(map(decimal, found["shape_bias"])),
        }
    )


def _with_counts(found: pd.DataFrame, cue: str) -> list[str]:
    """The rate of a decision with its count."""
    pairs = zip(found[f"{cue}_rate"], found[f"num_{cue}"], strict=True)
    return [f"{decimal(rate)} ({num:,})" for rate, num in pairs]


def content(results: Results) -> Content | None:
    """The table; nothing where no run has decided on conflict images."""
    decisions = images.decisions(results.path, results.images)
    if decisions.empty:
        return None
    found = table(decisions, settings=images.varying(results.images))
    return Content(table=found, shown=shown(found))


SECTION = Section(
    name="cue_conflict",
    title="Cue conflict class by class",
    place=340,
    of="images",
    content=content,
    caption="Shares of the conflict images of a shape, over all runs.",
)
