"""A log of the commits to a local store, kept by the kernel's file events and not from what the code claims.

A commit begins with a temporary file beside `record.json` and ends with the link of that name. One that begins after
the link has trained a finished run once more.
"""

import ctypes
import os
import struct
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType

IN_CREATE, IN_ONLYDIR, IN_NONBLOCK = 0x100, 0x1000000, 0o4000
EVENT = struct.Struct("iIII")

RECORD, TEMPORARY = "record.json", ".record.json."


class CommitLog:
    """Watches the folder `runs` of a store while the block runs; Linux only."""

    def __init__(self, store: Path) -> None:
        self._runs = store / "runs"
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(IN_NONBLOCK)
        self._folders: dict[int, Path] = {}
        self._committed: set[str] = set()
        self._repeated: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> "CommitLog":
        for stage in ("donor", "mask", "transfer"):
            (self._runs / stage).mkdir(parents=True, exist_ok=True)
            self._watch(self._runs / stage)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._take_events()
        os.close(self._descriptor)

    @property
    def committed(self) -> frozenset[str]:
        """The ids of the runs that were committed."""
        return frozenset(self._committed)

    @property
    def repeated(self) -> Counter[str]:
        """Of each run that was committed, how many more commits of it were begun after that."""
        return Counter(self._repeated)

    def _loop(self) -> None:
        while not self._over.wait(0.02):
            self._take_events()

    def _watch(self, folder: Path) -> None:
        """Watch a folder, and take what is in it already as created just now."""
        number = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), IN_CREATE | IN_ONLYDIR)
        if number < 0:
            return
        self._folders[number] = folder
        for path in folder.iterdir():
            self._created(path)

    def _take_events(self) -> None:
        while True:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return
            place = 0
            while place < len(data):
                number, _mask, _cookie, length = EVENT.unpack_from(data, place)
                name = data[place + EVENT.size : place + EVENT.size + length].rstrip(b"\0").decode()
                place += EVENT.size + length
                self._created(self._folders[number] / name)

    def _created(self, path: Path) -> None:
        run = path.parent.name.rpartition("-")[2]
        if path.parent.parent == self._runs:
            self._watch(path)
        elif path.name == RECORD:
            self._committed.add(run)
        elif path.name.startswith(TEMPORARY) and run in self._committed:
            self._repeated[run] += 1
