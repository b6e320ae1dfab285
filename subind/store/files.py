"""What a store needs of the file system below it; subind.store.local_files and subind.store.remote_files have it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

CLOCK_SECONDS = 60.0
"""How long the time of a store is told by this machine's monotonic clock, before the store is asked again."""


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

    What stands in the place of a file and is none, such as a pipe, is never opened: it raises DamagedError.
    """

    root: str

    @property
    def fs(self) -> Any:
        """The file system as fsspec has it."""

    def read(self, path: str, *, most: int | None = None) -> bytes:
        """The content of a file, of which no more than `most` + 1 bytes are read. Raises FileNotFoundError."""

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
        """Whether there is such a file, asked anew each time."""

    def paths(self, folder: str) -> list[str]:
        """What stands directly in a folder; nothing where there is none."""

    def entries(self, folder: str) -> list[FileEntry]:
        """The files directly in a folder; none where there is none."""

    def tree(self, folder: str) -> Iterator[FileEntry]:
        """All files in a folder and below; none where there is none."""

    def now(self) -> float:
        """The time by the clock that `FileEntry.modified` is told by, in UNIX seconds."""


def joined(*parts: str) -> str:
    """The parts of a path together."""
    return "/".join(part.rstrip("/") for part in parts)
