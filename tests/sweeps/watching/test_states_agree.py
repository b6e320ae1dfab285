"""All who say what state a run is in say the same, of one store with every combination of traces in it."""

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.results import Status
from subind.store.store import Checkpoint, Heartbeat, Store
from sweeps.grids import read_grid
from sweeps.planning.plan import Crew, Plan, packed
from sweeps.planning.request import Request, accounted
from sweeps.planning.run_states import ROW_STATUS, RunStates, State, total
from sweeps.running.live_progress import LiveProgress
from sweeps.running.searcher import PackSearcher
from sweeps.watching.picture import status_data
from sweeps.watching.store_watch import Watch
from sweeps.watching.which_run import Known, folder_name
from sweeps.watching.why import Explainer
from tests.subind.records import small_failure
from tests.sweeps.conftest import Call
from tests.sweeps.fabricated_grid import donor, exportable_record, mask, runs, transfers, written_grid

TRANSFER, LEAF = transfers(0)[0], transfers(0)[1]


def _finish(store: Store, *several: Run, files: Mapping[str, bytes] | None = None) -> None:
    for spec in several:
        store.commit(spec, exportable_record(spec), files or {})


def _fail(store: Store, spec: Run) -> None:
    """Write a failure as a driver leaves it that did not know of a commit."""
    path = Path(store.failure_path(spec))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**_failure_data(spec)}))


def _failure_data(spec: Run) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(small_failure(spec))


def _beat(store: Store, *several: Run, seconds_ago: float = 0.0) -> None:
    store.beat(
        Heartbeat(
            pack="under-way",
            runs=tuple(map(run_id, several)),
            host=socket.gethostname(),
            process=os.getpid(),
            epoch=0,
            step=1,
            num_steps=9,
            time=time.time(),
        )
    )
    past = time.time() - seconds_ago
    os.utime(Path(store.url, "running", "under-way.json"), (past, past))


def _finished_and_failed(store: Store) -> dict[Run, Status]:
    _finish(store, donor(0))
    _fail(store, donor(0))
    return {donor(0): "finished", mask(0): "missing"}


def _running_and_failed(store: Store) -> dict[Run, Status]:
    _beat(store, donor(0), donor(1))
    _fail(store, donor(0))
    return {donor(0): "failed", donor(1): "running", mask(0): "blocked", LEAF: "missing"}


def _silent_with_a_checkpoint(store: Store) -> dict[Run, Status]:
    _beat(store, donor(0), seconds_ago=500)
    under_way = (run_id(donor(0)),)
    store.save_checkpoint(Checkpoint(pack="p", runs=under_way, started=0.0, seconds=0.0, pack_size=1), b"state")
    return {donor(0): "missing", mask(0): "missing"}


def _running_below_a_failure(store: Store) -> dict[Run, Status]:
    _finish(store, donor(0))
    _fail(store, mask(0))
    _beat(store, TRANSFER, LEAF)
    return {mask(0): "failed", TRANSFER: "blocked", LEAF: "running"}


def _blocked_and_failed(store: Store) -> dict[Run, Status]:
    _fail(store, donor(0))
    _fail(store, mask(0))
    return {donor(0): "failed", mask(0): "failed", TRANSFER: "blocked", LEAF: "missing"}


def _record_of_a_parent_damaged(store: Store) -> dict[Run, Status]:
    _finish(store, donor(0), mask(0))
    Path(store.folder(mask(0)), "record.json").write_bytes(b"{}")
    return {donor(0): "finished", mask(0): "failed", TRANSFER: "blocked", LEAF: "missing"}


def _record_that_is_a_pipe(store: Store) -> dict[Run, Status]:
    _finish(store, *runs(0))
    path = Path(store.folder(LEAF), "record.json")
    path.unlink()
    os.mkfifo(path)
    return {donor(0): "finished", mask(0): "finished", TRANSFER: "finished", LEAF: "failed"}


def _record_that_is_empty_under_a_heartbeat(store: Store) -> dict[Run, Status]:
    _finish(store, donor(0))
    Path(store.folder(donor(0)), "record.json").write_bytes(b"")
    _beat(store, donor(0))
    return {donor(0): "failed", mask(0): "blocked"}


def _artifact_cut_short(store: Store) -> dict[Run, Status]:
    _finish(store, donor(0))
    _finish(store, mask(0), files={"mask.safetensors": b"the bits of a mask"})
    next(Path(store.folder(mask(0))).glob("mask-*")).write_bytes(b"the bits")
    return {donor(0): "finished", mask(0): "failed", TRANSFER: "blocked", LEAF: "missing"}


def _artifact_gone_with_finished_children(store: Store) -> dict[Run, Status]:
    _finish(store, donor(0))
    _finish(store, mask(0), files={"mask.safetensors": b"the bits of a mask"})
    _finish(store, TRANSFER)
    next(Path(store.folder(mask(0))).glob("mask-*")).unlink()
    return {mask(0): "failed", TRANSFER: "finished", transfers(0)[2]: "blocked"}


def _damaged_failure(store: Store) -> dict[Run, Status]:
    path = Path(store.failure_path(donor(0)))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{}")
    return {donor(0): "failed", mask(0): "blocked", donor(1): "missing"}


CASES = {
    each.__name__.strip("_"): each
    for each in (
        _finished_and_failed,
        _running_and_failed,
        _silent_with_a_checkpoint,
        _running_below_a_failure,
        _blocked_and_failed,
        _record_of_a_parent_damaged,
        _record_that_is_a_pipe,
        _record_that_is_empty_under_a_heartbeat,
        _artifact_cut_short,
        _artifact_gone_with_finished_children,
        _damaged_failure,
    )
}


def _counts(states: Mapping[str, Status]) -> dict[str, int]:
    found = {state: list(states.values()).count(state) for state in ("finished", "failed", "blocked")}
    return {**found, "left": len(states) - sum(found.values())}


def _of_plan(found: Plan) -> dict[str, int]:
    counts = {"finished": len(found.finished), "failed": len(found.failed), "blocked": len(found.blocked)}
    return {**counts, "left": len(found.missing)}


def _of_states(states: RunStates) -> dict[str, int]:
    counts = {"finished": 0, "failed": 0, "blocked": 0, "left": 0}
    for run in states.runs:
        status = ROW_STATUS[states[run].state]
        counts[status if status in counts else "left"] += 1
    return counts


@pytest.mark.parametrize("case", CASES)
def test_every_command_and_the_driver_say_one_state(subind: Call, tmp_path: Path, case: str) -> None:
    grid, store = written_grid(tmp_path), Store(str(tmp_path / "store"))
    expected = CASES[case](store)
    assert subind("export", grid)[0] == 0
    rows: dict[str, Status] = {
        row["run_id"]: row["status"] for row in pq.read_table(tmp_path / "results" / "tiny.parquet").to_pylist()
    }
    assert {spec: rows[run_id(spec)] for spec in expected} == expected
    counts = _counts(rows)

    told = json.loads(subind("status", grid, "--json")[1])
    assert {state: told[state] for state in ("finished", "failed", "blocked", "running")} == {
        state: list(rows.values()).count(state) for state in ("finished", "failed", "blocked", "running")
    }
    assert {each["run_id"] for each in told["failures"]} == {run for run, state in rows.items() if state == "failed"}

    planned = json.loads(subind("plan", grid, "--device", "cpu", "--json")[1])
    assert {name: planned[name] for name in ("finished", "failed", "blocked")} | {"left": planned["missing"]} == counts

    found = accounted(Request(grid=read_grid(grid), where=(), store=store.url), store)
    assert _of_plan(found) == counts
    watch = Watch(found, store, clock=iter(range(0, 10**9, 10**6)).__next__)
    for _ in range(2):  # the second look lists the store anew
        seen = watch.look().counts
        assert {name: sum(each[name] for each in seen.values()) for name in ("finished", "failed", "blocked")} == {
            name: counts[name] for name in ("finished", "failed", "blocked")
        }

    explainer, explained = Explainer(store, found.runs.values()), Counter[State]()
    for spec in found.runs.values():
        known = Known(run=run_id(spec), stage="donor", folder=folder_name(spec), spec=spec)
        state = explainer.explained(known).state
        assert ROW_STATUS[state] == rows[run_id(spec)]
        explained[state] += 1
    assert explained == sum(watch.look().states.values(), Counter())

    searcher = PackSearcher(packed(found, checkpoints=(), crew=Crew(num_workers=1)), store)
    searcher.suggest("trial")
    assert _of_states(searcher.states) == counts
    board = LiveProgress(searcher, store).snapshot()
    assert {name: sum(each[name] for each in board.counts.values()) for name in ("finished", "failed", "blocked")} == {
        name: counts[name] for name in ("finished", "failed", "blocked")
    }


def test_driver_counts_a_failure_of_its_own_pack_that_goes_on(tmp_path: Path) -> None:
    grid, store = written_grid(tmp_path), Store(str(tmp_path / "store"))
    found = accounted(Request(grid=read_grid(grid), where=(), store=store.url), store)
    searcher = PackSearcher(packed(found, checkpoints=(), crew=Crew(num_workers=1)), store)
    while not searcher.running:
        searcher.suggest("first")
    (pack,) = searcher.running.values()
    _fail(store, pack.specs[0])
    _beat(store, *pack.specs)
    searcher._next_look = 0.0
    searcher.suggest("second")
    request = Request(grid=read_grid(grid), where=(), store=store.url)
    told = json.loads(json.dumps(status_data(accounted(request, store), store)))
    found = searcher.states.stage_counts()
    assert (total(found, "failed"), total(found, "blocked")) == (1, told["blocked"])
    assert told["failed"] == 1


def test_leaf_with_a_junk_record_is_failed_for_all_who_read_records(subind: Call, tmp_path: Path) -> None:
    grid, store = written_grid(tmp_path), Store(str(tmp_path / "store"))
    _finish(store, *runs(0))
    Path(store.folder(LEAF), "record.json").write_bytes(b"{}")
    told = json.loads(subind("status", grid, "--json")[1])
    why = json.loads(subind("why", run_id(LEAF), grid, "--json")[1])
    assert subind("export", grid)[0] == 0
    rows = {row["run_id"]: row for row in pq.read_table(tmp_path / "results" / "tiny.parquet").to_pylist()}
    assert (told["failed"], [each["run_id"] for each in told["failures"]]) == (1, [run_id(LEAF)])
    assert (why["state"], rows[run_id(LEAF)]["status"]) == ("damaged", "failed")
    assert why["failure"]["message"] in rows[run_id(LEAF)]["failure"]
