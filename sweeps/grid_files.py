"""A user's own grid: a Python file with `grid()`, and maybe `studies()` and CLAIMS. Whatever it raises is one line.

The file is executed as a module that is known while it runs, as dataclasses and annotations need, and what it prints
goes to standard error, for standard output is the command's.
"""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from subind.specs.quoting import quoted, quoted_path, shortened
from subind.specs.run import Run
from sweeps.tuning.definition import Study

MOST_CELLS = 200_000
"""Cells of a grid; the paper's largest has 4,590. A generator without an end is stopped here."""

MOST_STUDIES = 1000

LONGEST_REASON = 600
"""Letters of an error's message that are shown."""

_NAMES: dict[type, str] = {Run: "runs (Train, Discover, Transfer or Measure)", Study: "Study"}

Made = TypeVar("Made")


def cells_of_file(path: Path) -> tuple[Run, ...]:
    """What `grid()` of the file gives. Raises ValueError, with the line of the file, whatever goes wrong there."""
    return _guarded(path, lambda module: _several(path, module, "grid", most=MOST_CELLS, kind=Run))


def studies_of_file(path: Path) -> tuple[Study, ...]:
    """What `studies()` of the file gives, nothing if it has no such function. Raises ValueError as `cells_of_file`."""

    def made(module: ModuleType) -> tuple[Study, ...]:
        if not callable(getattr(module, "studies", None)):
            return ()
        return _several(path, module, "studies", most=MOST_STUDIES, kind=Study)

    return _guarded(path, made)


def claims_of_file(path: Path) -> tuple[str, ...]:
    """The file's CLAIMS, nothing if it has none. Raises ValueError as `cells_of_file`."""
    found = _guarded(path, lambda module: getattr(module, "CLAIMS", ()))
    if not isinstance(found, tuple) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"CLAIMS of {quoted_path(path)} is {quoted(found)}: give a tuple of sentences")
    return found


class _RefusedError(Exception):
    """What the file gives is of no use; the message says it all."""


def _several(path: Path, module: ModuleType, function: str, *, most: int, kind: type) -> tuple[Any, ...]:
    """What a function of the module gives, one or several, all of one class."""
    if not callable(getattr(module, function, None)):
        raise _RefusedError(
            f"grid {quoted_path(path)} has no function {function}(): define one that gives a tuple of specs"
        )
    made = getattr(module, function)()
    of = f"{function}() of {quoted_path(path)}"
    if inspect.iscoroutine(made):
        made.close()
    found: list[Any] = []
    for each in made if isinstance(made, Iterable) and not isinstance(made, str | bytes) else (made,):
        if not isinstance(each, kind):
            raise _RefusedError(
                f"{of} gives {quoted(each)}, item {len(found)}: let it give a tuple of {_NAMES[kind]}, at least one"
            )
        if len(found) == most:
            remedy = "cut it into several files, or end its generator"
            raise _RefusedError(f"{of} gives more than {most:,} items, which is the most a plan takes: {remedy}")
        found.append(each)
    if not found:
        raise _RefusedError(f"{of} gives nothing: let it give at least one of {_NAMES[kind]}")
    return tuple(found)


def _guarded(path: Path, work: Callable[[ModuleType], Made]) -> Made:
    """What `work` finds in the file's module. Whatever the user's code raises is told by its place there."""
    if not path.is_file():
        raise ValueError(f"grid is {quoted_path(path)}: there is no such file")
    try:
        with redirect_stdout(sys.stderr):
            return work(_loaded(path))
    except KeyboardInterrupt:
        raise
    except _RefusedError as refused:
        raise ValueError(str(refused)) from None
    except BaseException as error:  # noqa: BLE001  also what ends a program, such as sys.exit()
        raise ValueError(f"grid {quoted_path(path)} cannot be made: {_told(error, path)}") from None


def _loaded(path: Path) -> ModuleType:
    name = f"subind_grid_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _told(error: BaseException, path: Path) -> str:
    """The error in one line, with the last line of the file that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
    place = f" (line {lines[-1]})" if lines else ""
    message = _message(error)
    return f"{type(error).__name__}{': ' if message else ''}{message}{place}"


def _message(error: BaseException) -> str:
    """The error's own words in one line; an exception of the user's may have none that can be spelled."""
    if isinstance(error, SystemExit):
        return "it ends the program; let it give its cells instead"
    try:
        return shortened(" ".join(str(error).split()), LONGEST_REASON)
    except Exception:  # noqa: BLE001  a __str__ of somebody else's may do anything
        return "its message cannot be spelled"
