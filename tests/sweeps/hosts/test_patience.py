"""Waiting for a store that answers late or never, and for room on a disk."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from subind.store.store import Store
from sweeps.hosts import patience, stop_signals
from sweeps.hosts.patience import DISK, STORE
from sweeps.hosts.ray_nodes import mark
from tests.small_disk import small_disk
from tests.specs import tiny_donor
from tests.subind.records import small_failure, small_record


@pytest.fixture(autouse=True)
def _with_short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)


def _failing(number: int) -> Callable[[], str]:
    """A question that fails this many times before it is answered."""
    errors = iter([ConnectionResetError("cut off")] * number)

    def ask() -> str:
        for error in errors:
            raise error
        return "the answer"

    return ask


def _no_line(_text: str) -> None:
    raise AssertionError("nothing is to be told")


# ---- a store that does not answer


@pytest.mark.parametrize("number", [1, 4])
def test_wait_for_an_answer_is_told_once_and_its_end_too(number: int) -> None:
    told: list[str] = []
    assert STORE.answer(_failing(number), tell=told.append) == "the answer"
    assert told == [
        "the store does not answer (cut off); retrying for up to 3 min",
        "the store answers again",
    ]


def test_answer_that_comes_at_once_is_told_in_no_line() -> None:
    assert STORE.answer(_failing(0), tell=_no_line) == "the answer"


def test_pauses_double_up_to_the_longest_and_end_with_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        pauses.append(seconds)
        now += seconds

    monkeypatch.setattr(patience, "FIRST_PAUSE", 1.0)
    monkeypatch.setattr(patience, "pause", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with pytest.raises(ConnectionResetError, match="cut off"):
        STORE.answer(_failing(1000), tell=lambda _text: None)
    assert pauses == [1, 2, 4, 8, 16, 32, 60]
    assert now <= STORE.seconds


def test_time_that_attempts_take_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now, num_asked = 0.0, 0

    def ask() -> None:
        nonlocal now, num_asked
        now, num_asked = now + 120.0, num_asked + 1
        raise ConnectionResetError("cut off after much patience of its own")

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(patience, "pause", lambda _seconds: None)
    with pytest.raises(ConnectionResetError):
        STORE.answer(ask, tell=lambda _text: None)
    assert num_asked == 2


def test_error_that_is_no_silence_is_raised_at_once() -> None:
    def ask() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        STORE.answer(ask, tell=_no_line)


# ---- a stop


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """A SIGINT after that time, which raises nothing, as in a sweep; the block is to end soon by KeyboardInterrupt."""
    start = time.monotonic()
    with stop_signals.handled(lambda number, _frame: stop_signals.note(number)):
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            yield
    with stop_signals.interrupting():  # forgets the signal
        assert time.monotonic() - start < seconds + 5


def test_stop_ends_a_pause() -> None:
    with _stopped_after(0.2):
        patience.pause(60.0)


def test_stop_ends_the_wait_for_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 60.0)
    with _stopped_after(0.2):
        STORE.answer(_failing(2), tell=lambda _text: None)


def test_stop_ends_the_wait_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 60.0)
    with small_disk(tmp_path / "disk") as disk:
        store = Store(str(disk.path / "store"))
        disk.fill()
        with _stopped_after(0.5):
            DISK.answer(partial(store.fail, tiny_donor(), small_failure(tiny_donor())), tell=lambda _text: None)


# ---- a full disk


def test_write_to_a_full_disk_waits_says_so_once_and_goes_on(tmp_path: Path) -> None:
    told: list[str] = []
    with small_disk(tmp_path / "disk") as disk:
        store = Store(str(disk.path / "store"))
        disk.fill()
        threading.Timer(0.5, disk.make_room).start()
        write = partial(store.commit, tiny_donor(), small_record(tiny_donor()), {"weights.safetensors": bytes(10_000)})
        assert DISK.answer(write, tell=told.append)
        assert store.artifact(tiny_donor(), "weights.safetensors") == bytes(10_000)
        names = {path.name for path in Path(store.folder(tiny_donor())).iterdir()}
    assert [text.partition(" (")[0] for text in told] == ["a disk is full", "there is room again: continuing"]
    assert len(names) == 2  # no attempt has left a file behind


def test_error_that_is_no_full_disk_is_raised_at_once(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    store = Store(str(tmp_path / "store"))
    with pytest.raises(OSError, match="Not a directory"):
        DISK.answer(partial(store.fail, tiny_donor(), small_failure(tiny_donor())), tell=lambda _text: None)


def test_damaged_file_is_not_asked_for_again(tmp_path: Path) -> None:
    told: list[str] = []
    store = Store(str(tmp_path / "store"))
    Path(store.failure_path(tiny_donor())).mkdir(parents=True)
    with pytest.raises(ValueError, match="is a folder where a file belongs: remove it"):
        STORE.answer(partial(store.failure, tiny_donor()), tell=told.append)
    assert told == []


def test_error_of_a_full_disk_names_the_file_and_of_a_mark_the_store(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        store = Store(str(disk.path / "store"))
        disk.fill()
        with pytest.raises(OSError, match=r"No space left on device: '.*failure\.json'"):
            store.fail(tiny_donor(), small_failure(tiny_donor()))
        with pytest.raises(OSError, match=r"the store '.*store' cannot be written \(.*No space left"), mark(store):
            pass
