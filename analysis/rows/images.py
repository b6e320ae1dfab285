"""Rows of vision: what an image classifier of a grid started from, and how it answered.

`analysis.rows.kinds` says which rows these are. Columns that a file lacks are absent in every row.
"""

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.rows import controls, kinds, settings
from analysis.rows.curves import tidy
from analysis.rows.load import REMEDY, row_fingerprint
from analysis.rows.settings import Setting
from analysis.rows.wording import DASH

COLUMNS: dict[str, Any] = {
    **dict.fromkeys(("run_id", "parent_id", "grid", "stage", "status"), pd.StringDtype()),
    **dict.fromkeys(("model", "control", "donor_kind", "held"), pd.StringDtype()),
    **dict.fromkeys(("seed", "donor_seed", "mask_seed"), pd.Int64Dtype()),
    **dict.fromkeys(("num_training_images", "num_cue_conflict", "evaluations_per_epoch"), pd.Int64Dtype()),
    **dict.fromkeys(("mixture_share", "density", "subtask_accuracy"), pd.Float64Dtype()),
    **dict.fromkeys(("accuracy_original", "accuracy_mean_pooled"), pd.Float64Dtype()),
    **dict.fromkeys(("shape_bias", "shape_bias_class_mean", "shape_bias_low", "shape_bias_high"), pd.Float64Dtype()),
    **dict.fromkeys(("shape_rate", "texture_rate", "other_rate", "chance_accuracy"), pd.Float64Dtype()),
    "commit": pd.StringDtype(),
    "dirty": pd.BooleanDtype(),
    "device": pd.StringDtype(),
    "failure": pd.StringDtype(),
}

OF_IMAGES = ("shape_predictivity", "texture_predictivity", "shape_contrast", "texture_contrast", "image_size")
OF_MASKS = ("penalty", "final_temperature")
"""Columns that are fitted to a model: that two models have two values is no comparison of these."""

SETTINGS = (*OF_IMAGES, *OF_MASKS)
"""The columns that tell experiments apart where they vary."""

DONOR = "donor"
LONGER_DONOR = "donor trained longer"
"""The donor that recipients of the control longer_donor start from; `donor` is the one that masks are of."""

SETS = {"original": "original images", "mean_pooled": "mean-pooled images"}

CUES = ("shape", "texture", "other")
DECISIONS = tuple(f"num_{cue}" for cue in CUES)
"""Numbers of decisions for the shape, for the texture and for another class, of all conflict images of a run."""

CHANCE_OF_CUE = 1 / 16
"""The share of conflict images that a decision drawn among the 16 classes takes for their shape, or their texture."""

FEWEST_DECISIONS = 50
"""For shape or texture: a ratio of fewer has a standard error of up to 7% and more."""


def rows(path: str | PathLike[str]) -> pd.DataFrame:
    """The rows of vision in a file of result rows: COLUMNS, the SETTINGS that the file has, DECISIONS and start.

    DECISIONS are counted from the rates. `start` says in words what a donor or a recipient started from, and what else
    of the donor it held where that varies; masks have none. Raises ValueError if a run is there twice.
    """
    names = pq.read_schema(path).names
    if not kinds.chosen(path, "images").any():
        return _typed(pd.DataFrame(), names)
    table = pq.read_table(path, columns=[name for name in (*COLUMNS, *SETTINGS) if name in names])
    found = _typed(kinds.filtered(table, path, "images").to_pandas(), names)
    if found["run_id"].duplicated().any():
        twice = found["run_id"][found["run_id"].duplicated()].iloc[0]
        raise ValueError(f"{path} has the run {twice!r} twice: {REMEDY}")
    return found


def _typed(found: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    typed = found.reindex(columns=[*COLUMNS, *(name for name in SETTINGS if name in names)]).astype(COLUMNS)
    typed["mixture_share"] = typed["mixture_share"].where(typed["control"] == "data_mixture")
    starts = pd.Series([_start(row) for row in typed.to_dict("records")], typed.index, pd.StringDtype())
    counts = {f"num_{cue}": (typed[f"{cue}_rate"] * typed["num_cue_conflict"]).round().astype("Int64") for cue in CUES}
    starts = starts.mask(_is_longer(typed), LONGER_DONOR)
    several = typed["held"].groupby([typed["model"], starts]).transform("nunique") > 1
    held = " (held: " + typed["held"].str.replace("_", " ") + ")"
    return typed.assign(**counts, start=starts.where(~several, starts + held))


def _is_longer(typed: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows are donors that recipients of longer_donor start from, and nothing else does."""
    is_start = (typed["control"] == "longer_donor").fillna(False)
    of_control, of_others = (set(typed.loc[each, "parent_id"].dropna()) for each in (is_start, ~is_start))
    return typed["run_id"].isin(of_control - of_others)


def _start(row: dict[Any, Any]) -> Any:
    untrained = not pd.isna(row["donor_kind"]) and row["donor_kind"] == "untrained"
    if row["stage"] == "donor":
        return "untrained donor" if untrained else DONOR
    if pd.isna(row["control"]):
        return pd.NA
    named = controls.label(row["control"])
    share = "" if pd.isna(row["mixture_share"]) else f", {row['mixture_share']:.0%} mean-pooled"
    return named + share + (" of an untrained donor" if untrained else "")


def chance_corrected(rate: Any) -> Any:
    """A rate of shape or texture decisions from 0 at chance to 1: (rate - 1/16) / (1 - 1/16); below 0 under chance."""
    return (rate - CHANCE_OF_CUE) / (1 - CHANCE_OF_CUE)


def is_few(num_decided: Any, num_images: Any) -> bool:
    """Whether a shape bias rests on few decisions: under FEWEST_DECISIONS, or no more than chance gives, 2 in 16."""
    return bool(num_decided < FEWEST_DECISIONS or num_decided <= 2 * CHANCE_OF_CUE * num_images)


def decided(counts: Mapping[Any, Any]) -> str:
    """The decisions that a shape bias rests on, of all; said to be few where they are; a dash where there are none.

    `counts` has the DECISIONS.
    """
    if any(pd.isna(counts[name]) for name in DECISIONS):
        return DASH
    num_images = sum(int(counts[name]) for name in DECISIONS)
    num_decided = num_images - int(counts["num_other"])
    words = f"{num_decided:,} of {num_images:,}"
    return f"few: {words}" if is_few(num_decided, num_images) else words


def measured(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of donors and recipients, finished or not: what a table of accuracy and shape bias is about."""
    return found[found["start"].notna()]


def varying(found: pd.DataFrame) -> list[str]:
    """The SETTINGS of which the rows have several values; those of masks, of which the rows of one model have."""
    several = settings.varying(found, [name for name in SETTINGS if name in found.columns])
    fitted = settings.varying(found, [name for name in OF_MASKS if name in several], within=["model"])
    return [name for name in several if name in OF_IMAGES or name in fitted]


def experiments(table: pd.DataFrame) -> list[Setting]:
    """The settings that the rows of a table have."""
    return settings.settings(table, [name for name in SETTINGS if name in table.columns])


def fingerprint(arithmetic: pd.DataFrame, found: pd.DataFrame) -> str:
    """The fingerprint of rows of both kinds; that of the rows of arithmetic where there is no other."""
    if found.empty:
        return row_fingerprint(arithmetic)
    kept = found.drop(columns=["start", *DECISIONS])
    return row_fingerprint(kept if arithmetic.empty else pd.concat([arithmetic, kept], ignore_index=True))


def curves(path: str | PathLike[str], found: pd.DataFrame) -> pd.DataFrame:
    """The accuracies by epoch of the finished recipients among the rows, a row per run, epoch and evaluation set.

    Columns: run_id, the varying settings, model, start, seed, evaluation_set, epoch, value. Raises ValueError if a
    curve has more or fewer values than there were evaluations.
    """
    key = ["run_id", *varying(found), "model", "start", "seed", "evaluations_per_epoch"]
    finished = found[(found["stage"] == "transfer") & (found["status"] == "finished")][key]
    several = [tidy(path, f"curve_accuracy_{name}", finished).assign(evaluation_set=name) for name in SETS]
    return pd.concat(several, ignore_index=True).drop(columns="evaluations_per_epoch")


def decisions(path: str | PathLike[str], found: pd.DataFrame) -> pd.DataFrame:
    """The decisions on cue-conflict images by shape class, of the finished donors and recipients among the rows.

    Columns: model, start, seed, the varying settings, shape_class, and the counts num_shape, num_texture, num_other. A
    file has them as maps `cue_shape`, … or as columns `cue_shape.CLASS`, ….
    """
    kept = measured(found)
    key = ["run_id", *varying(found), "model", "start", "seed"]
    chosen = kept[kept["status"] == "finished"][key].set_index("run_id")
    of_class = [_of_cue(path, cue) for cue in CUES]
    if any(each.empty for each in of_class) or chosen.empty:
        return pd.DataFrame(columns=[*key, "shape_class", *(f"num_{cue}" for cue in CUES)])
    counts = of_class[0].merge(of_class[1], how="outer").merge(of_class[2], how="outer")
    return chosen.join(counts.set_index("run_id"), how="inner").reset_index()


def _of_cue(path: str | PathLike[str], cue: str) -> pd.DataFrame:
    """run_id, shape_class, and the number of decisions for one cue."""
    names = [name for name in pq.read_schema(path).names if re.fullmatch(rf"cue_{cue}(\..+)?", name)]
    table = pq.read_table(path, columns=["run_id", *names])
    frames = [_named(table, name, cue) for name in names]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["run_id", "shape_class"])


def _named(table: pa.Table, name: str, cue: str) -> pd.DataFrame:
    kept = table.filter(pc.field(name).is_valid())
    runs = kept["run_id"].to_pandas()
    _, dot, shape_class = name.partition(".")
    if dot:
        return pd.DataFrame({"run_id": runs, "shape_class": shape_class, f"num_{cue}": kept[name].to_numpy()})
    pairs = [(run, *pair) for run, each in zip(runs, kept[name].to_pylist(), strict=True) for pair in each]
    return pd.DataFrame(pairs, columns=["run_id", "shape_class", f"num_{cue}"])
