"""The protocol of a store's file system; subind.store.local_files and subind.store.remote_files implement it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

CLOCK_SECONDS = 60.0
"""How long this machine's monotonic clock extends the store's time before the store is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A file as a listing tells it: path, bytes, and when it was written by the store's clock (UNIX seconds)."""

    path: str
    num_bytes: int
    modified: float

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class Files(Protocol):
    """Whole files by their path. Every error is an OSError: FileNotFoundError, or one that says what to do.

    A pipe or the like in place of a file is never opened; it raises DamagedError.
    """

    root: str

    @property
    def fs(self) -> Any:
        """The file system as fsspec has it."""

    def read(self, path: str, *, most: int | None = None) -> bytes:
        """The content of a file; at most `most` + 1 bytes are read. Raises FileNotFoundError."""

    def blocks(self, path: str, *, num_bytes: int) -> Iterator[bytes]:
        """The content of a file in blocks of this many bytes. Raises FileNotFoundError."""

    def contents(self, paths: Iterable[str], *, most: int) -> Iterator[bytes | OSError]:
        """What `read` gives or raises for each path, in order."""

    def replace(self, path: str, content: bytes) -> None:
        """Write the whole file atomically, over what is there."""

    def create(self, path: str, content: bytes) -> bool:
        """Write the whole file atomically unless there is one; False if there is."""

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""

    def move(self, folder: str, target: str) -> None:
        """Move all that is in a folder to another path."""

    def exists(self, path: str) -> bool:
        """Whether the file exists; never cached."""

    def paths(self, folder: str) -> list[str]:
        """The names directly in a folder; none if there is no folder."""

    def entries(self, folder: str) -> list[FileEntry]:
        """The files directly in a folder; none where there is none."""

    def tree(self, folder: str) -> Iterator[FileEntry]:
        """All files in a folder and below; none where there is none."""

    def now(self) -> float:
        """The time by the clock that `FileEntry.modified` is told by, in UNIX seconds."""


def joined(*parts: str) -> str:
    """The parts of a path together."""
    return "/".join(part.rstrip("/") for part in parts)
