"""The schemas of the files of result rows and of trials, and of counts and pictures that stand beside them.

A result row describes one planned cell, finished or not; its columns are declared in subind.store.row_columns.
"""

from typing import Literal

import pyarrow as pa

from subind.store.row_columns import COLUMNS, LIST, MAP


def _arrow(declared: str) -> pa.DataType:
    """The type of a column by its name in subind.store.row_columns."""
    if declared.startswith(LIST):
        return pa.list_(_arrow(declared.removeprefix(LIST)))
    if declared.startswith(MAP):
        return pa.map_(pa.string(), _arrow(declared.removeprefix(MAP)))
    return pa.type_for_alias(declared)


ROW_SCHEMA = pa.schema(
    [pa.field(each.name, _arrow(each.type), nullable=each.nullable) for each in COLUMNS],
    metadata={each.name: each.meaning for each in COLUMNS if each.meaning},
)
"""One row per planned cell. The metadata holds the meaning of the columns that their name does not tell."""

TRIAL_SCHEMA = pa.schema(
    [
        pa.field("study", pa.string(), nullable=False),
        pa.field("trial", pa.int64()),
        pa.field("state", pa.string(), nullable=False),
        pa.field("message", pa.string()),
        pa.field("run_id", pa.string()),
        pa.field("subtask", pa.string(), nullable=False),
        pa.field("chance_accuracy", pa.float64()),
        pa.field("num_layers", pa.int64()),
        pa.field("d_model", pa.int64()),
        pa.field("penalty", pa.float64()),
        pa.field("final_temperature", pa.float64()),
        pa.field("initial_logit", pa.float64()),
        pa.field("learning_rate", pa.float64()),
        pa.field("num_epochs", pa.int64()),
        pa.field("num_tuning_samples", pa.int64()),
        pa.field("tuning_accuracy", pa.float64()),
        pa.field("soft_accuracy", pa.float64()),
        pa.field("soft_hard_gap", pa.float64()),
        pa.field("density", pa.float64()),
        pa.field("subtask_accuracy", pa.float64()),
        pa.field("best_epoch", pa.int64()),
        pa.field("is_on_front", pa.bool_(), nullable=False),
        pa.field("is_chosen", pa.bool_(), nullable=False),
        pa.field("curve_epoch", pa.list_(pa.int64())),
        pa.field("curve_tuning_accuracy", pa.list_(pa.float64())),
        pa.field("curve_soft_accuracy", pa.list_(pa.float64())),
        pa.field("curve_density", pa.list_(pa.float64())),
        pa.field("seconds", pa.float64()),
        pa.field("pack_size", pa.int64()),
    ],
    metadata={
        "trial": "number of the trial in its study; null for the published setting",
        "state": "finished, stopped, failed, running, waiting, or published",
        "chance_accuracy": "of the best constant answer to the subtask; absent in older files",
        "num_tuning_samples": "on which tuning_accuracy and soft_accuracy are measured; absent in older files",
        "tuning_accuracy": "of the hard mask at its best epoch, on samples that nothing reported is measured on",
        "soft_accuracy": "of the soft mask at that epoch, on the same samples",
        "soft_hard_gap": "soft_accuracy less tuning_accuracy",
        "subtask_accuracy": "of the hard mask, on the samples that are reported",
        "seconds": "wall time from the start of the trial's pack to its end in it",
    },
)
"""One row per trial of a study, and one for the published setting. The key `importances` is added to the metadata: by
study, the importance of each parameter, or a text that says why there is none."""

RECIPIENT_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("run_id", "mask_id", "control", "matrix")),
        pa.field("num_layers", pa.int64()),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("seed", "num_weights", "num_subnetwork")),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("num_inherited", "num_frozen")),
        *(pa.field(f"num_subnetwork_{name}", pa.int64(), nullable=False) for name in ("inherited", "frozen")),
    ]
)
"""One row per recipient and matrix: of its weights, how many are the donor's, how many of these are frozen, and how
many of either belong to the discovered subnetwork. `mask_id` is the mask that they are held against; a control without
a mask is held against one of its donor's, or of its architecture's."""

PART_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("mask_id", "matrix", "part")),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("layer", "num_weights", "num_kept")),
        pa.field("head", pa.int64()),
    ]
)
"""One row per mask and part of a matrix: query, key and value of each head, what each head gives out, and both matrices
of the MLP, which have no head."""

OVERLAP_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("first_id", "second_id", "matrix")),
        *(pa.field(f"num_{name}", pa.int64(), nullable=False) for name in ("weights", "first", "second", "both")),
    ]
)
"""One row per pair of masks of one architecture and matrix: the ones of either and those that both have."""

IMAGE_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("task", "kind", "caption")),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("place", "height", "width")),
        pa.field("pixels", pa.binary(), nullable=False),
    ],
    metadata={
        "task": "the task in words",
        "kind": "original, mean_pooled or cue_conflict",
        "place": "the column of the contact sheet; an original and the same mean-pooled have the same",
        "pixels": "uint8 [row column channel]",
    },
)
"""One row per image of a contact sheet."""

FIRST_LAYER_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("mask_id", "model", "matrix")),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("seed", "num_filters", "num_kept", "num_weights")),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("num_shown", "height", "width")),
        pa.field("bits", pa.binary(), nullable=False),
    ],
    metadata={
        "num_shown": "filters that `bits` holds, the first of num_filters; the other counts are of all filters",
        "bits": "one byte a weight, 1 where it is kept, [filter channel row column]",
    },
)
"""One row per mask of an image classifier: which weights of its first convolution it keeps."""


def side_table(rows: str, name: Literal["recipients", "parts", "overlaps"]) -> str:
    """The path of a table of counts that stands beside a file of result rows."""
    return f"{rows.removesuffix('.parquet')}.{name}.parquet"


def picture_table(rows: str, name: Literal["images", "photographs", "first_layers"]) -> str:
    """The path of a table of pictures that stands beside a file of result rows."""
    return f"{rows.removesuffix('.parquet')}.{name}.parquet"
