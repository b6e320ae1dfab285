"""The rows of a grid: one per planned run, including missing and failed ones."""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.listing import Listing
from subind.store.row_columns import RECORD_COLUMNS
from subind.store.row_values import planned_values
from subind.store.schemas import ROW_SCHEMA
from subind.store.store import Store
from sweeps.exporting.contact_sheets import write_pictures
from sweeps.exporting.mask_counts import write_mask_counts
from sweeps.exporting.record_index import RecordIndex, Rows
from sweeps.exporting.row_files import row_writer, written_whole
from sweeps.grids.cells import planned_rows
from sweeps.planning.damaged_runs import failure_of, with_damaged
from sweeps.planning.further_seeds import NOTHING_EXPECTED, Expected
from sweeps.planning.plan import Plan, without_finished
from sweeps.planning.run_states import ROW_STATUS, State, failed_ancestors, with_running

ROWS_AT_ONCE = 4096
"""The number of rows that are joined at once, and of a row group."""

OF_MASKS = ("density", "subtask_accuracy")
"""Columns of a transfer's row about the mask of its start."""

PLANNED_COLUMNS = tuple(name for name in ROW_SCHEMA.names if name not in RECORD_COLUMNS)


def export(
    plan: Plan, store: Store, path: Path, listing: Listing | None = None, *, expected: Expected = NOTHING_EXPECTED
) -> Path:
    """Write the grid's rows as Parquet; returns the path. See `exported_plan`."""
    exported_plan(plan, store, path, listing, expected=expected)
    return path


def exported_plan(
    plan: Plan, store: Store, path: Path, listing: Listing | None = None, *, expected: Expected = NOTHING_EXPECTED
) -> Plan:
    """Write the grid's rows as Parquet, whole or not at all; return their plan.

    A finished run whose record turns out to be damaged counts as failed there, and one whose record is gone as missing.
    `expected` are the grid's claims, which the file carries in its metadata.
    `listing` is the store's, made with the plan or later; without one the store is listed again. Counts over the
    stored masks (`sweeps.exporting.mask_counts`) and pictures (`sweeps.exporting.contact_sheets`) are written next
    to the rows. Each record is read once; the store's index keeps its columns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary, tempfile.TemporaryDirectory(prefix="subind-export-") as scratch:
        index = RecordIndex(store, stamps=(listing or store.listing()).finished, scratch=Path(scratch))
        plan = _write(plan, store, index, temporary, schema=expected.written_into(ROW_SCHEMA))
        index.tidy()
    write_mask_counts(plan, store, path)
    write_pictures(plan, store, path)
    return plan


def _write(plan: Plan, store: Store, index: RecordIndex, path: Path, *, schema: pa.Schema) -> Plan:
    """Write the rows to the path and return their plan. A table is joined while the previous one is encoded."""
    finished = [run if run in plan.finished else None for run in plan.runs]
    measured = index.rows(finished, folder=lambda run: store.folder(plan.runs[run]))
    plan = with_damaged(without_finished(plan, index.gone) if index.gone else plan, index.damaged)
    with row_writer(path, schema) as writer, ThreadPoolExecutor(1) as thread:
        written: Future[None] = thread.submit(lambda: None)
        for table in _tables(plan, store, measured):
            written.result()
            written = thread.submit(writer.write_table, table.replace_schema_metadata(schema.metadata))
        written.result()
    return plan


def _tables(plan: Plan, store: Store, measured: Rows) -> Iterator[pa.Table]:
    """All planned runs in order, parents first, in slices."""
    running = {run for beat in store.heartbeats() for run in beat.runs}
    plan = replace(plan, states=with_running(plan.states, running))
    planned, of_masks = list(plan.runs.values()), OfMasks()
    for start in range(0, len(planned), ROWS_AT_ONCE):
        some = planned[start : start + ROWS_AT_ONCE]
        table = measured.taken(start, start + len(some))
        columns = {name: table[name] for name in RECORD_COLUMNS} | _planned_arrays(some, plan, store)
        columns |= of_masks.filled_in(columns)
        yield pa.Table.from_arrays([columns[name] for name in ROW_SCHEMA.names], schema=ROW_SCHEMA)


def _planned_arrays(some: Sequence[Run], plan: Plan, store: Store) -> dict[str, Any]:
    """The columns that need no record."""
    rows = [planned_values(row) for row in planned_rows(some)]
    for row, run in zip(rows, some, strict=True):
        state = plan.states[row["run_id"]].state
        row |= {"grid": plan.grid, "status": ROW_STATUS[state], "failure": _failure(state, run, plan, store)}
    return {name: pa.array([row.get(name) for row in rows], ROW_SCHEMA.field(name).type) for name in PLANNED_COLUMNS}


def _failure(state: State, run: Run, plan: Plan, store: Store) -> str | None:
    match state:
        case "failed" | "damaged":
            failure = failure_of(run_id(run), plan, store)
            if failure is None:
                return "it has been forgiven since"
            where = f" ({store.failure_path(run)})" if failure.traceback else ""
            return f"{failure.error}: {failure.message}{where}"
        case "blocked":
            return f"blocked: {', '.join(f'{each} has failed' for each in failed_ancestors(run, plan.states))}"
        case _:
            return None


class OfMasks:
    """The measurements of finished masks, which the rows of their transfers repeat. Masks come first."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float | None, ...]] = {}

    def filled_in(self, columns: dict[str, Any]) -> dict[str, Any]:
        """The columns OF_MASKS, from each run's parent if it is a finished mask."""
        names = ("run_id", "stage", "status", *OF_MASKS)
        for run, stage, state, *found in zip(*(columns[name].to_pylist() for name in names), strict=True):
            if stage == "mask" and state == "finished":
                self._known[run] = tuple(found)
        absent = (None,) * len(OF_MASKS)
        of_parent = [self._known.get(parent, absent) for parent in columns["parent_id"].to_pylist()]
        return {
            name: pc.coalesce(pa.array([found[place] for found in of_parent], pa.float64()), columns[name])
            for place, name in enumerate(OF_MASKS)
        }
