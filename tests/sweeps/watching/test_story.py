"""The story of a run, as drivers note it and `why` tells it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from subind.identity.run_ids import run_id
from subind.store.store import Store
from sweeps.store_care.gc import leftovers
from sweeps.watching import story as stories
from sweeps.watching.story import Journal, story
from tests.specs import tiny_donor, tiny_mask
from tests.subind.records import small_failure
from tests.sweeps.conftest import Call
from tests.sweeps.fabricated import commit_fabricated
from tests.sweeps.fabricated_grid import donor, written_grid
from tests.sweeps.hand_driven import Sweep, cells

DONOR = run_id(tiny_donor(seed=0))


def _store(folder: Path) -> Store:
    return Store(str(folder / "store"))


def _told(store: Store, run: str = DONOR) -> list[tuple[str, str]]:
    return [(event.kind, event.text) for event in story(store, run)]


def _kinds(store: Store, run: str = DONOR) -> list[str]:
    return [event.kind for event in story(store, run)]


def _journal_files(store: Store) -> list[Path]:
    return sorted(Path(store.url, "stories").iterdir())


def _fallen_and_finished(store: Store) -> None:
    """A sweep of two donors in a pack: a worker dies, the next one goes on from a checkpoint and commits."""
    sweep = Sweep(store, cells(), pack_size=2)
    trial, _ = sweep.started()
    sweep.searcher.on_trial_result(trial, {"host": "one", "pid": 7, "node": "n"})
    sweep.fall(trial, "worker died")
    trial, _ = sweep.started()
    for _ in range(3):
        sweep.searcher.on_trial_result(trial, {"host": "two", "pid": 8, "node": "m", "resumed_step": 40})
    sweep.finish(trial)
    sweep.searcher.close()


def test_story_tells_where_a_run_ran_its_fall_its_checkpoint_and_its_commit(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _fallen_and_finished(store)
    name = Sweep(Store(str(tmp_path / "other")), cells(), pack_size=2).plan.packs[0].name
    planned, *others = _told(store)
    assert planned[1].startswith("a sweep of grid began on ")
    assert planned[1].endswith(": 6 runs to compute")
    assert others == [
        ("running", f"handed to a worker in {name}, with 1 other"),
        ("place", "a worker took it up on one, process 7"),
        ("retrying", "its pack fell: worker died (it fell); it is tried again"),
        ("running", f"handed to a worker in {name}, with 1 other"),
        ("place", "a worker took it up on two, process 8"),
        ("note", "went on from the checkpoint at step 40"),
        ("finished", "committed"),
    ]


def test_story_of_a_run_that_no_driver_handed_out_is_empty(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _fallen_and_finished(store)
    assert story(store, run_id(tiny_mask(seed=77))) == ()


def test_pack_is_noted_in_a_line_an_event_however_many_runs_it_has(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _fallen_and_finished(store)
    (path,) = _journal_files(store)
    assert len(path.read_text().splitlines()) == 8


def test_halves_and_giving_up_are_told(tmp_path: Path) -> None:
    store = _store(tmp_path)
    sweep = Sweep(store, cells(), pack_size=2)
    sweep.fall(sweep.started()[0], "out of memory")
    while isinstance(one := sweep.start(), tuple):
        sweep.fall(one[0])
    sweep.searcher.close()
    assert ("retrying", "its pack fell: out of memory with 2 runs; it is tried again in halves") in _told(store)
    told = [*_told(store), *_told(store, run_id(tiny_donor(seed=1)))]
    assert any(kind == "failed" and "given up after 2 attempts" in text for kind, text in told)


def test_run_under_way_when_the_sweep_ends_is_stopped(tmp_path: Path) -> None:
    store = _store(tmp_path)
    sweep = Sweep(store, cells())
    sweep.all_started()
    sweep.searcher.close()
    assert _kinds(store) == ["planned", "running", "stopped"]


def test_two_drivers_are_told_in_the_order_of_time_and_a_commit_once(tmp_path: Path) -> None:
    store = _store(tmp_path)
    first = Sweep(store, cells())
    first.all_started()
    first.searcher.close()
    time.sleep(1.1)  # times are told by the second
    second = Sweep(store, cells())
    trial = second.all_started()[tiny_donor(seed=0)]
    second.finish(trial)
    second.searcher.close()
    assert _kinds(store) == ["planned", "running", "stopped", "planned", "running", "finished"]
    assert len({event.sweep for event in story(store, DONOR)}) == 2
    first.searcher.states.move({DONOR}, "finished")
    first.searcher.story.write(now=True)
    assert _kinds(store).count("finished") == 1


def test_blocked_run_is_told_the_failure_that_blocks_it(tmp_path: Path) -> None:
    store = _store(tmp_path)
    sweep = Sweep(store, cells())
    donors = sweep.all_started()
    for _ in range(2):
        sweep.fall(donors[tiny_donor(seed=0)])
        donors |= sweep.all_started()
    sweep.searcher.close()
    mask = run_id(cells()[0].parents()[0])
    (event,) = story(store, mask, blocked_by=DONOR)
    assert (event.kind, event.text.startswith(f"run {DONOR} failed: exception")) == ("blocked", True)


@pytest.mark.parametrize("part", range(1, 12))
def test_journal_that_is_cut_anywhere_tells_what_is_whole(tmp_path: Path, part: int) -> None:
    store = _store(tmp_path)
    _fallen_and_finished(store)
    whole = _told(store)
    (path,) = _journal_files(store)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * part // 12])
    assert _told(store) == whole[: len(_told(store))]


JUNK = (
    b"\x00\xff\xfe",
    b"[" * 5000 + b"planned",
    b'{"event": "planned"}',
    b'{"event": "planned", "time": "soon"}',
    b'{"event": ["planned"], "time": 1}',
    b'{"event": "running", "time": 1e300, "runs": ["' + DONOR.encode() + b'"]}',
    b'{"event": "running", "time": 1, "runs": "' + DONOR.encode() + b'"}',
    b'["' + DONOR.encode() + b'"]',
)


def test_junk_in_a_journal_harms_no_other_line(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _fallen_and_finished(store)
    whole = _told(store)
    (path,) = _journal_files(store)
    path.write_bytes(b"\n".join([*JUNK, path.read_bytes(), *JUNK]))
    Path(store.url, "stories", "x.0000.jsonl").mkdir()
    Path(store.url, "stories", "notes.txt").write_text("hello")
    os.mkfifo(Path(store.url, "stories", "y.0000.jsonl"))
    assert _told(store) == whole


def test_terminal_codes_in_a_journal_are_not_printed(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _fallen_and_finished(store)
    (path,) = _journal_files(store)
    line = {"time": 1, "event": "failed", "runs": [DONOR], "why": "\x1b]0;title\x07"}
    path.write_text(json.dumps(line))
    assert _told(store) == [("failed", "failed: ?]0;title?")]


def test_secrets_are_not_written(tmp_path: Path) -> None:
    store = _store(tmp_path)
    sweep = Sweep(store, cells())
    trial, _ = sweep.started()
    sweep.searcher.on_trial_result(trial, {"notes": ["cannot reach https://me:hunter2@host/x?token=abc"]})
    sweep.searcher.close()
    text = _journal_files(store)[0].read_text()
    assert "cannot reach" in text
    assert not any(secret in text for secret in ("hunter2", "abc"))


def test_store_that_cannot_be_written_costs_the_story_alone(tmp_path: Path) -> None:
    store = _store(tmp_path)
    Path(store.url).mkdir()
    Path(store.url, "stories").write_text("a file where a folder belongs")
    _fallen_and_finished(store)
    assert DONOR in store.finished()


def test_journal_of_many_events_has_parts_and_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stories, "PART_BYTES", 2000)
    monkeypatch.setattr(stories, "MOST_BYTES", 20_000)
    store = _store(tmp_path)
    journal = Journal(store, grid="grid", num_runs=1, num_packs=1)
    journal.hand_out("pack", [DONOR])
    for number in range(1000):
        journal.hear("trial", "pack", {"notes": [f"note {number}"]})
        journal.write(now=True)
    paths = _journal_files(store)
    assert 5 < len(paths) < 20
    assert sum(path.stat().st_size for path in paths) <= 20_000
    assert _told(store)[2:4] == [("note", "note 0"), ("note", "note 1")]


def test_writes_are_rare_however_many_the_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(_store(tmp_path), grid="grid", num_runs=1, num_packs=1)
    writes: list[str] = []
    monkeypatch.setattr(journal._files, "replace", lambda path, _content: writes.append(path))
    for number in range(1000):
        journal.hand_out(f"pack{number}", [DONOR])
        journal.write()
    assert len(writes) <= 2


KILLED = """
import os, signal, sys
from subind.store.store import Store
from sweeps.watching.story import Journal
journal = Journal(Store(sys.argv[1]), grid="grid", num_runs=2, num_packs=2)
journal.hand_out("first", [sys.argv[2]])
journal.write()
journal.hand_out("second", [sys.argv[2]])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_driver_that_is_killed_leaves_what_it_has_written(tmp_path: Path) -> None:
    store = _store(tmp_path)
    ended = subprocess.run([sys.executable, "-c", KILLED, store.url, DONOR], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [text for _, text in _told(store)[1:]] == ["handed to a worker in first, alone"]


def test_sweep_that_hands_nothing_out_leaves_no_journal(tmp_path: Path) -> None:
    store = _store(tmp_path)
    commit_fabricated(store, [tiny_donor(seed=0)])
    sweep = Sweep(store, [tiny_donor(seed=0)])
    sweep.start()
    sweep.searcher.close()
    assert not Path(store.url, "stories").exists()


def test_gc_removes_old_journals_of_runs_that_the_store_lacks(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _fallen_and_finished(store)
    lost = Sweep(store, [tiny_donor(seed=5)])
    lost.all_started()
    lost.searcher.close()
    assert not [each for each in leftovers(store) if each.kind == "story"]
    for path in _journal_files(store):
        os.utime(path, (1e9, 1e9))
    (found,) = [each for each in leftovers(store) if each.kind == "story"]
    assert run_id(tiny_donor(seed=5)) in Path(found.entry.path).read_text()
    store.fail(tiny_donor(seed=5), small_failure(tiny_donor(seed=5)))
    assert not [each for each in leftovers(store) if each.kind == "story"]


def test_why_prints_the_story_and_its_json_has_it(subind: Call, tmp_path: Path) -> None:
    grid, store = written_grid(tmp_path), _store(tmp_path)
    sweep = Sweep(store, [donor(0)])
    sweep.finish(sweep.started()[0])
    sweep.searcher.close()
    out = subind("why", run_id(donor(0)), grid)[1]
    lines = out[out.index("\nstory ") + 1 :].splitlines()
    assert [line.rpartition("  ")[2].split()[0] for line in lines] == ["a", "handed", "committed"]
    told = json.loads(subind("why", run_id(donor(0)), grid, "--json")[1])["story"]
    assert [event["kind"] for event in told] == ["planned", "running", "finished"]
