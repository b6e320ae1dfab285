"""How a command ends: with a line that says why, an exit status that docs/failures.md lists, and never a traceback."""

import errno
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from subind.specs.quoting import shortened
from subind.store.damage import LOG
from sweeps.cli.options import err
from sweeps.hosts import stop_signals
from sweeps.hosts.error_lines import BROKEN, details_file, one_line

REMEDIES = {
    "ray": "Ray failed, for which a busy machine or a lack of memory or disk is enough: run the command again",
    "mlflow": "MLflow failed; the results are in the store: repair the tracker, then run `subind sync`",
    "optuna": "the studies' database failed: check --storage, then run the command again",
    "sqlalchemy": "a database failed: check the tracker or --storage, then run the command again",
    "alembic": "a database has another schema than this version's: upgrade it, or choose another one",
    "sqlite3": "a SQLite database failed: check whether it is locked, damaged or on a full disk",
    "pyarrow": "a Parquet file could not be read or written: remove it if it is damaged, or free some disk",
    "torch": "PyTorch failed: `subind doctor` checks this machine",
    "grpc": "a server did not answer: check the network, then run the command again",
    "requests": "a server did not answer: check the network, then run the command again",
}
"""What to do when an exception of a dependency gets as far as here."""

LONGEST_LINE = 2000
"""Characters of a message. Every value in it is shortened where it is quoted, but one that a dependency repeats."""

FAULT = "this is a fault of subind: report it with the details"

GONE = frozenset({errno.EPIPE, errno.EIO, errno.ENXIO})
"""What a write says whose reader has ended, or whose terminal was closed."""


@contextmanager
def ended_in_a_line() -> Iterator[None]:
    """End the process with the status and the line that fit what the block raises."""
    try:
        yield
    except (ValueError, OSError) as error:
        if _root(error) in REMEDIES:
            _end_broken(error)
        err.print(f"subind: {shortened(str(error), LONGEST_LINE)}", style="red")
        sys.exit(2)
    except SystemExit as ending:
        if ending.code not in (stop_signals.INTERRUPTED, stop_signals.status()):
            raise
        err.print("subind: stopped; the same command continues the sweep")
        sys.exit(stop_signals.status())
    except Exception as error:  # noqa: BLE001  nothing that a command raises ends in a traceback
        _end_broken(error)


def _end_broken(error: Exception) -> None:
    details = details_file("".join(traceback.format_exception(error)))
    told = one_line(f"{type(error).__name__}: {error}")
    err.print(f"subind: {told}; {REMEDIES.get(_root(error), FAULT)}. The details are in {details}", style="red")
    sys.exit(BROKEN)


def _root(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


@contextmanager
def lasting_output() -> Iterator[None]:
    """Let the command outlive the readers of what it prints, for the time of the block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (LastingStream(each) for each in before)
    try:
        yield
    finally:
        for each in (sys.stdout, sys.stderr):
            each.flush()
        sys.stdout, sys.stderr = before


class LastingStream:
    """A text stream whose reader may go away: what is written from then on is lost, and nothing is raised."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _written(self, text: str) -> int:
        """Write the text; letters that the stream has no bytes for, as those of a path that is no text, as escapes."""
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:
            return self._stream.write(
                text.encode(self._stream.encoding, "backslashreplace").decode(self._stream.encoding)
            )

    def write(self, text: str) -> int:
        """Write the text, if there is still a reader."""
        try:
            return self._written(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Write what is buffered, if there is still a reader."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Send what is still to come nowhere, also what the stream buffers. Raises any other error."""
        if error.errno not in GONE:
            raise error
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class DamageLines(logging.Handler):
    """Prints each report once, however many readers of the store make it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print the report, unless it was."""
        line = record.getMessage()
        if line not in self._printed:
            self._printed.add(line)
            err.print(f"subind: ignored: {line}", style="yellow")


@contextmanager
def damage_printed() -> Iterator[None]:
    """Print what stores report while the block runs."""
    handler, propagates = DamageLines(), LOG.propagate
    LOG.addHandler(handler)
    LOG.propagate = False
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.propagate = propagates
