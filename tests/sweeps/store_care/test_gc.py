"""What `subind gc` takes for not needed, and what it never touches."""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import fsspec
import pytest

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.store import Checkpoint, Heartbeat, Store
from sweeps.store_care.gc import Leftover, leftovers, removed
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.records import small_failure, small_record

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield Store(str(tmp_path / "store"))
        return
    url = f"memory://store-{uuid.uuid4().hex}"
    yield Store(url)
    with contextlib.suppress(FileNotFoundError):
        fsspec.filesystem("memory").rm(url, recursive=True)


def make_older(store: Store, seconds: float, *, only: str = "") -> None:
    """Let all files of the store have been written so long ago, or those whose path contains a text."""
    for entry in list(store.tree()):
        if only not in entry.path:
            continue
        if store.is_local:
            os.utime(entry.path, (entry.modified - seconds, entry.modified - seconds))
        else:
            store._files.fs.store[entry.path].created -= timedelta(seconds=seconds)


def files(store: Store) -> set[str]:
    return {entry.path.removeprefix(f"{store._root}/") for entry in store.tree()}


def put(store: Store, path: str, content: bytes = b"bytes") -> None:
    store._files.replace(f"{store._root}/{path}", content)


def beat(store: Store, pack: str, *specs: Run, host: str = "elsewhere", process: int = 1) -> None:
    runs = tuple(map(run_id, specs))
    store.beat(
        Heartbeat(pack=pack, runs=runs, host=host, process=process, epoch=1, step=1, num_steps=2, time=time.time())
    )


def save(store: Store, pack: str, *specs: Run) -> None:
    store.save_checkpoint(Checkpoint(pack=pack, runs=tuple(map(run_id, specs))), b"state" * 100)


def commit(store: Store, spec: Run) -> None:
    store.commit(spec, small_record(spec), {"weights.safetensors": b"weights"})


def run_folder(store: Store, spec: Run) -> str:
    return store.folder(spec).removeprefix(f"{store._root}/")


def delete(store: Store, *, idle_days: float = 30) -> list[Leftover]:
    return list(removed(store, leftovers(store, idle_days=idle_days)))


# ---- checkpoints


def test_checkpoint_whose_runs_are_all_finished_is_not_needed(store: Store) -> None:
    save(store, "p", tiny_donor(), tiny_mask())
    commit(store, tiny_donor())
    assert leftovers(store) == ()
    commit(store, tiny_mask())
    assert {(each.kind, each.why) for each in leftovers(store)} == {("checkpoint", "all its runs are finished")}
    assert len(delete(store)) == 2
    assert store.checkpoints() == ()


def test_checkpoint_that_nobody_computes_is_not_needed_after_the_days_that_are_given(store: Store) -> None:
    save(store, "p", tiny_donor())
    make_older(store, 5 * DAY)
    assert leftovers(store, idle_days=6) == ()
    assert {each.why for each in leftovers(store, idle_days=4)} == {"no worker has used it for 5 days"}


def test_checkpoint_of_a_worker_that_lives_is_needed_however_old_it_is(store: Store) -> None:
    save(store, "p", tiny_donor())
    make_older(store, 50 * DAY)
    beat(store, "p", tiny_donor())
    assert delete(store) == []
    assert store.checkpoint_content("p") == b"state" * 100


def test_checkpoint_of_runs_that_another_pack_computes_is_needed(store: Store) -> None:
    save(store, "p", tiny_donor(), tiny_mask())
    make_older(store, 50 * DAY)
    beat(store, "q", tiny_mask())
    assert delete(store) == []


def test_checkpoint_that_a_worker_takes_up_after_the_look_stays(store: Store) -> None:
    save(store, "p", tiny_donor())
    make_older(store, 50 * DAY)
    found = leftovers(store)
    assert len(found) == 2
    beat(store, "p", tiny_donor())
    assert list(removed(store, found)) == []
    assert store.checkpoint_content("p") == b"state" * 100


def test_state_that_no_checkpoint_names_is_not_needed_after_an_hour(store: Store) -> None:
    put(store, "checkpoints/p-01234567.safetensors")
    assert leftovers(store) == ()
    make_older(store, HOUR + 60)
    assert [each.why for each in delete(store)] == ["no checkpoint names it"]
    assert files(store) == set()


# ---- heartbeats


def test_heartbeat_of_a_dead_worker_is_not_needed_and_that_of_a_live_one_is(store: Store) -> None:
    beat(store, "dead", tiny_donor())
    make_older(store, 100.0)
    beat(store, "live", tiny_mask())
    assert [(each.kind, each.pack) for each in delete(store)] == [("heartbeat", "dead")]
    assert [each.pack for each in store.heartbeats()] == ["live"]


def test_heartbeat_of_a_process_of_this_host_that_has_ended_is_not_needed(store: Store) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    beat(store, "ended", tiny_donor(), host=socket.gethostname(), process=ended.pid)
    beat(store, "own", tiny_mask(), host=socket.gethostname(), process=os.getpid())
    assert [each.pack for each in delete(store)] == ["ended"]


# ---- files of writers that were killed


@pytest.mark.parametrize("folder", ["checkpoints", "running", "index", "weights", "runs/donor/layers2-seed0-0123"])
def test_temporary_file_is_not_needed_after_an_hour(store: Store, folder: str) -> None:
    put(store, f"{folder}/.record.json.{'0a' * 16}")
    assert leftovers(store) == ()
    make_older(store, HOUR + 60)
    assert [each.kind for each in delete(store)] == ["temporary file"]
    assert files(store) == set()


def test_temporary_file_of_a_run_that_is_being_computed_stays(store: Store) -> None:
    put(store, f"{run_folder(store, tiny_donor())}/.record.json.{'0a' * 16}")
    make_older(store, 2 * HOUR)
    beat(store, "p", tiny_donor())
    assert delete(store) == []


def test_artifact_of_a_run_without_a_record_is_not_needed_after_an_hour(store: Store) -> None:
    put(store, f"{run_folder(store, tiny_donor())}/weights-01234567.safetensors")
    assert leftovers(store) == ()
    make_older(store, HOUR + 60)
    assert [(each.kind, each.why) for each in delete(store)] == [("artifact", "no record names it")]


def test_artifact_of_a_second_writer_is_not_needed_and_those_of_the_first_stay(store: Store) -> None:
    commit(store, tiny_donor())
    kept = files(store)
    store.commit(tiny_donor(), small_record(tiny_donor(), measurements={}), {"weights.safetensors": b"other"})
    make_older(store, 2 * HOUR)
    assert len(files(store) - kept) == 1
    assert len(delete(store)) == 1
    assert files(store) == kept
    assert store.artifact(tiny_donor(), "weights.safetensors") == b"weights"


def test_artifacts_of_a_run_that_is_being_computed_stay(store: Store) -> None:
    put(store, f"{run_folder(store, tiny_donor())}/weights-01234567.safetensors")
    make_older(store, 2 * HOUR)
    beat(store, "p", tiny_donor())
    assert delete(store) == []


@pytest.mark.parametrize("content", [b"{", b""])
def test_files_of_a_run_whose_record_is_damaged_stay(store: Store, content: bytes) -> None:
    commit(store, tiny_donor())
    put(store, f"{run_folder(store, tiny_donor())}/record.json", content)
    make_older(store, 2 * HOUR)
    assert delete(store) == []


# ---- the index, and what is never touched


def test_index_part_of_other_code_is_not_needed_and_that_of_this_one_is(store: Store) -> None:
    from sweeps.exporting.record_parts import PREFIX

    put(store, "index/rows-00000000-0123.parquet")
    put(store, f"index/{PREFIX}0123.parquet")
    make_older(store, 2 * DAY)
    assert [each.kind for each in delete(store)] == ["index part"]
    assert files(store) == {f"index/{PREFIX}0123.parquet"}


def test_finished_runs_failures_weights_and_files_of_others_stay_for_ever(store: Store) -> None:
    commit(store, tiny_donor())
    store.fail(tiny_transfer(), small_failure(tiny_transfer()))
    weights = store.add_weights(b"weights")
    put(store, "mlflow.db")
    put(store, "mlartifacts/1/record.json")
    put(store, "notes.txt")
    make_older(store, 1000 * DAY)
    before = files(store)
    assert delete(store) == []
    assert files(store) == before
    assert store.artifact(tiny_donor(), "weights.safetensors") == b"weights"
    assert hashlib.sha256(store.weights(weights)).hexdigest() == weights


# ---- the command


def gc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sweeps.cli", "gc", "--store", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )


def test_gc_without_delete_lists_sizes_and_removes_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    save(store, "p", tiny_donor())
    commit(store, tiny_donor())
    before = files(store)
    said = gc(tmp_path).stdout
    assert "p.json" in said
    assert "all its runs are finished" in said
    assert "nothing was removed" in said
    assert files(store) == before


def test_gc_with_delete_removes_what_it_lists_and_tells_how_much(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    commit(store, tiny_donor())
    kept = files(store)
    save(store, "p", tiny_donor())
    size = sum(entry.num_bytes for entry in store.tree("checkpoints"))
    told = json.loads(gc(tmp_path, "--delete", "--json").stdout)
    assert files(store) == kept
    assert (told["num_removed"], told["num_bytes_removed"]) == (2, size)
