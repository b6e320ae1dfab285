"""A user's own grid: a Python file with `grid()`, and maybe `studies()`, CLAIMS and KEEP. Its errors become one line.

The file is executed as a registered module, as dataclasses and annotations need. Its prints go to standard error,
because standard output belongs to the command.
"""

import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from subind.specs.quoting import quoted, quoted_path, shortened
from subind.specs.run import Run, lineage
from subind.store.row_values import planned_values
from sweeps.grids import EVERY, Keep
from sweeps.grids.cells import planned_rows
from sweeps.grids.own_code import forget_grid, load_grid
from sweeps.grids.studies import Study

MOST_CELLS = 200_000
"""The most cells of a grid; the paper's largest has 4,590. This stops an endless generator."""

MOST_STUDIES = 1000

LONGEST_REASON = 600
"""The length of a quoted error message."""

_NAMES: dict[type, str] = {Run: "runs (Train, Discover, Transfer or Measure)", Study: "Study"}

Made = TypeVar("Made")


_LOADED: list[Path] = []
"""The grid file that was executed last."""


def loaded(path: Path) -> ModuleType:
    """The module of the file, executed now, as what it imports from its folder is.

    Raises ValueError, with the line of the file, whatever goes wrong there.
    """
    if not path.is_file():
        raise ValueError(f"grid is {quoted_path(path)}: there is no such file")
    while _LOADED:
        forget_grid(_LOADED.pop())
    module = _guarded(path, lambda: load_grid(path))
    _LOADED.append(path.absolute())
    return module


def cells(path: Path, module: ModuleType) -> tuple[Run, ...]:
    """What `grid()` of the file gives. Raises ValueError as `loaded`."""

    def made() -> tuple[Run, ...]:
        several = _several(path, module, "grid", most=MOST_CELLS, kind=Run)
        _describe(several)
        return several

    return _guarded(path, made)


def _describe(cells: tuple[Run, ...]) -> None:
    """Ask one run of each kind for its name and its columns: what a user's class raises there ends no sweep later."""
    kinds: dict[tuple[object, ...], Run] = {}
    for run in dict.fromkeys(each for cell in cells for each in lineage(cell)):
        kinds.setdefault((type(run), run.task, run.network, run.kept_name), run)
    for run, columns in zip(kinds.values(), planned_rows(kinds.values()), strict=True):
        planned_values(columns)
        run.label()


def studies(path: Path, module: ModuleType) -> tuple[Study, ...]:
    """What `studies()` of the file gives, nothing if it has no such function. Raises ValueError as `loaded`."""
    if not callable(getattr(module, "studies", None)):
        return ()
    return _guarded(path, lambda: _several(path, module, "studies", most=MOST_STUDIES, kind=Study))


def claims(path: Path, module: ModuleType) -> tuple[str, ...]:
    """The file's CLAIMS, nothing if it has none. Raises ValueError for what is no tuple of sentences."""
    found = getattr(module, "CLAIMS", ())
    if not isinstance(found, tuple) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"CLAIMS of {quoted_path(path)} is {quoted(found)}: give a tuple of sentences")
    return found


def keep(path: Path, module: ModuleType) -> Keep:
    """The file's KEEP, nothing if it has none. Raises ValueError for what is neither True nor a tuple of names."""
    found = getattr(module, "KEEP", False)
    if isinstance(found, bool) or (isinstance(found, tuple) and all(isinstance(each, str) for each in found)):
        return found if isinstance(found, tuple) else ((EVERY,) if found else ())
    raise ValueError(
        f"KEEP of {quoted_path(path)} is {quoted(found)}: give True, or a tuple of names of starts, such as "
        '("subnetwork",)'
    )


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
        raise _RefusedError(f"{of} gives nothing: let it give {_NAMES[kind]}, at least one")
    return tuple(found)


def _guarded(path: Path, work: Callable[[], Made]) -> Made:
    """What `work` makes of the file. Whatever the user's code raises is reported with its place there."""
    try:
        with redirect_stdout(sys.stderr):
            return work()
    except KeyboardInterrupt:
        raise
    except _RefusedError as refused:
        raise ValueError(str(refused)) from None
    except BaseException as error:  # noqa: BLE001  also what ends a program, such as sys.exit()
        raise ValueError(f"grid {quoted_path(path)} cannot be made: {_told(error, path)}") from None


def _told(error: BaseException, path: Path) -> str:
    """The error in one line, with the last line of the user's files that it came through."""
    folder = path.absolute().parent
    frames = traceback.extract_tb(error.__traceback__)
    lines = [(Path(frame.filename), frame.lineno) for frame in frames if folder in Path(frame.filename).parents]
    own = [(file, line) for file, line in lines if "site-packages" not in file.parts]
    place = ""
    if own:
        file, line = own[-1]
        place = f" (line {line})" if file == path.absolute() else f" (line {line} of {file.relative_to(folder)})"
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
