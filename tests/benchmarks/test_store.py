"""The benchmark of a large store: what it makes is what a sweep leaves, and what it prints is what was promised."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.fabricated_store import fabricate, written_grid
from benchmarks.store import store_benchmark
from subind.identity.run_ids import decode
from subind.specs.rows import num_of
from subind.specs.runs import Discover, Train
from subind.store.store import Store
from sweeps import grids
from sweeps.exporting.rows import export
from sweeps.grids import protocol
from sweeps.planning.plan import accounts, with_parents
from tests.conftest import REPOSITORY

PRINTED = ["plan_seconds", "export_seconds", "report_seconds", "peak_memory_bytes"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store]:
    folder = tmp_path_factory.mktemp("fabricated")
    grid = written_grid(folder / "cells.py", num_cells=20)
    fabricate(grid, folder / "store")
    return grid, Store(str(folder / "store"))


def test_written_grid_has_so_many_cells_of_the_protocol(tmp_path: Path) -> None:
    cells = grids.read_grid(str(written_grid(tmp_path / "cells.py", num_cells=1000))).cells
    assert len(set(cells)) == 1000
    assert {num_of(cell.rows, "disambiguation") for cell in cells} == set(protocol.DISAMBIGUATION_COUNTS)
    assert len({cell.start.name for cell in cells}) == 9
    assert cells[0] in protocol.cells(depths=(2,), seeds=(0,), disambiguation_counts=(0,))


def test_fabricated_store_has_a_finished_run_of_every_spec(made: tuple[Path, Store]) -> None:
    grid, store = made
    runs = with_parents(grids.read_grid(str(grid)).cells)
    assert store.finished() == runs.keys()
    assert {spec.stage for spec in runs.values()} == {"donor", "mask", "transfer"}


def test_fabricated_record_is_that_of_its_spec_with_a_value_an_epoch(made: tuple[Path, Store]) -> None:
    grid, store = made
    for spec in with_parents(grids.read_grid(str(grid)).cells).values():
        record = store.record(spec)
        assert decode(record.spec) == spec
        assert {len(curve) for curve in record.curves.values()} == {spec.num_epochs}
        assert bool(record.artifacts) == isinstance(spec, Train | Discover)


def test_fabricated_store_exports_rows_that_all_have_curves(made: tuple[Path, Store], tmp_path: Path) -> None:
    grid, store = made
    plan = accounts("cells", grids.read_grid(str(grid)).cells, finished=store.finished(), failed=store.failed())
    rows = pq.read_table(export(plan, store, tmp_path / "rows.parquet"))
    assert set(rows["status"].to_pylist()) == {"finished"}
    assert rows["curve_validation_loss"].null_count == 0
    transfers = [row for row in rows.to_pylist() if row["stage"] == "transfer"]
    assert all(len(row["curve_rival_agreement"]) == 2 and row["test_accuracy"] is not None for row in transfers)


@pytest.mark.slow
def test_bench_store_prints_the_promised_numbers_alone_on_standard_output() -> None:
    command = [sys.executable, "-m", "benchmarks", "store", "--cells", "50", "--json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    assert list(printed) == PRINTED
    assert all(value > 0 for value in printed.values())
    assert "50 cells" in done.stderr


def test_store_benchmark_of_a_command_that_fails_says_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "no backend of that name")
    with pytest.raises(ValueError, match=r"(?s)ended with 1: .*no backend of that name"):
        store_benchmark(1, progress=lambda _: None)
