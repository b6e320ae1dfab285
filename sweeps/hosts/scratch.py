"""A private folder of one process for files that must not outlive it, such as Ray's session. The owner holds a lock
in it. The system releases the lock when the owner dies, and the next command then removes the folder.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PREFIX = "subind-"
LOCK = "owner.lock"

_own = set[Path]()


@contextlib.contextmanager
def scratch_folder(within: str = "") -> Iterator[Path]:
    """A new folder of mode 0700, removed at the end, along with abandoned ones.

    It is in the folder `within` if that is on this machine, else in the system's temporary folder.

    Raises ValueError if it cannot be made.
    """
    try:
        parent = Path(within) if within and Path(within).is_dir() else Path(tempfile.gettempdir())
        remove_abandoned(parent)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise ValueError(
            f"TMPDIR is {os.environ.get('TMPDIR', '')!r}: a temporary folder cannot be made ({error.strerror}); "
            "set TMPDIR to a folder that you may write, with free space"
        ) from None
    _own.add(folder)
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _own.discard(folder)


def remove_own() -> None:
    """Remove the folders of this process before it exits without unwinding."""
    for folder in list(_own):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Take the folder's lock. The file gets its name after it is locked, so nobody considers it abandoned before."""
    path = folder / f".{LOCK}"
    with path.open("w", encoding="utf-8") as file:
        _lock(file)
        path.rename(folder / LOCK)
        yield


def remove_abandoned(parent: Path) -> None:
    """Remove this user's folders in `parent` whose owner has died."""
    for lock in parent.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError), lock.open("r+", encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_uid == os.geteuid() and _lock(file):
                shutil.rmtree(lock.parent, ignore_errors=True)


def _lock(file: IO[str]) -> bool:
    """Whether the lock could be taken. False on a file system without locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
