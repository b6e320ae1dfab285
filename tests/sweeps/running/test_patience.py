"""Questions to a store that answers late or never."""

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from subind.store.store import Store
from sweeps.hosts import stop_signals
from sweeps.hosts.store_mark import mark
from sweeps.running import patience
from sweeps.running.patience import patiently, when_there_is_room
from tests.small_disk import small_disk
from tests.specs import tiny_donor
from tests.subind.records import small_failure, small_record


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0))


def _failing(number: int) -> Callable[[], str]:
    """A question that fails so often before it is answered."""
    errors = iter([ConnectionResetError("cut off")] * number)

    def ask() -> str:
        for error in errors:
            raise error
        return "the answer"

    return ask


@pytest.mark.parametrize("number", [0, 1, 2])
def test_question_that_is_answered_late_is_answered(number: int) -> None:
    told: list[str] = []
    assert patiently(_failing(number), tell=told.append) == "the answer"
    assert told == ["the store does not answer (cut off); it is asked again in 0 s"] * number


def test_question_that_is_never_answered_raises_its_error() -> None:
    with pytest.raises(ConnectionResetError, match="cut off"):
        patiently(_failing(3), tell=lambda _text: None)


def test_question_that_is_wrong_is_not_repeated() -> None:
    told: list[str] = []
    with pytest.raises(ValueError, match="wrong"):
        patiently(lambda: _raise(ValueError("wrong")), tell=told.append)
    assert told == []


def _raise(error: Exception) -> None:
    raise error


def test_questions_that_take_long_themselves_share_one_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES", (0.0,) * 100)
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.5)
    start = time.monotonic()

    def ask() -> None:
        time.sleep(0.3)
        raise ConnectionResetError("cut off after much patience of its own")

    with pytest.raises(ConnectionResetError):
        patiently(ask, tell=lambda _text: None)
    assert time.monotonic() - start < 5


def test_pause_between_questions_ends_at_the_signal_that_a_sweep_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES", (60.0,))
    start = time.monotonic()
    with stop_signals.handled(lambda number, _frame: stop_signals.note(number)):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            patiently(_failing(2), tell=lambda _text: None)
    with stop_signals.interrupting():  # forgets the signal
        assert time.monotonic() - start < 10


# ---- a full disk


def test_write_to_a_full_disk_waits_says_so_once_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SECONDS_BETWEEN_TRIES", 0.05)
    told: list[str] = []
    with small_disk(tmp_path / "disk") as disk:
        store = Store(str(disk.path / "store"))
        disk.fill()
        threading.Timer(0.5, disk.make_room).start()
        write = partial(store.commit, tiny_donor(), small_record(tiny_donor()), {"weights.safetensors": bytes(10_000)})
        assert when_there_is_room(write, tell=told.append)
        assert store.artifact(tiny_donor(), "weights.safetensors") == bytes(10_000)
        names = {path.name for path in Path(store.folder(tiny_donor())).iterdir()}
    assert [text.partition(" (")[0] for text in told] == ["a disk is full", "there is room again: it goes on"]
    assert len(names) == 2  # no attempt has left a file behind


def test_wait_for_room_ends_at_ctrl_c(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        store = Store(str(disk.path / "store"))
        disk.fill()
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            when_there_is_room(partial(store.fail, tiny_donor(), small_failure(tiny_donor())), tell=lambda _text: None)


def test_error_that_is_no_full_disk_is_raised_at_once(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    store = Store(str(tmp_path / "store"))
    with pytest.raises(OSError, match="Not a directory"):
        when_there_is_room(partial(store.fail, tiny_donor(), small_failure(tiny_donor())), tell=lambda _text: None)


def test_damaged_file_is_not_asked_for_again(tmp_path: Path) -> None:
    told: list[str] = []
    store = Store(str(tmp_path / "store"))
    Path(store.failure_path(tiny_donor())).mkdir(parents=True)
    with pytest.raises(ValueError, match="is a folder where a file belongs: remove it"):
        patiently(partial(store.failure, tiny_donor()), tell=told.append)
    assert told == []


def test_error_of_a_full_disk_names_the_file_and_of_a_mark_the_store(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        store = Store(str(disk.path / "store"))
        disk.fill()
        with pytest.raises(OSError, match=r"No space left on device: '.*failure\.json'"):
            store.fail(tiny_donor(), small_failure(tiny_donor()))
        with pytest.raises(OSError, match=r"the store '.*store' cannot be written \(.*No space left"), mark(store):
            pass
