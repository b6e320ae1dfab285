"""The index of records: it makes an export fast, and whatever becomes of it, the rows are those of the records."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.store import Store
from sweeps.exporting import record_index, record_parts
from sweeps.exporting.rows import export
from sweeps.planning.plan import Plan, accounts, with_parents
from sweeps.planning.run_states import stored_states
from tests.specs import CONTROL_NAMES, tiny_mask, tiny_transfer
from tests.sweeps.fabricated_grid import exportable_record

CELLS = [tiny_transfer(name, seed=seed) for seed in (0, 1) for name in CONTROL_NAMES]
RUNS = with_parents(CELLS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return filled(Store(str(tmp_path / "store")))


def filled(store: Store) -> Store:
    for spec in RUNS.values():
        store.commit(spec, exportable_record(spec), {})
    return store


def plan_of(store: Store) -> Plan:
    return accounts("grid", CELLS, finished=store.finished(), failed=frozenset())


def exported(store: Store, path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(export(plan_of(store), store, path)).to_pylist()
    return rows


def parts(store: Store) -> list[Path]:
    return sorted(Path(store.url, "index").glob("*"))


def record_file(store: Store, spec: Run) -> Path:
    return Path(store.folder(spec), "record.json")


def recompute(store: Store, spec: Run, **measurements: float) -> None:
    """Another record of the run, of another time than the one before."""
    before = record_file(store, spec).stat().st_mtime_ns
    record_file(store, spec).unlink()
    store.commit(spec, exportable_record(spec, **measurements), {})
    os.utime(record_file(store, spec), ns=(before + 1_000_000, before + 1_000_000))


def make_unreadable(store: Store) -> None:
    """Let every record hold no JSON and look untouched."""
    for spec in RUNS.values():
        path = record_file(store, spec)
        about = path.stat()
        path.write_bytes(b"x" * about.st_size)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_export_leaves_one_part_in_the_index(store: Store, tmp_path: Path) -> None:
    exported(store, tmp_path / "rows.parquet")
    assert len(parts(store)) == 1


def test_export_from_the_index_is_the_first_one_byte_for_byte(store: Store, tmp_path: Path) -> None:
    cold = export(plan_of(store), store, tmp_path / "cold.parquet")
    warm = export(plan_of(store), store, tmp_path / "warm.parquet")
    assert len(parts(store)) == 1
    assert warm.read_bytes() == cold.read_bytes()


def test_export_reads_a_record_only_once(store: Store, tmp_path: Path) -> None:
    before = exported(store, tmp_path / "rows.parquet")
    make_unreadable(store)
    assert exported(store, tmp_path / "rows.parquet") == before


def test_export_after_the_index_was_removed_is_the_same(store: Store, tmp_path: Path) -> None:
    before = exported(store, tmp_path / "rows.parquet")
    shutil.rmtree(Path(store.url, "index"))
    assert exported(store, tmp_path / "rows.parquet") == before


def test_export_reads_a_recomputed_record_again(store: Store, tmp_path: Path) -> None:
    exported(store, tmp_path / "rows.parquet")
    recompute(store, CELLS[0], test_accuracy=0.125)
    rows = {row["run_id"]: row["test_accuracy"] for row in exported(store, tmp_path / "rows.parquet")}
    assert rows[run_id(CELLS[0])] == 0.125
    assert all(rows[run_id(cell)] != 0.125 for cell in CELLS[1:])


def test_export_gives_a_removed_run_no_row_of_the_index(store: Store, tmp_path: Path) -> None:
    exported(store, tmp_path / "rows.parquet")
    shutil.rmtree(store.folder(CELLS[0]))
    row = next(row for row in exported(store, tmp_path / "rows.parquet") if row["run_id"] == run_id(CELLS[0]))
    assert (row["status"], row["test_accuracy"], row["curve_epoch"]) == ("missing", None, None)


def test_export_of_a_part_of_a_grid_takes_its_rows_in_their_order(store: Store, tmp_path: Path) -> None:
    exported(store, tmp_path / "rows.parquet")
    plan = plan_of(store)
    backwards = {run: plan.runs[run] for run in reversed(plan.runs) if run != run_id(tiny_mask())}
    states = stored_states(backwards, finished=store.finished(), failed=(), damaged={}, stale={})
    table = pq.read_table(export(replace(plan, states=states), store, tmp_path / "part.parquet"))
    expected = {run: exportable_record(spec).measurements.get("test_accuracy") for run, spec in backwards.items()}
    assert dict(zip(table["run_id"].to_pylist(), table["test_accuracy"].to_pylist(), strict=True)) == expected
    assert len(parts(store)) == 1


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("broken", [_cut, lambda _: b"", lambda _: b"PAR1 and no more"])
def test_export_beside_a_broken_part_reads_the_records(
    store: Store, tmp_path: Path, broken: Callable[[bytes], bytes]
) -> None:
    before = exported(store, tmp_path / "rows.parquet")
    (part,) = parts(store)
    part.write_bytes(broken(part.read_bytes()))
    assert exported(store, tmp_path / "rows.parquet") == before
    assert exported(store, tmp_path / "rows.parquet") == before


def test_export_finds_damage_in_the_middle_of_a_part(store: Store, tmp_path: Path) -> None:
    before = exported(store, tmp_path / "rows.parquet")
    (part,) = parts(store)
    content = part.read_bytes()
    place = len(content) // 2
    part.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert exported(store, tmp_path / "rows.parquet") == before
    assert part.read_bytes() == content


def test_export_leaves_a_part_of_other_code_unread(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_parts, "PREFIX", "rows-00000000-")
    exported(store, tmp_path / "rows.parquet")
    monkeypatch.undo()
    make_unreadable(store)
    assert {row["status"] for row in exported(store, tmp_path / "rows.parquet")} == {"failed"}


def test_export_where_the_index_cannot_be_written_gives_the_rows(store: Store, tmp_path: Path) -> None:
    Path(store.url, "index").write_text("a file where the folder should be")
    rows = exported(store, tmp_path / "rows.parquet")
    assert {row["status"] for row in rows} == {"finished"}


def test_exports_at_the_same_time_give_the_same_rows(store: Store, tmp_path: Path) -> None:
    barrier = Barrier(4)

    def one(place: int) -> list[dict[str, Any]]:
        barrier.wait()
        return exported(store, tmp_path / f"rows-{place}.parquet")

    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(one, range(4))
    assert all(each == first for each in others)
    assert exported(store, tmp_path / "rows.parquet") == first


def test_index_of_many_small_parts_is_merged_into_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_index, "MOST_PARTS", 3)
    for spec in RUNS.values():
        record_file(store, spec).rename(record_file(store, spec).with_name("later"))
    numbers = []
    for spec in RUNS.values():
        record_file(store, spec).with_name("later").rename(record_file(store, spec))
        rows = exported(store, tmp_path / "rows.parquet")
        numbers.append(len(parts(store)))
    assert max(numbers) == 3
    shutil.rmtree(Path(store.url, "index"))
    assert exported(store, tmp_path / "rows.parquet") == rows


def test_merged_index_leaves_out_what_holds_no_more(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(store, tmp_path / "rows.parquet")
    recompute(store, CELLS[0], test_accuracy=0.125)
    monkeypatch.setattr(record_index, "MOST_PARTS", 1)
    exported(store, tmp_path / "rows.parquet")
    (part,) = parts(store)
    assert sorted(pq.read_table(part)["run_id"].to_pylist()) == sorted(RUNS)


def test_export_by_several_processes_is_that_of_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exported(store, tmp_path / "rows.parquet")
    shutil.rmtree(Path(store.url, "index"))
    monkeypatch.setattr(record_parts, "FEWEST_FOR_A_PROCESS", 2)
    monkeypatch.setattr(record_parts, "num_cores", lambda: 2)
    assert exported(store, tmp_path / "rows.parquet") == before
    assert len(parts(store)) == 2


# ---- an object store


@pytest.fixture
def remote() -> Iterator[Store]:
    url = f"memory://store-{uuid.uuid4().hex}"
    yield filled(Store(url))
    fsspec.filesystem("memory").rm(url, recursive=True)


def test_export_of_an_object_store_is_that_of_a_folder(remote: Store, store: Store, tmp_path: Path) -> None:
    assert exported(remote, tmp_path / "remote.parquet") == exported(store, tmp_path / "rows.parquet")
    assert len(remote._files.paths(remote._path("index"))) == 1


def test_export_of_an_object_store_reads_a_recomputed_record_again(remote: Store, tmp_path: Path) -> None:
    exported(remote, tmp_path / "rows.parquet")
    remote._files.fs.rm_file(f"{remote.folder(CELLS[0])}/record.json")
    remote.commit(CELLS[0], exportable_record(CELLS[0], test_accuracy=0.125), {})
    rows = {row["run_id"]: row["test_accuracy"] for row in exported(remote, tmp_path / "rows.parquet")}
    assert rows[run_id(CELLS[0])] == 0.125
    assert len(remote._files.paths(remote._path("index"))) == 2
