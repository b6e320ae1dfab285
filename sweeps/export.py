"""Rows of a grid: one per planned cell, the missing and failed ones included."""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, assert_never

import pyarrow as pa
import pyarrow.parquet as pq

from subind.fingerprint import run_id
from subind.results import MEASURED_COLUMNS, ROW_SCHEMA, RunRecord, Status
from subind.spec import Mask, Spec, lineage, parents
from subind.store import Store
from sweeps.cells import planned_columns
from sweeps.plan import Plan

CURVES = ("train_loss", "validation_loss", "validation_accuracy", "ambiguous_accuracy", "density")


def export(plan: Plan, store: Store, path: Path) -> Path:
    """Write the grid's rows as Parquet, whole or not at all; returns the path."""
    running = {run for beat in store.heartbeats() for run in beat.runs}
    columns: dict[str, list[Any]] = {name: [] for name in ROW_SCHEMA.names}
    for row in rows(plan, store, running):
        for name, values in columns.items():
            values.append(row.get(name))
    table = pa.table(
        {field.name: pa.array(columns[field.name], type=field.type) for field in ROW_SCHEMA}, schema=ROW_SCHEMA
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        pq.write_table(table, temporary, compression="zstd")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def status(plan: Plan, run: str, running: frozenset[str] | set[str]) -> Status:
    """The state of one planned run."""
    if run in plan.finished:
        return "finished"
    if run in running:
        return "running"
    if run in plan.failed:
        return "failed"
    return "blocked" if run in plan.blocked else "missing"


def rows(plan: Plan, store: Store, running: frozenset[str] | set[str]) -> Iterator[dict[str, Any]]:
    """One row per planned run, parents first."""
    mask_measurements: dict[Mask, Mapping[str, float]] = {}
    for run, spec in plan.runs.items():
        state = status(plan, run, running)
        row = {**planned_columns(spec), "grid": plan.grid, "status": state}
        match state:
            case "finished":
                record = store.record(spec)
                row |= _measured(spec, record)
                if isinstance(spec, Mask):
                    mask_measurements[spec] = record.measurements
            case "failed":
                failure = store.failure(spec)
                row["failure"] = f"{failure.error}: {failure.message} ({store.failure_path(spec)})"
            case "blocked":
                row["failure"] = f"blocked: {', '.join(f'{parent} has failed' for parent in _failed_among(spec, plan))}"
            case "running" | "missing":
                pass
            case _:
                assert_never(state)
        yield row | _of_mask(spec, mask_measurements)


def _failed_among(spec: Spec, plan: Plan) -> list[str]:
    return [run_id(each) for each in lineage(spec) if run_id(each) in plan.failed]


def _of_mask(spec: Spec, known: Mapping[Mask, Mapping[str, float]]) -> dict[str, float]:
    """What a transfer's row says of the mask that its control is made from."""
    for parent in parents(spec):
        if isinstance(parent, Mask) and parent in known:
            return {name: known[parent][name] for name in ("density", "subtask_accuracy")}
    return {}


def _measured(spec: Spec, record: RunRecord) -> dict[str, Any]:
    found, curves = record.measurements, record.curves
    row: dict[str, Any] = {name: found[name] for name in MEASURED_COLUMNS if name in found}
    if "best_epoch" in row:
        row["best_epoch"] = int(row["best_epoch"])
    row |= {f"curve_{name}": curves[name] for name in CURVES if name in curves}
    row["curve_epoch"] = [int(epoch) for epoch in curves["epoch"]]
    rivals = [name for name in found if name.startswith("rival_agreement.")]
    if rivals:
        ordered = [f"rival_agreement.{rival}" for rival in planned_columns(spec)["rivals"]]
        row["rival_agreement"] = [found[name] for name in ordered]
        row["curve_rival_agreement"] = [curves[name] for name in ordered]
    densities = {name.removeprefix("density."): value for name, value in found.items() if name.startswith("density.")}
    if densities:
        row["matrix_density"] = list(densities.items())
    provenance = record.provenance
    return row | {
        "commit": provenance.commit,
        "dirty": provenance.dirty,
        "device": provenance.device,
        "seconds": provenance.seconds,
        "pack_size": provenance.pack_size,
    }
