"""The files of a store in a folder: of a disk, or of a file system that several machines have mounted, such as NFS.

Files appear by rename and by hard link, which are atomic on NFS too. Nothing relies on locks or on this machine's
clock: a file's time is the one that its file system set.
"""

import errno
import os
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO

from subind.store.errors import DamagedError
from subind.store.files import CLOCK_SECONDS, FileEntry


class LocalFiles:
    """Files in a folder of this machine, or mounted on it."""

    def __init__(self, url: str) -> None:
        path = url.removeprefix("file://").removeprefix("local://")
        self.root = os.path.abspath(os.path.expanduser(path))
        self._ahead = 0.0
        self._asked = float("-inf")

    @cached_property
    def fs(self) -> Any:
        """The folder's file system as fsspec has it."""
        import fsspec

        return fsspec.filesystem("file")

    def read(self, path: str, *, most: int | None = None) -> bytes:
        with _opened(path) as file, _readable(path):
            if most is None or os.fstat(file.fileno()).st_size <= most:
                return file.read()
            return file.read(most + 1)

    def blocks(self, path: str, *, num_bytes: int) -> Iterator[bytes]:
        with _opened(path) as file, _readable(path):
            while block := file.read(num_bytes):
                yield block

    def contents(self, paths: Iterable[str], *, most: int) -> Iterator[bytes | OSError]:
        for path in paths:
            try:
                yield self.read(path, most=most)
            except OSError as error:
                yield error

    def replace(self, path: str, content: bytes) -> None:
        temporary = _written_aside(path, content)
        try:
            os.replace(temporary, path)
        except IsADirectoryError:
            os.unlink(temporary)
            raise DamagedError(f"{path} is a folder where a file belongs: remove it") from None
        _sync_folder(os.path.dirname(path))

    def create(self, path: str, content: bytes) -> bool:
        temporary = _written_aside(path, content)
        try:
            if not _linked(temporary, path):
                if not os.path.isfile(path):
                    raise DamagedError(f"{path} is {_kind(path)} where a file belongs: remove it")
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
        except OSError as error:
            if os.path.isdir(path):
                raise DamagedError(f"{path} is a folder where a file belongs: remove it") from None
            raise error

    def move(self, folder: str, target: str) -> None:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(folder, target)

    def exists(self, path: str) -> bool:
        return os.path.isfile(path)

    def paths(self, folder: str) -> list[str]:
        try:
            return [f"{folder}/{name}" for name in os.listdir(folder)]
        except FileNotFoundError:
            return []
        except OSError as error:
            if not os.path.isdir(folder):
                raise DamagedError(f"{folder} is {_kind(folder)} where a folder belongs: remove it") from None
            raise error

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

    On NFS the answer to a successful link may be lost and the request repeated; the count of names shows it.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        return os.stat(temporary).st_nlink == 2
    return True


def _opened(path: str) -> BinaryIO:
    """The regular file at the path, for reading. Reading a pipe would block, and a device may have no end.

    Raises DamagedError if something else stands there, FileNotFoundError if nothing does.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        if not os.path.isfile(path):
            raise DamagedError(f"{path} is {_kind(path)} where a file belongs: remove it") from None
        raise error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedError(f"{path} is {_kind(path)} where a file belongs: remove it")
    return open(descriptor, "rb")


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Raise DamagedError where the disk cannot read the file."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedError(f"{path} cannot be read from its disk ({error.strerror}): move it away") from None


def _kind(path: str) -> str:
    """What stands at a path in place of a file or a folder."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "a link that leads nowhere" if os.path.islink(path) else "nothing"
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _entry(path: str) -> FileEntry | None:
    """What a listing tells of a regular file; None if there is none."""
    try:
        with _opened(path) as file:  # NFS asks the server for a file's time when it is opened, and seldom before
            found = os.fstat(file.fileno())
    except (FileNotFoundError, DamagedError):
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
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, path) from error
        raise
    return temporary


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
