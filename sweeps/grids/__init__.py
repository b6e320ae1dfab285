"""The experiments, one module each with `grid()`, a tuple of transfer specs; by the names the command line gives them.

A user's own grid is a Python file with the same function, given by its path.
"""

import importlib.util
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from subind.spec import Transfer
from sweeps.grids import figure_3_depth_2, paper_arithmetic, quickstart

NAMES = ("quickstart", "figure-3-depth-2", "paper-arithmetic")


def grid(name: str) -> tuple[Transfer, ...]:
    """The transfers of a grid, by its name or the path of its file. Raises ValueError for any other."""
    match name:
        case "quickstart":
            return quickstart.grid()
        case "figure-3-depth-2":
            return figure_3_depth_2.grid()
        case "paper-arithmetic":
            return paper_arithmetic.grid()
        case _ if name.endswith(".py"):
            return _from_file(Path(name))
        case _:
            raise ValueError(f"grid is {name!r}: give one of {', '.join(NAMES)}, or the path of a .py file with grid()")


def claims(name: str) -> tuple[str, ...]:
    """What a grid expects, in the sentences of its CLAIMS; nothing if it has none. Raises ValueError as `grid` does."""
    match name:
        case "figure-3-depth-2":
            return figure_3_depth_2.CLAIMS
        case "paper-arithmetic":
            return paper_arithmetic.CLAIMS
        case _ if name.endswith(".py"):
            return _claims_of_file(Path(name))
        case _:
            return ()


def label(name: str) -> str:
    """What a grid is called in files and columns: its name, or that of its file."""
    return Path(name).stem if name.endswith(".py") else name


def _from_file(path: Path) -> tuple[Transfer, ...]:
    if not path.is_file():
        raise ValueError(f"grid is {str(path)!r}: there is no such file")
    try:
        made = _made_by(path)
    except Exception as error:  # whatever the user's code raises is told by its place there
        raise ValueError(f"grid {str(path)!r} cannot be made: {_told(error, path)}") from error
    cells = tuple(made) if isinstance(made, Iterable) else (made,)
    if not cells or not all(isinstance(cell, Transfer) for cell in cells):
        raise ValueError(f"grid() of {str(path)!r} gives {cells[:1]!r}: let it give a tuple of at least one Transfer")
    return cells


def _claims_of_file(path: Path) -> tuple[str, ...]:
    found = getattr(_module(path), "CLAIMS", ())
    if not isinstance(found, tuple) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"CLAIMS of {str(path)!r} is {found!r}: give a tuple of sentences")
    return found


def _made_by(path: Path) -> Any:
    module = _module(path)
    if not callable(getattr(module, "grid", None)):
        raise ValueError("it has no function grid(); define one that gives a tuple of Transfer specs")
    return module.grid()


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"subind_grid_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _told(error: Exception, path: Path) -> str:
    """The error in one line, with the last line of the file that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
    place = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
