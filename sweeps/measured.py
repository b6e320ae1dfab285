"""The columns of a result row that the record of its run gives, as a table with a row per record."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from subind.specs.quoting import quoted
from subind.store.results import MEASURED_COLUMNS, ROW_SCHEMA, RunRecord
from subind.store.vision_results import CUES, VISION_CURVES

CURVES = ("train_loss", "validation_loss", "validation_accuracy", "ambiguous_accuracy", "density", *VISION_CURVES)
RECORD_COLUMNS = (
    *MEASURED_COLUMNS,
    "rival_agreement",
    "matrix_density",
    "curve_epoch",
    *(f"curve_{name}" for name in CURVES),
    "curve_rival_agreement",
    *CUES,
    "commit",
    "dirty",
    "device",
    "seconds",
    "pack_size",
)
RECORD_SCHEMA = pa.schema([ROW_SCHEMA.field(name) for name in RECORD_COLUMNS])


def measured_table(records: Iterable[RunRecord]) -> pa.Table:
    """A row per record, of RECORD_SCHEMA; what a record does not have is null.

    Raises ValueError if a record lacks its epochs, or the agreement with a rival of its spec where it has any.
    """
    columns: dict[str, list[Any]] = {name: [] for name in RECORD_COLUMNS}
    for record in records:
        row = _measured(record)
        for name, values in columns.items():
            values.append(row.get(name))
    arrays = [pa.array(columns[field.name], type=field.type) for field in RECORD_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=RECORD_SCHEMA)


def check_measured(record: RunRecord) -> None:
    """Raise ValueError if `measured_table` cannot take the record."""
    _measured(record)


def _measured(record: RunRecord) -> dict[str, Any]:
    found, curves, provenance = record.measurements, record.curves, record.provenance
    row: dict[str, Any] = {name: found[name] for name in MEASURED_COLUMNS if name in found}
    if "best_epoch" in row:
        row["best_epoch"] = _epoch(row["best_epoch"], record)
    if "num_cue_conflict" in row:
        row["num_cue_conflict"] = int(row["num_cue_conflict"])
    row |= {f"curve_{name}": curves[name] for name in CURVES if name in curves}
    row["curve_epoch"] = [_epoch(epoch, record) for epoch in _held(record.curves, "epoch", record)]
    rivals = [f"rival_agreement.{rival}" for rival in _rivals(record)]
    if any(name in found for name in rivals):
        row["rival_agreement"] = [_held(found, name, record) for name in rivals]
        row["curve_rival_agreement"] = [_held(curves, name, record) for name in rivals]
    if record.stage == "mask":
        shares = [(name.removeprefix("density."), found[name]) for name in found if name.startswith("density.")]
        row["matrix_density"] = shares or None
    row |= {cue: decisions for cue in CUES if (decisions := _by_class(record, cue))}
    return row | {
        "commit": provenance.commit,
        "dirty": provenance.dirty,
        "device": provenance.device,
        "seconds": provenance.seconds,
        "pack_size": provenance.pack_size,
    }


def _by_class(record: RunRecord, cue: str) -> list[tuple[str, float]]:
    """The numbers of decisions for the cue by shape class."""
    found = record.measurements
    return [(name.removeprefix(f"{cue}."), found[name]) for name in found if name.startswith(f"{cue}.")]


def _epoch(value: float, record: RunRecord) -> int:
    if not abs(value) < 2**31:
        raise _refused(record, f"has the epoch {value}")
    return int(value)


def _rivals(record: RunRecord) -> list[str]:
    """The rivals that the spec names, which nothing has checked."""
    rivals = record.spec.get("rivals", [])
    if not isinstance(rivals, list):
        raise _refused(record, f"has rivals = {str(rivals)[:80]}")
    return rivals


def _held(parts: Mapping[str, Any], name: str, record: RunRecord) -> Any:
    if name not in parts:
        raise _refused(record, f"lacks {quoted(name)}")
    return parts[name]


def _refused(record: RunRecord, why: str) -> ValueError:
    file = f"runs/*/*-{record.run_id}/record.json"
    return ValueError(f"the record of run {record.run_id} ({file}) {why}: remove the run's folder and run it again")
