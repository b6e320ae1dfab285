"""The columns of a result row, each declared once: its type, where its value comes from, and what it means.

A measurement without a column of its own is in the map `measurements`, and its curve in `curves`. Columns of a
user's task, network or start (`columns()`) are in `fields`.
"""

from dataclasses import dataclass
from typing import Literal

TEXT, COUNT, NUMBER, YES_OR_NO = "string", "int64", "double", "bool"
LIST = "list of "
COUNTS, NUMBERS, TEXTS = LIST + COUNT, LIST + NUMBER, LIST + TEXT
LISTS_OF_NUMBERS = LIST + NUMBERS
MAP = "map of texts to "
NUMBER_BY_NAME, NUMBERS_BY_NAME, TEXT_BY_NAME = MAP + NUMBER, MAP + NUMBERS, MAP + TEXT

Source = Literal["plan", "measurement", "measurement by name", "measurement by rival", "curve", "record"]
"""Where a value comes from: the run's spec and the state of its cell; the measurement or curve of the column's name;
those named `PREFIX.NAME`, as a map or in the order of the rivals; or the rest of the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a result row. `prefix` is that of the names of several measurements."""

    name: str
    type: str
    source: Source
    meaning: str = ""
    prefix: str = ""
    nullable: bool = True


def planned(name: str, type: str, meaning: str = "", *, nullable: bool = True) -> Column:  # noqa: A002
    """A column that the plan fills."""
    return Column(name=name, type=type, source="plan", meaning=meaning, nullable=nullable)


def measured(name: str, meaning: str = "", *, type: str = NUMBER) -> Column:  # noqa: A002
    """A column of the final measurement of its name."""
    return Column(name=name, type=type, source="measurement", meaning=meaning)


def table(name: str, prefix: str, meaning: str = "") -> Column:
    """A column of the final measurements named `prefix.KEY`, by KEY."""
    return Column(name=name, type=NUMBER_BY_NAME, source="measurement by name", prefix=prefix, meaning=meaning)


def curve(name: str, meaning: str = "", *, type: str = NUMBERS) -> Column:  # noqa: A002
    """A column of the curve of its name."""
    return Column(name=f"curve_{name}", type=type, source="curve", meaning=meaning)


def recorded(name: str, type: str, meaning: str = "") -> Column:  # noqa: A002
    """A column that `subind.store.row_values` computes from the record."""
    return Column(name=name, type=type, source="record", meaning=meaning)


OF_PLAN = (
    planned("run_id", TEXT, "fingerprint of the run's spec and of all that it descends from", nullable=False),
    planned("grid", TEXT, nullable=False),
    planned("stage", TEXT, "donor, mask, transfer or measurement", nullable=False),
    planned("status", TEXT, "finished, running, failed, blocked (a parent failed) or missing", nullable=False),
    planned("control", TEXT, "the start of a recipient"),
    planned("num_layers", COUNT),
    planned("d_model", COUNT),
    planned("rule", TEXT),
    planned("modulus", COUNT),
    planned("num_integers", COUNT),
    planned("subtask", TEXT),
    planned("num_ambiguous", COUNT),
    planned("num_disambiguation", COUNT, "samples in the training set that tell the rule from its rivals"),
    planned("seed", COUNT, nullable=False),
    planned("mask_seed", COUNT),
    planned("donor_seed", COUNT),
    planned(
        "donor_kind",
        TEXT,
        "trained, untrained (as it was initialised) or imported: the donor that the run descends from",
    ),
    planned("penalty", NUMBER),
    planned("temperature_schedule", TEXT),
    planned("final_temperature", NUMBER),
    planned("parent_id", TEXT, "the first of parent_ids"),
)

OF_RECORD = (
    measured(
        "test_accuracy", "on rows that neither training nor selection has met, at the kept epoch; null unless finished"
    ),
    measured("validation_accuracy", "at the kept epoch"),
    measured("validation_loss"),
    measured("train_loss"),
    measured("ambiguous_accuracy"),
    measured("best_epoch", type=COUNT),
    planned("kept_epoch", TEXT, "first_best or last_best of several best epochs, or last: the last epoch"),
    measured(
        "density", "share of ones in the discovered mask: the run's own, or the one that its control is made from"
    ),
    measured("kept_fraction", "share of the recipient's maskable weights that start from the donor"),
    measured("frozen_fraction", "share of the recipient's maskable weights that are frozen at the donor's"),
    measured("subtask_accuracy", "accuracy on the subtask under the hard mask"),
    planned("chance_accuracy", NUMBER, "accuracy of the best constant answer; null where it is not known"),
    measured("seen_share", "share of the test samples whose pair is among the training samples"),
    planned("rivals", TEXTS),
    planned("chance_agreement", NUMBERS, "share of all pairs on which the rule has the answer of each of the rivals"),
    Column(
        name="rival_agreement",
        type=NUMBERS,
        source="measurement by rival",
        prefix="rival_agreement",
        meaning="share of validation samples answered as each of the rivals, at the kept epoch",
    ),
    table("matrix_density", "density"),
    recorded("curve_epoch", COUNTS),
    curve("train_loss"),
    curve("validation_loss"),
    curve("validation_accuracy"),
    curve("ambiguous_accuracy"),
    Column(
        name="curve_rival_agreement",
        type=LISTS_OF_NUMBERS,
        source="measurement by rival",
        prefix="rival_agreement",
    ),
    curve("density"),
    recorded("commit", TEXT, "git commit of the code; empty where it was not known"),
    recorded("dirty", YES_OR_NO, "whether tracked files differed from the commit; null where that was not known"),
    recorded("device", TEXT),
    recorded(
        "seconds", NUMBER, "wall time of the pack that computed the run, of all its workers; pack_size runs shared it"
    ),
    recorded("pack_size", COUNT),
    planned("failure", TEXT),
)

OF_IMAGES = (
    planned("image_size", COUNT),
    *(planned(f"{cue}_predictivity", NUMBER) for cue in ("shape", "texture")),
    *(planned(f"{cue}_contrast", NUMBER) for cue in ("shape", "texture")),
    planned("num_training_images", COUNT, "images of one epoch, original and mean-pooled, repetitions included"),
    planned("mixture_share", NUMBER, "share of mean-pooled images among those"),
    planned("held", TEXT, "what a recipient holds at the donor's values besides its frozen weights"),
    planned(
        "evaluations_per_epoch",
        COUNT,
        "values of a curve for each epoch: value i belongs to epoch (i + 1) / this, i from 0",
    ),
    measured(
        "accuracy_original",
        "on test images, which neither training nor selection has met; curves: on validation images",
    ),
    measured("accuracy_mean_pooled", "the same of the same images mean-pooled"),
    measured("shape_bias", "shape decisions over shape and texture decisions on images of two cues; null without any"),
    measured("shape_bias_class_mean", "the mean of the shape classes' biases"),
    measured("shape_bias_low", "shape_bias_low to shape_bias_high: 95% bootstrap interval over images"),
    measured("shape_bias_high"),
    measured("shape_rate"),
    measured("texture_rate"),
    measured("other_rate"),
    measured("num_cue_conflict", "images of two cues in conflict that the rates are over", type=COUNT),
    *(
        table(f"cue_{cue}", f"cue_{cue}", "decisions for the cue, by shape class")
        for cue in ("shape", "texture", "other")
    ),
    curve("accuracy_original"),
    curve("accuracy_mean_pooled"),
    curve("subtask_accuracy"),
)

OF_ANY_TASK = (
    planned("model", TEXT, "the network's name; null in arithmetic of older files"),
    planned("task", TEXT, "the task in words"),
    planned("measurement", TEXT, "what a run of the stage measurement measures"),
    planned("parent_ids", TEXTS, "the runs whose files the run reads"),
    planned("fields", TEXT_BY_NAME, "what tasks, networks and starts say of a run and no column holds"),
    recorded("measurements", NUMBER_BY_NAME, "every final measurement"),
    recorded("curves", NUMBERS_BY_NAME, "the curves that have no column of their own"),
    recorded("is_kept", YES_OR_NO, "whether the store has the weights of the run's network"),
)

COLUMNS: tuple[Column, ...] = (*OF_PLAN, *OF_RECORD, *OF_IMAGES, *OF_ANY_TASK)

LATER_COLUMNS = tuple(each.name for each in (*OF_IMAGES, *OF_ANY_TASK))
"""Columns that older files lack: they are null in every row then."""

MEASURED_COLUMNS = tuple(each.name for each in COLUMNS if each.source == "measurement")
"""Columns that a row takes from the measurements of its record by the same name."""

RECORD_COLUMNS = tuple(each.name for each in COLUMNS if each.source != "plan")
"""Columns that a row takes from its run's record (`subind.store.row_values`); all others are known from the plan."""
