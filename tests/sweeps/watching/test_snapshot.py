"""A grid followed while it changes, on real stores of fabricated runs. The clock is the test's."""

import io
import os
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.store import Heartbeat, Store
from sweeps.cli.status import followed
from sweeps.grids import read_grid
from sweeps.planning.plan import Plan
from sweeps.planning.request import Request, accounted
from sweeps.planning.run_states import STATES, total
from sweeps.watching.display import Display
from sweeps.watching.picture import STYLES, line, picture, short_names
from sweeps.watching.snapshot import Snapshot
from sweeps.watching.store_watch import Watch, recounted
from sweeps.watching.time_left import NOT_KNOWN
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


# ---- as text and pictures


def test_line_tells_the_answer_first_then_stages_failures_and_packs(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    store.fail(donor(1), small_failure(donor(1)))
    _beat(store, mask(0))
    assert line(_watch(tmp_path, store).look()) == (
        "tiny: 1 of 12 runs finished · time left not known yet · 1 failed · 3 blocked · "
        "donors 1/2 · masks 0/2 · transfers 0/8 · RuntimeError 1 · under-way (1 runs) 33 %, epoch 1"
    )


def test_line_tells_four_packs_and_how_many_more_there_are(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    for number in range(6):
        _beat(store, donor(0), pack=f"pack-{number}")
    assert line(_watch(tmp_path, store).look()).endswith("pack-3 (1 runs) 33 %, epoch 1 · and 2 more packs")


def test_snapshot_without_workers_says_so(tmp_path: Path) -> None:
    assert _watch(tmp_path, store_with(tmp_path)).look().outlook == "no worker is heard of"


@pytest.mark.parametrize(
    ("host", "step", "outlook"),
    [
        ("", 0, "workers are starting"),
        ("here", 0, "packs are loading"),
        ("here", 1, "time left not known yet"),
    ],
)
def test_snapshot_of_a_beginning_says_what_packs_do(tmp_path: Path, host: str, step: int, outlook: str) -> None:
    store = store_with(tmp_path)
    _beat(store, donor(0), step=step)
    found = _watch(tmp_path, store).look()
    assert replace(found, beats=tuple(replace(beat, host=host) for beat in found.beats)).outlook == outlook


@pytest.mark.parametrize(
    ("seconds", "is_most", "outlook"),
    [
        (0.4, False, "about 10 s left"),
        (41.0, True, "at most 50 s left"),
        (180.0, False, "about 3 min left"),
        (7200.0, True, "at most 2.0 h left"),
    ],
)
def test_time_left_is_said_as_a_person_would(tmp_path: Path, seconds: float, is_most: bool, outlook: str) -> None:
    store = store_with(tmp_path)
    _beat(store, donor(0))
    estimate = replace(NOT_KNOWN, seconds_left=seconds, is_most=is_most)
    assert replace(_watch(tmp_path, store).look(), estimate=estimate).outlook == outlook


def _shown(found: Snapshot, *, width: int = 100, height: int = 40) -> list[str]:
    """The lines of the picture on a terminal of that size."""
    console = Console(file=io.StringIO(), width=width, record=True, force_terminal=True, color_system=None)
    console.print(picture(found, width=width, height=height, seconds=1.0))
    return console.export_text().splitlines()


def test_picture_begins_with_the_answer(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    store.fail(donor(1), small_failure(donor(1)))
    assert _shown(_watch(tmp_path, store).look())[0] == (
        "tiny: 1 of 12 runs finished · no worker is heard of · 1 failed · 3 blocked"
    )


def test_answer_on_a_narrow_terminal_goes_on_in_a_second_line(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    store.fail(donor(1), small_failure(donor(1)))
    lines = _shown(_watch(tmp_path, store).look(), width=60)
    assert " ".join(" ".join(lines[:2]).split()).endswith("· 1 failed · 3 blocked")


def test_picture_shows_no_state_that_no_run_is_in(tmp_path: Path) -> None:
    header = next(each for each in _shown(_watch(tmp_path, store_with(tmp_path)).look()) if each.startswith("stage"))
    assert header.split() == ["stage", "runs", "finished", "planned"]


def test_picture_has_a_column_for_every_state() -> None:
    assert set(STYLES) == set(STATES)


def test_picture_tells_accuracies_of_packs_where_there_is_room(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    _beat(store, donor(0), donor(1))
    found = replace(_watch(tmp_path, store).look(), accuracies={"under-way": (0.25, 0.75)})
    for width, num_ranges in ((120, 1), (80, 1), (60, 0)):
        assert "\n".join(_shown(found, width=width)).count("0.500 [0.250–0.750]") == num_ranges


def test_picture_of_one_node_shows_it_only_when_it_is_silent(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    _beat(store, donor(0))
    found = _watch(tmp_path, store).look()
    silent = tuple(replace(node, seconds_silent=40.0) for node in found.nodes)
    assert not any(each.startswith("node") for each in _shown(found))
    assert any("40 s ago" in each for each in _shown(replace(found, nodes=silent)))


def test_picture_ends_with_notes_and_trouble(tmp_path: Path) -> None:
    found = replace(
        _watch(tmp_path, store_with(tmp_path)).look(), note="MLflow is behind ([refused])", trouble="no store"
    )
    assert [each.strip() for each in _shown(found)[-3:]] == ["1 s so far", "MLflow is behind ([refused])", "no store"]


@pytest.mark.parametrize("width", [60, 80, 140])
def test_picture_is_no_wider_than_the_terminal_and_keeps_the_counts(tmp_path: Path, width: int) -> None:
    store = store_with(tmp_path, *runs(0))
    store.fail(donor(1), small_failure(donor(1), message="a long story " * 20))
    _beat(store, transfers(1)[1], host="ip-10-0-3-4.eu-west-1.compute.internal")
    lines = _shown(_watch(tmp_path, store).look(), width=width)
    assert max(map(len, lines)) <= width
    assert any(each.split() == ["all", "12", "6", "1", "1", "3", "1"] for each in lines)


@pytest.mark.parametrize(("height", "has_packs"), [(20, False), (24, False), (40, True)])
def test_picture_of_many_nodes_is_no_higher_than_the_terminal(tmp_path: Path, height: int, has_packs: bool) -> None:
    store = store_with(tmp_path)
    store.fail(donor(1), small_failure(donor(1)))
    for number in range(60):
        _beat(store, donor(0), pack=f"pack-{number}", host=f"host-{number}")
    lines = _shown(_watch(tmp_path, store).look(), height=height)
    assert len(lines) < height
    assert any("more nodes" in each for each in lines)
    assert any("more packs" in each for each in lines) == has_packs


def test_names_of_hosts_lose_their_domain_if_they_stay_apart() -> None:
    assert short_names(["a.example.org", "b.example.org"]) == ["a", "b"]
    assert short_names(["a.east.org", "a.west.org"]) == ["a.east.org", "a.west.org"]
    assert short_names(["10.0.0.1", "10.0.0.2"]) == ["10.0.0.1", "10.0.0.2"]


# ---- following


def test_following_elsewhere_prints_a_line_at_the_start_and_at_the_end(tmp_path: Path) -> None:
    store, left = store_with(tmp_path), [[donor(0)], [], ALL[1:]]
    console = Console(file=io.StringIO(), width=80)

    def wait(_seconds: float) -> None:
        _commit(store, *left.pop(0))

    last = followed(_watch(tmp_path, store), console, interval=5, wait=wait)
    assert last.is_over
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert [each.partition(" · ")[2].partition(" · ")[0] for each in lines] == [
        "tiny: 0 of 12 runs finished",
        "tiny: 12 of 12 runs finished",
    ]


def test_following_live_shows_the_end(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    last = followed(_watch(tmp_path, store), console, interval=5, wait=lambda _seconds: _commit(store, *ALL))
    assert isinstance(console.file, io.StringIO)
    assert last.is_over
    assert "tiny: 12 of 12 runs finished · done" in console.file.getvalue()


def test_display_elsewhere_prints_its_first_lines_soon_and_then_one_a_minute(tmp_path: Path) -> None:
    clock, console, found = (
        Clock(),
        Console(file=io.StringIO(), width=40),
        _watch(tmp_path, store_with(tmp_path)).look(),
    )
    display = Display(console, clock=clock)
    assert isinstance(console.file, io.StringIO)
    seconds = []
    for second in range(0, 301, 5):
        clock.now, before = second, console.file.tell()
        display.refresh(lambda: found)
        seconds += [second] * (console.file.tell() > before)
    assert seconds == [0, 5, 10, 20, 40, 80, 140, 200, 260]


def test_display_takes_snapshots_that_are_slow_to_take_more_rarely(tmp_path: Path) -> None:
    clock, found = Clock(), _watch(tmp_path, store_with(tmp_path)).look()
    display = Display(Console(file=io.StringIO(), force_terminal=True), clock=clock)
    seconds_taking = 0.0

    def take() -> Snapshot:
        nonlocal seconds_taking
        clock.now, seconds_taking = clock.now + 1.0, seconds_taking + 1.0
        return found

    while clock.now < 1000:
        display.refresh(take)
        clock.now += 0.1
    assert 10 <= seconds_taking <= 0.03 * clock.now
