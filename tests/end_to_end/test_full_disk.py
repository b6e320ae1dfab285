"""A sweep whose disk is full for a while: it says so, waits, and goes on, and Ctrl-C ends the wait."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.sweeps import Folder, Process, folder, until
from tests.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.slow

LONG = 3000
"""Epochs of a stage in which the disk is full: tens of seconds, and a checkpoint every one of them."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def here(disk: SmallDisk) -> Iterator[Folder]:
    with folder(disk.path) as found:
        yield found


class Lines:
    """What a command has said so far, on both of its outputs."""

    def __init__(self, process: Process) -> None:
        self.text = ""
        self._threads = [threading.Thread(target=self._read, args=(each,)) for each in (process.stdout, process.stderr)]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: "object") -> None:
        for line in stream:  # type: ignore[attr-defined]
            self.text += line

    def end(self) -> str:
        """All that was said, once the command has ended."""
        for thread in self._threads:
            thread.join()
        return self.text


def test_sweep_waits_while_the_disk_is_full_and_loses_nothing(here: Folder, disk: SmallDisk) -> None:
    here.write_grid(donor=LONG, rate=1e9)
    process = here.start("run", "--checkpoint-seconds", "1")
    lines = Lines(process)
    until(lambda: list(here.store.glob("checkpoints/*.json")), process=process)
    disk.fill()
    until(lambda: "a disk is full" in lines.text, process=process)
    assert not here.failures()
    disk.make_room()
    until(lambda: "there is room again" in lines.text, process=process)
    assert process.wait(timeout=400) == 1
    text = lines.end()
    assert "Traceback" not in text
    assert {each["error"] for each in here.failures().values()} == {"RunFailed"}
    assert len(here.records()) + len(here.failures()) == 16
    assert not here.heartbeats()


def test_sweep_on_a_full_disk_ends_at_ctrl_c(here: Folder, disk: SmallDisk) -> None:
    here.write_grid(donor=LONG)
    process = here.start("run", "--checkpoint-seconds", "1")
    lines = Lines(process)
    until(lambda: list(here.store.glob("checkpoints/*.json")), process=process)
    disk.fill()
    until(lambda: "a disk is full" in lines.text, process=process)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=400) == 130
    assert "Traceback" not in lines.end()
    disk.make_room()
    assert here.run("run").status == 0
