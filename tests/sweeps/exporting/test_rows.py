"""Rows of a grid: one per planned cell, whatever became of it."""

import os
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subind.identity.run_ids import run_id
from subind.specs.run import STAGES, Run
from subind.specs.runs import Discover, Transfer
from subind.store.schemas import ROW_SCHEMA
from subind.store.store import Heartbeat, Store
from sweeps.exporting.rows import export
from sweeps.planning.plan import Plan, accounts
from sweeps.planning.run_states import with_running
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.records import small_failure
from tests.sweeps.fabricated import commit_fabricated, fabricated_measurements
from tests.sweeps.fabricated_grid import exportable_record


def _mask(seed: int) -> Discover:
    return tiny_mask(donor=tiny_donor(seed=seed), seed=seed)


def _cells() -> tuple[Transfer, ...]:
    return tuple(
        tiny_transfer(name, mask=_mask(seed), seed=seed)
        for seed in (0, 1)
        for name in ("subnetwork", "full_transfer", "random_init")
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def _plan(store: Store, cells: Sequence[Run] | None = None) -> Plan:
    planned = _cells() if cells is None else cells
    return accounts("grid", planned, finished=store.finished(), failed=store.failed())


def _rows(store: Store, tmp_path: Path, cells: Sequence[Run] | None = None) -> dict[str, dict[str, Any]]:
    """The exported rows by run id; the id must be unique."""
    found = pq.read_table(export(_plan(store, cells), store, tmp_path / "rows.parquet")).to_pylist()
    by_id = {row["run_id"]: row for row in found}
    assert len(by_id) == len(found)
    return by_id


def _commit(store: Store, spec: Run, **measurements: float) -> None:
    store.commit(spec, exportable_record(spec, **measurements), {})


def test_export_of_an_empty_store_has_a_missing_row_per_planned_cell(store: Store, tmp_path: Path) -> None:
    rows = _rows(store, tmp_path)
    assert rows.keys() == _plan(store).runs.keys()
    assert {row["status"] for row in rows.values()} == {"missing"}


def test_export_has_the_schema_of_result_rows_with_its_metadata(store: Store, tmp_path: Path) -> None:
    schema = pq.read_schema(export(_plan(store), store, tmp_path / "rows.parquet"))
    assert schema.equals(ROW_SCHEMA)
    assert schema.metadata == ROW_SCHEMA.metadata


def test_export_of_a_missing_cell_tells_what_is_planned_and_measures_nothing(store: Store, tmp_path: Path) -> None:
    cell = _cells()[0]
    row = _rows(store, tmp_path)[run_id(cell)]
    planned = {"grid": "grid", "stage": "transfer", "control": "subnetwork", "seed": 0, "num_disambiguation": 6}
    assert {name: row[name] for name in planned} == planned
    unmeasured = ("test_accuracy", "density", "best_epoch", "curve_epoch", "commit", "seconds", "failure")
    assert [row[name] for name in unmeasured] == [None] * len(unmeasured)


def test_export_of_a_finished_transfer_has_its_measurements_and_provenance(store: Store, tmp_path: Path) -> None:
    cell = tiny_transfer("random_init")
    _commit(store, cell, test_accuracy=0.75, best_epoch=3.0, kept_fraction=0.0)
    row = _rows(store, tmp_path, [cell])[run_id(cell)]
    expected = {
        "status": "finished",
        "test_accuracy": 0.75,
        "best_epoch": 3,
        "kept_fraction": 0.0,
        "curve_epoch": [1, 2, 3],
        "curve_validation_accuracy": [1 / 3, 2 / 3, 1.0],
        "commit": "c0ffee",
        "dirty": False,
        "device": "cpu",
        "seconds": 6.0,
        "pack_size": 4,
    }
    assert {name: row[name] for name in expected} == expected


def test_export_of_rivals_has_their_agreements_in_the_order_of_their_names(store: Store, tmp_path: Path) -> None:
    cell = tiny_transfer("random_init")
    _commit(store, cell)
    row = _rows(store, tmp_path, [cell])[run_id(cell)]
    assert row["rivals"] == ["2 * a ** 2", "2 * b ** 2"]
    assert row["rival_agreement"] == [0.25, 0.5]
    assert row["curve_rival_agreement"] == [[0.5, 0.5, 0.5], [0.0, 0.25, 0.5]]


def test_export_of_a_mask_has_its_density_and_that_of_each_matrix(store: Store, tmp_path: Path) -> None:
    mask = _mask(0)
    measured = fabricated_measurements(mask)
    _commit(store, mask)
    row = _rows(store, tmp_path)[run_id(mask)]
    by_matrix = {name.removeprefix("density."): each for name, each in measured.items() if name.startswith("density.")}
    assert (row["density"], row["subtask_accuracy"]) == (0.08, 0.99)
    assert dict(row["matrix_density"]) == by_matrix


def test_export_of_a_transfer_has_the_density_of_its_own_mask(store: Store, tmp_path: Path) -> None:
    for seed, density in ((0, 0.08), (1, 0.11)):
        _commit(store, _mask(seed), density=density)
    rows = _rows(store, tmp_path)
    found = {(row["control"], row["seed"]): row["density"] for row in rows.values() if row["stage"] == "transfer"}
    assert found[("subnetwork", 0)] == 0.08
    assert found[("subnetwork", 1)] == 0.11
    assert all(density is None for (control, _), density in found.items() if control != "subnetwork")


def test_export_of_a_missing_transfer_has_the_density_of_its_finished_mask(store: Store, tmp_path: Path) -> None:
    _commit(store, _mask(0))
    row = _rows(store, tmp_path)[run_id(_cells()[0])]
    assert (row["status"], row["density"]) == ("missing", 0.08)


def test_export_of_a_failed_run_says_why_and_where_the_traceback_is(store: Store, tmp_path: Path) -> None:
    donor = tiny_donor(seed=0)
    store.fail(donor, small_failure(donor))
    row = _rows(store, tmp_path)[run_id(donor)]
    assert row["status"] == "failed"
    assert row["failure"] == f"RuntimeError: out of luck ({store.failure_path(donor)})"
    assert Path(store.failure_path(donor)).is_file()


def test_export_of_a_blocked_run_names_the_failed_one(store: Store, tmp_path: Path) -> None:
    donor = tiny_donor(seed=0)
    store.fail(donor, small_failure(donor))
    rows = _rows(store, tmp_path)
    row = rows[run_id(_cells()[0])]
    assert row["status"] == "blocked"
    assert row["failure"] == f"blocked: {run_id(donor)} has failed"


def test_export_of_a_running_pack_says_running(store: Store, tmp_path: Path) -> None:
    donor = tiny_donor(seed=0)
    _beat(store, [donor])
    rows = _rows(store, tmp_path)
    assert {run for run, row in rows.items() if row["status"] == "running"} == {run_id(donor)}


def _beat(store: Store, several: Sequence[Run]) -> None:
    runs = tuple(map(run_id, several))
    place: dict[str, Any] = {"host": socket.gethostname(), "process": os.getpid(), "time": time.time()}
    store.beat(Heartbeat(pack="pack", runs=runs, epoch=1, step=1, num_steps=2, **place))


def test_status_of_a_finished_run_that_a_pack_still_names_is_finished(store: Store) -> None:
    donor = tiny_donor(seed=0)
    commit_fabricated(store, [donor])
    assert with_running(_plan(store).states, {run_id(donor)})[run_id(donor)].state == "finished"


def test_status_of_a_failed_run_whose_pack_is_still_computed_is_failed(store: Store) -> None:
    donor = tiny_donor(seed=0)
    store.fail(donor, small_failure(donor))
    assert with_running(_plan(store).states, {run_id(donor)})[run_id(donor)].state == "failed"


def test_export_has_parents_before_their_children(store: Store, tmp_path: Path) -> None:
    stages = [row["stage"] for row in _rows(store, tmp_path).values()]
    assert stages == sorted(stages, key=STAGES.index)


def test_export_replaces_the_rows_that_were_there(store: Store, tmp_path: Path) -> None:
    _rows(store, tmp_path)
    commit_fabricated(store, [tiny_donor(seed=0)])
    rows = _rows(store, tmp_path)
    assert [row["stage"] for row in rows.values() if row["status"] == "finished"] == ["donor"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["rows.parquet"]


def test_export_that_fails_leaves_the_old_rows_and_nothing_else(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(_plan(store), store, tmp_path / "out" / "rows.parquet")
    before = path.read_bytes()

    def full(_writer: pq.ParquetWriter, _table: pa.Table) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        export(_plan(store), store, path)
    assert [each.name for each in path.parent.iterdir()] == ["rows.parquet"]
    assert path.read_bytes() == before


def test_export_of_a_damaged_record_tells_it_in_its_row_and_blocks_what_is_missing_below(
    store: Store, tmp_path: Path
) -> None:
    donor = tiny_donor(seed=0)
    commit_fabricated(store, [donor])
    path = Path(store.folder(donor), "record.json")
    path.write_bytes(path.read_bytes()[:40])
    rows = _rows(store, tmp_path)
    assert rows[run_id(donor)]["status"] == "failed"
    assert re.search(r"Damaged: .*record\.json is no JSON .* remove it", rows[run_id(donor)]["failure"])
    below = [row for row in rows.values() if row["donor_seed"] == 0 and row["stage"] == "mask"]
    assert [row["status"] for row in below] == ["blocked"]
