"""How an error is reported: one line without secrets, and the details in a file that the line names."""

import os
import tempfile
import time

from subind.store.errors import shown
from sweeps.hosts.secrets import redacted

BROKEN = 3
"""The exit status of a command that ended because something that it needs broke."""

LONGEST_LINE = 300
"""Characters of a quoted cause."""


def one_line(text: object, limit: int = LONGEST_LINE) -> str:
    """The text on one line, without secrets, shortened in the middle to the limit."""
    line = without_secrets(" ".join(str(text).split()))
    if len(line) <= limit:
        return line
    head = limit * 2 // 3
    return f"{line[:head]} … {line[head - limit + 3 :]}"


def without_secrets(text: str) -> str:
    """The text without credentials of URLs and of the environment."""
    return redacted(shown(text), "")


def details_file(text: str) -> str:
    """Write the details of an error to a new file that its owner alone reads, without secrets; its path.

    Where no file can be made, the path is a sentence that says so.
    """
    stamp = time.strftime("%Y-%m-%dT%H-%M-%S")
    try:
        handle, path = tempfile.mkstemp(prefix=f"subind-{stamp}-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(without_secrets(text))
    except OSError as error:
        return f"no file (the temporary folder cannot be written: {error.strerror})"
    return path
