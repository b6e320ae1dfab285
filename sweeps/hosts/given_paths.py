"""Paths as a user gives them: a `~` is the home folder, and nothing but rows of ours is written over."""

import os
import re
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from subind.specs.quoting import quoted_path

OF_ROWS = frozenset({"run_id", "stage", "status"})
"""Columns by which a file is known as result rows."""


def at_home(given: str, option: str) -> str:
    """The path with the home folder in place of a leading `~`, which a shell leaves as it is in `--store=~/x`.

    In a URL it may follow the scheme, as in sqlite:///~/x. Raises ValueError, naming the option, for the home of a user
    who has none.
    """
    scheme, mark, path = given.rpartition("://")
    slash = "/" if mark and path.startswith("/~") else ""
    text = path.removeprefix(slash) if slash else path
    if not text.startswith("~"):
        return given
    found = os.path.expanduser(text)  # noqa: PTH111  Path.expanduser raises what says neither option nor value
    if found.startswith("~"):
        raise ValueError(
            f"{option} is {quoted_path(given)}: there is no such user; give ./~… for a folder of that name"
        )
    return f"{scheme}{mark}{slash}{found}"


def check_rows_target(path: Path) -> None:
    """Refuse to write rows over anything but rows. Raises ValueError naming the option, the path and what is there."""
    if not path.name:
        raise ValueError(f"--rows is {quoted_path(path)}, which names no file: give one such as rows.parquet")
    if re.match(r"[a-zA-Z][\w+.-]*:/", str(path)):
        raise ValueError(f"--rows is {quoted_path(path)}, a URL: rows are written to a file of this machine")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
        raise ValueError(f"--rows is {quoted_path(path)}, which is {kind}: give the path of a file")
    if not _columns(path) >= OF_ROWS:
        raise ValueError(
            f"--rows is {quoted_path(path)}, a file that holds no result rows: give a new path, or remove it"
        )


def _columns(path: Path) -> frozenset[str]:
    """The columns of a Parquet file; none of any other file."""
    try:
        return frozenset(pq.read_schema(path).names)
    except (pa.ArrowInvalid, OSError):
        return frozenset()
