"""The files of a store in a folder: of a disk, or of a file system that several machines have mounted, such as NFS.

Whole files appear by rename and by hard link, which are atomic on NFS too. No lock and no clock of this machine is
relied on: a file's time is the one that its file system gave it.
"""

import os
import time
import uuid
from collections.abc import Iterable, Iterator

import fsspec

from subind.files import CLOCK_SECONDS, FileEntry


class LocalFiles:
    """Files in a folder of this machine, or mounted on it."""

    def __init__(self, url: str) -> None:
        self.fs, self.root = fsspec.core.url_to_fs(url)
        self._ahead = 0.0
        self._asked = float("-inf")

    def read(self, path: str, *, most: int | None = None) -> bytes:
        with open(path, "rb") as file:
            if most is None or os.fstat(file.fileno()).st_size <= most:
                return file.read()
            return file.read(most + 1)

    def contents(self, paths: Iterable[str], *, most: int) -> Iterator[bytes | OSError]:
        for path in paths:
            try:
                yield self.read(path, most=most)
            except OSError as error:
                yield error

    def replace(self, path: str, content: bytes) -> None:
        os.replace(_written_aside(path, content), path)
        _sync_folder(os.path.dirname(path))

    def create(self, path: str, content: bytes) -> bool:
        temporary = _written_aside(path, content)
        try:
            if not _linked(temporary, path):
                return False
        finally:
            os.unlink(temporary)
        _sync_folder(os.path.dirname(path))
        return True

    def remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            return

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def paths(self, folder: str) -> list[str]:
        try:
            return [f"{folder}/{name}" for name in os.listdir(folder)]
        except FileNotFoundError:
            return []

    def entries(self, folder: str) -> list[FileEntry]:
        return [entry for path in self.paths(folder) if (entry := _entry(path)) is not None]

    def tree(self, folder: str) -> Iterator[FileEntry]:
        for place, _, names in os.walk(folder):
            for name in names:
                if (entry := _entry(f"{place}/{name}")) is not None:
                    yield entry

    def now(self) -> float:
        if time.monotonic() - self._asked > CLOCK_SECONDS:
            self._ahead = self._time_of_a_new_file() - time.monotonic()
            self._asked = time.monotonic()
        return time.monotonic() + self._ahead

    def _time_of_a_new_file(self) -> float:
        """When a file that is written now was written; of this machine's clock where nothing can be written."""
        path = f"{self.root}/.clock-{uuid.uuid4().hex}"
        try:
            with open(path, "xb") as file:
                file.write(b"0")
                file.flush()
                os.fsync(file.fileno())
                return os.fstat(file.fileno()).st_mtime
        except OSError:
            return time.time()
        finally:
            self.remove(path)


def _linked(temporary: str, path: str) -> bool:
    """Whether `path` is now another name of the temporary file; False if it is another file's.

    On NFS the answer to a link that was made may be lost, and the link asked for once more: the count of names tells.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        return os.stat(temporary).st_nlink == 2
    return True


def _entry(path: str) -> FileEntry | None:
    """What a listing tells of a file; None if it is gone, or none."""
    try:
        with open(path, "rb") as file:  # NFS asks the server for a file's time when it is opened, and seldom before
            found = os.fstat(file.fileno())
    except (FileNotFoundError, IsADirectoryError):
        return None
    return FileEntry(path=path, num_bytes=found.st_size, modified=found.st_mtime)


def _written_aside(path: str, content: bytes) -> str:
    """A synced temporary file beside `path`; on a full disk nothing is left behind and OSError names the path."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    return temporary


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
