"""Rows of image classifiers made by hand, as a file beside rows of arithmetic or alone."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.rows.load import OF_VISION
from subind.store.schemas import ROW_SCHEMA
from tests.analysis.rows import ABSENT, PROVENANCE, Row

_FLOATS = (
    "mixture_share", "accuracy_original", "accuracy_mean_pooled", "shape_bias", "shape_bias_class_mean",
    "shape_bias_low", "shape_bias_high", "shape_rate", "texture_rate", "other_rate",
)  # fmt: skip
CLASSES = ("disc", "star")
_COUNTS = pa.map_(pa.string(), pa.int64())
_CURVE = pa.list_(pa.float64())

SCHEMA = pa.schema(
    [
        *(field.with_nullable(True) for field in ROW_SCHEMA if not OF_VISION.fullmatch(field.name)),
        pa.field("model", pa.string()),
        pa.field("held", pa.string()),
        *(pa.field(name, pa.float64()) for name in _FLOATS),
        *(pa.field(name, pa.int64()) for name in ("num_training_images", "num_cue_conflict", "evaluations_per_epoch")),
        *(pa.field(f"cue_{cue}", _COUNTS) for cue in ("shape", "texture", "other")),
        *(pa.field(f"curve_accuracy_{name}", _CURVE) for name in ("original", "mean_pooled")),
    ]
)


def run(start: str, bias: float | None, *, seed: int = 0, model: str = "small ResNet", **changes: object) -> Row:
    """A finished donor (`start` is donor) or recipient, or with the bias None a missing one; 100 conflict images."""
    stage: Row = {"stage": "donor"} if start == "donor" else {"stage": "transfer", "control": start}
    identity = {"run_id": f"{model}-{start}-{seed}-{changes.get('mixture_share')}", "seed": seed, "donor_seed": seed}
    row = {**ABSENT, **stage, **identity, "model": model, "grid": "test", "donor_kind": "trained"}
    return {**row, **(_measured(bias) if bias is not None else {"status": "missing"}), **changes}


def _measured(bias: float) -> Row:
    """Of each class 40 images decided for a cue, 10 for neither."""
    of_shape = round(40 * bias)
    return {
        **PROVENANCE,
        "status": "finished",
        "accuracy_original": 0.9,
        "accuracy_mean_pooled": 0.5 + bias / 4,
        "shape_bias": bias,
        "shape_bias_class_mean": bias,
        "shape_bias_low": bias - 0.05,
        "shape_bias_high": bias + 0.05,
        "shape_rate": 0.8 * bias,
        "texture_rate": 0.8 * (1 - bias),
        "other_rate": 0.2,
        "num_cue_conflict": 100,
        "num_training_images": 2000,
        "cue_shape": [(name, of_shape) for name in CLASSES],
        "cue_texture": [(name, 40 - of_shape) for name in CLASSES],
        "cue_other": [(name, 10) for name in CLASSES],
        "curve_epoch": [1, 2, 3],
        "curve_accuracy_original": [0.4, 0.7, 0.9],
        "curve_accuracy_mean_pooled": [0.2, 0.3, 0.5 + bias / 4],
    }


def write(path: Path, rows: Iterable[Row]) -> Path:
    """The rows as Parquet."""
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), path)
    return path
