"""What the runs of a pack start from, made for each by itself: one whose parent's file is bad fails alone."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from subind.specs.run import Run
from subind.training.loop import Finished, Method, Replica, Runtime

Own = TypeVar("Own", bound=Run)
Start = TypeVar("Start")

_BAD_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""Of a file that another attempt does not mend; every other OSError may pass, and is the pack's."""


def isolated(
    pack: Sequence[Own],
    start: Callable[[Own], Start],
    make: Callable[[list[tuple[Own, Start]], Runtime], Method],
    runtime: Runtime,
) -> tuple[Method | None, list[Finished]]:
    """The method that `make` makes of those runs that have a start, None if none has, and the failures of the others.

    `start` raises ValueError for a run whose parent's file is damaged or of another network.
    """
    starts, failed = list[tuple[Own, Start]](), list[Finished]()
    for spec in pack:
        try:
            starts.append((spec, start(spec)))
        except ValueError as error:
            failed.append(_failed(spec, str(error)))
        except _BAD_FILE as error:
            failed.append(_failed(spec, f"{error.filename or error} is gone, or no file: {_REMEDY}"))
    return (make(starts, runtime) if starts else None), failed


_REMEDY = "remove the folder of the run that it belongs to, or import it again, and run the sweep again"


def _failed(spec: Run, why: str) -> Finished:
    return Finished(replica=Replica(spec=spec, failure=why), measurements={}, files={})
