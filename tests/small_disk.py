"""A disk of a test's own, in memory, that can be full and have room again."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallDisk:
    """A mounted tmpfs."""

    path: Path

    def fill(self) -> None:
        """Leave no room for what is not there yet."""
        about = os.statvfs(self.path)
        self._resize((about.f_blocks - about.f_bfree) * about.f_frsize)
        with contextlib.suppress(OSError), self._rest.open("ab", buffering=0) as rest:
            while True:
                rest.write(bytes(1024))

    def make_room(self) -> None:
        """Have a gigabyte; it takes no memory before it is written."""
        self._resize(2**30)
        self._rest.unlink(missing_ok=True)

    @property
    def _rest(self) -> Path:
        return self.path / ".the-rest-of-the-disk"

    def _resize(self, num_bytes: int) -> None:
        size = max(num_bytes, 4096)  # none at all would mean without a bound
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.path)], check=True)


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk]:
    """A disk mounted at the path for the time of the block; the test is skipped where that is not allowed."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(path)]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path=path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
