"""A grid followed while it changes, on real stores of fabricated runs. The clock is the test's."""

import io
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.store import Heartbeat, Store
from sweeps.cli.watching import followed_by_lines, followed_live
from sweeps.costs.work import operations
from sweeps.grids import read_grid
from sweeps.planning.plan import Plan
from sweeps.planning.request import Request, accounted
from sweeps.planning.run_states import total
from sweeps.watching.picture import picture, short_names
from sweeps.watching.snapshot import Watch, change_key, line, recounted
from tests.subind.records import small_failure
from tests.sweeps.fabricated_grid import donor, exportable_record, mask, runs, store_with, transfers, written_grid

ALL: list[Run] = [*runs(0), *runs(1)]


@dataclass(slots=True)
class Clock:
    """A clock that stands still but for `step` seconds each time it is read."""

    now: float = 0.0
    step: float = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def _plan(folder: Path, store: Store) -> Plan:
    return accounted(Request(grid=read_grid(written_grid(folder)), where=(), store=store.url), store)


def _watch(folder: Path, store: Store, clock: Clock | None = None) -> Watch:
    return Watch(_plan(folder, store), store, clock=clock or Clock())


def _commit(store: Store, *several: Run) -> None:
    for spec in several:
        store.commit(spec, exportable_record(spec), {})


def _beat(store: Store, *several: Run, pack: str = "under-way", host: str | None = None, step: int = 3) -> None:
    store.beat(
        Heartbeat(
            pack=pack,
            runs=tuple(map(run_id, several)),
            host=host or socket.gethostname(),
            process=os.getpid(),
            epoch=1,
            step=step,
            num_steps=9,
            time=time.time(),
        )
    )


# ---- what a look finds


def test_look_tells_states_packs_and_nodes(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0), mask(0))
    _beat(store, *transfers(0)[:2], host="far")
    found = _watch(tmp_path, store).look()
    assert {state: total(found.counts, state) for state in ("finished", "running", "missing")} == {
        "finished": 2,
        "running": 2,
        "missing": 8,
    }
    assert [(node.host, node.num_packs, node.num_replicas, node.num_finished) for node in found.nodes] == [
        ("far", 1, 2, 0),
        ("here", 0, 0, 2),
    ]


def test_look_leaves_out_packs_of_other_grids(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    _beat(store, donor(7))
    assert _watch(tmp_path, store).look().beats == ()


def test_look_sees_what_was_finished_since(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    watch = _watch(tmp_path, store)
    watch.look()
    _commit(store, donor(0))
    assert total(watch.look().counts, "finished") == 1


def test_look_sees_failures_and_what_they_block(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    watch = _watch(tmp_path, store)
    watch.look()
    store.fail(donor(1), small_failure(donor(1)))
    found = watch.look()
    assert [(each.error, each.num_runs) for each in found.failure_classes] == [("RuntimeError", 1)]
    assert total(found.counts, "blocked") == 3


def test_look_forgets_failures_that_are_forgiven(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(1), small_failure(donor(1)))
    watch = _watch(tmp_path, store)
    assert watch.look().has_failed
    store.forgive(donor(1))
    assert not watch.look().has_failed


def test_grid_is_over_when_nothing_runs_or_is_missing(tmp_path: Path) -> None:
    store = store_with(tmp_path, *runs(0))
    store.fail(donor(1), small_failure(donor(1)))
    watch = _watch(tmp_path, store)
    assert not watch.look().is_over
    _commit(store, *(spec for spec in transfers(1) if "RandomInit" in str(spec.start)))
    assert watch.look().is_over


def test_listing_is_read_for_a_tenth_of_the_time_at_most(tmp_path: Path) -> None:
    store, clock = store_with(tmp_path), Clock(step=1.0)
    watch = _watch(tmp_path, store, clock)
    watch.look()
    watch.look()
    before, seen = clock.now, 0
    _commit(store, donor(0))
    while not seen:
        seen = total(watch.look().counts, "finished")
    assert clock.now - before >= 9


def test_end_of_a_pack_is_seen_at_once(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    _beat(store, donor(0))
    watch = _watch(tmp_path, store, Clock(step=1.0))
    watch.look()
    watch.look()
    _commit(store, donor(0))
    store.stop_beating("under-way")
    assert total(watch.look().counts, "finished") == 1


def test_store_that_cannot_be_read_is_told_with_the_last_counts(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    watch = _watch(tmp_path, store)
    watch.look()
    broken = tmp_path / "store" / "running"
    broken.write_text("a file where the folder should be")
    found = watch.look()
    assert "the store cannot be read" in found.trouble
    assert (total(found.counts, "finished"), found.is_over) == (1, False)
    broken.unlink()
    assert watch.look().trouble == ""


def test_store_that_cannot_be_read_at_first_raises_an_error(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    watch = _watch(tmp_path, store)
    broken = tmp_path / "store" / "running"
    broken.parent.mkdir(exist_ok=True)
    broken.write_text("a file where the folder should be")
    with pytest.raises(ValueError, match="running is a file where a folder belongs"):
        watch.look()


def test_look_sees_that_a_damaged_record_has_been_repaired(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    watch, record = _watch(tmp_path, store), Path(store.folder(donor(0)), "record.json")
    content = record.read_bytes()
    record.write_bytes(b"{}")
    assert [total(watch.look().counts, "failed") for _ in range(3)] == [1, 1, 1]
    record.write_bytes(content)
    assert (total(watch.look().counts, "failed"), total(watch.look().counts, "finished")) == (0, 1)


def test_recounted_plan_is_that_of_the_listing(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    plan = _plan(tmp_path, store)
    _commit(store, donor(0))
    store.fail(donor(1), small_failure(donor(1)))
    found, fresh = recounted(plan, store.listing()), _plan(tmp_path, store)
    assert (found.finished, found.failed, found.blocked) == (fresh.finished, fresh.failed, fresh.blocked)


# ---- speed


def test_speed_is_not_known_at_first(tmp_path: Path) -> None:
    found = _watch(tmp_path, store_with(tmp_path)).look()
    assert (found.runs_per_hour, found.seconds_left) == (None, None)


def test_speed_is_that_of_what_was_finished_since(tmp_path: Path) -> None:
    store, clock = store_with(tmp_path, donor(0)), Clock()
    watch = _watch(tmp_path, store, clock)
    watch.look()
    _commit(store, donor(1), mask(0))
    clock.now = 200.0
    found = watch.look()
    done = operations(donor(1)) + operations(mask(0))
    left = operations(mask(1)) + sum(operations(spec) for seed in (0, 1) for spec in transfers(seed))
    assert found.runs_per_hour == 36.0
    assert found.seconds_left == pytest.approx(200 * left / done)


def test_speed_counts_packs_under_way_by_their_steps(tmp_path: Path) -> None:
    store, clock = store_with(tmp_path), Clock()
    watch = _watch(tmp_path, store, clock)
    _beat(store, donor(0), donor(1), step=0)
    watch.look()
    _beat(store, donor(0), donor(1), step=3)
    clock.now = 100.0
    done = (operations(donor(0)) + operations(donor(1))) / 3
    assert watch.look().seconds_left == pytest.approx(100 * (sum(map(operations, ALL)) - done) / done)


def test_blocked_runs_are_not_waited_for(tmp_path: Path) -> None:
    store, clock = store_with(tmp_path, *runs(0)[:-1]), Clock()
    store.fail(donor(1), small_failure(donor(1)))
    _commit(store, *(spec for spec in transfers(1) if "RandomInit" in str(spec.start)))
    watch = _watch(tmp_path, store, clock)
    watch.look()
    _commit(store, runs(0)[-1])
    clock.now = 100.0
    assert watch.look().seconds_left == 0.0


# ---- as text and pictures


def test_line_tells_stages_states_and_failure_classes(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    store.fail(donor(1), small_failure(donor(1)))
    _beat(store, mask(0))
    told = line(_watch(tmp_path, store).look())
    assert told.startswith("donors 1/2 · masks 0/2 · transfers 0/8 · running 1 · failed 1 · blocked 3 · missing 6 · ")
    assert told.endswith("packs 1 · nodes 1 · ETA unknown yet · RuntimeError 1")


def test_line_says_that_no_worker_is_heard_of(tmp_path: Path) -> None:
    assert line(_watch(tmp_path, store_with(tmp_path)).look()).endswith("no worker is heard of")


def test_change_key_differs_when_a_run_is_finished_and_not_for_a_step(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    watch = _watch(tmp_path, store)
    _beat(store, donor(0))
    first = change_key(watch.look())
    _beat(store, donor(0), step=8)
    assert change_key(watch.look()) == first
    _commit(store, donor(0))
    assert change_key(watch.look()) != first


@pytest.mark.parametrize("width", [60, 80, 140])
def test_picture_is_no_wider_than_the_terminal_and_keeps_the_counts(tmp_path: Path, width: int) -> None:
    store = store_with(tmp_path, *runs(0))
    store.fail(donor(1), small_failure(donor(1), message="a long story " * 20))
    _beat(store, transfers(1)[1], host="ip-10-0-3-4.eu-west-1.compute.internal")
    console = Console(file=io.StringIO(), width=width, record=True, force_terminal=True, color_system=None)
    console.print(picture(_watch(tmp_path, store).look(), width=width, height=40))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert any(each.split()[:6] == ["all", "6", "1", "1", "3", "1"] for each in lines)


@pytest.mark.parametrize("height", [20, 24, 40])
def test_picture_of_many_nodes_is_no_higher_than_the_terminal(tmp_path: Path, height: int) -> None:
    store = store_with(tmp_path)
    store.fail(donor(1), small_failure(donor(1)))
    for number in range(60):
        _beat(store, donor(0), pack=f"pack-{number}", host=f"host-{number}")
    console = Console(file=io.StringIO(), width=100, record=True, force_terminal=True, color_system=None)
    console.print(picture(_watch(tmp_path, store).look(), width=100, height=height, seconds_watched=1.0))
    text = console.export_text()
    assert len(text.splitlines()) < height
    assert "more nodes" in text


def test_names_of_hosts_lose_their_domain_if_they_stay_apart() -> None:
    assert short_names(["a.example.org", "b.example.org"]) == ["a", "b"]
    assert short_names(["a.east.org", "a.west.org"]) == ["a.east.org", "a.west.org"]
    assert short_names(["10.0.0.1", "10.0.0.2"]) == ["10.0.0.1", "10.0.0.2"]


# ---- following


def test_following_by_lines_prints_a_line_a_change_and_ends_with_the_grid(tmp_path: Path) -> None:
    store, left = store_with(tmp_path), [[donor(0)], [], ALL[1:]]
    console = Console(file=io.StringIO(), width=80)

    def wait(_seconds: float) -> None:
        _commit(store, *left.pop(0))

    last = followed_by_lines(_watch(tmp_path, store), console, interval=5, wait=wait)
    assert last.is_over
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue().splitlines()
    assert ["donors 0/2" in told[0], "donors 1/2" in told[1], "donors 2/2" in told[2]] == [True, True, True]
    assert len(told) == 3


def test_following_live_shows_the_end(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    last = followed_live(_watch(tmp_path, store), console, interval=5, wait=lambda _seconds: _commit(store, *ALL))
    assert isinstance(console.file, io.StringIO)
    assert last.is_over
    assert "tiny · watched 0 s · done" in console.file.getvalue()
