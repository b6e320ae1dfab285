"""Every damage to every kind of file, under every command: none ends in a traceback, hangs, or stops what is sound."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from subind.identity.run_ids import run_id
from subind.store.results import STATUSES
from tests.sweeps.conftest import Call
from tests.sweeps.damages import PLACES, STAND_INS, damage, damaged_store
from tests.sweeps.fabricated_grid import donor, mask, transfers, written_grid

MOST_SECONDS = 10

COMMANDS = (
    ("status", "tiny.py", "--json"),
    ("plan", "tiny.py", "--device", "cpu", "--json"),
    ("export", "tiny.py"),
    ("why", run_id(transfers(0)[0]), "tiny.py"),
    ("why", run_id(mask(0))),
    ("why", run_id(mask(1)), "tiny.py"),
    ("gc",),
    ("retry", "tiny.py", "--class", "RuntimeError"),
    ("gc", "--delete"),
    ("verify", "tiny.py"),
    ("verify", "tiny.py", "--repair"),
)

QUICK = [
    ("record of a mask", "{}"),
    ("record of a transfer", "a pipe"),
    ("failure", "{}"),
    ("heartbeat", "{}"),
    ("description of a checkpoint", "a link to itself"),
    ("artifact", "half of it"),
]
ALL = [(place, stand_in) for place in PLACES for stand_in in STAND_INS]


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def late(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"it takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _check_every_command(subind: Call, folder: Path, place: str, stand_in: str) -> None:
    written_grid(folder)
    store = damaged_store(folder)
    assert subind("export", "tiny.py")[0] == 0
    damage(PLACES[place](store), stand_in)
    for command in COMMANDS:
        with _at_most(MOST_SECONDS):
            status, out, err = subind(*command)
        context = (place, stand_in, command, status, out, err)
        assert "Traceback" not in err, context
        is_refused = command[0] == "retry" and status == 2 and err.count("\n") == 1
        assert status == 0 or is_refused or command[0] == "verify", context
        match command[0]:
            case "status":
                told = json.loads(out)
                assert sum(told[state] for state in STATUSES) == 12, context
                assert told["finished"] >= 3, context  # one of four may be what is damaged
            case "export":
                rows = {row["run_id"]: row["status"] for row in pq.read_table("results/tiny.parquet").to_pylist()}
                assert len(rows) == 12, context
                assert "finished" in (rows[run_id(donor(0))], rows[run_id(donor(1))]), context


@pytest.mark.parametrize(("place", "stand_in"), QUICK)
def test_damaged_file_stops_no_command(subind: Call, tmp_path: Path, place: str, stand_in: str) -> None:
    _check_every_command(subind, tmp_path, place, stand_in)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_each_damage_of_a_file_stops_no_command(subind: Call, tmp_path: Path, place: str) -> None:
    for number, stand_in in enumerate(STAND_INS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            _check_every_command(subind, folder, place, stand_in)


@pytest.mark.slow
def test_sync_mirrors_what_is_sound_and_names_what_is_not(subind: Call, tmp_path: Path) -> None:
    written_grid(tmp_path)
    store = damaged_store(tmp_path)
    damage(PLACES["record of a transfer"](store), "{}")
    damage(PLACES["heartbeat"](store), "a pipe")
    with _at_most(120):
        _, out, err = subind("sync", "tiny.py")
    assert "3 runs mirrored" in out
    assert "record.json" in out + err
    assert "Traceback" not in out + err
