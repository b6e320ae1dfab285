"""The experiments, one module each with `grid()`, a tuple of transfer specs; by the names the command line gives them.

A user's own grid is a Python file with the same function, given by its path. Beside `grid()` may stand `studies()`,
what `subind tune` searches for the masks of the grid.
"""

import importlib.util
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from subind.quoting import quoted, quoted_path
from subind.spec import Transfer
from sweeps.cells import Cell
from sweeps.grids import (
    figure_3_depth_2,
    paper_arithmetic,
    paper_vision,
    quickstart,
    tuned_depth_2,
    vision_map,
    vision_quickstart,
    vision_shapes,
)
from sweeps.tuning.definition import Study, default_studies

NAMES = (
    "quickstart",
    "figure-3-depth-2",
    "paper-arithmetic",
    "tuned-depth-2",
    "vision-quickstart",
    "vision-shapes",
    "vision-map",
    "paper-vision",
)


def grid(name: str) -> tuple[Cell, ...]:
    """The transfers of a grid, by its name or the path of its file. Raises ValueError for any other."""
    match name:
        case "quickstart":
            return quickstart.grid()
        case "figure-3-depth-2":
            return figure_3_depth_2.grid()
        case "paper-arithmetic":
            return paper_arithmetic.grid()
        case "tuned-depth-2":
            return tuned_depth_2.grid()
        case "vision-quickstart":
            return vision_quickstart.grid()
        case "vision-shapes":
            return vision_shapes.grid()
        case "vision-map":
            return vision_map.grid()
        case "paper-vision":
            return paper_vision.grid()
        case _ if name.endswith(".py"):
            return _from_file(Path(name))
        case _:
            raise ValueError(
                f"grid is {quoted(name)}: give one of {', '.join(NAMES)}, or the path of a .py file with grid()"
            )


def studies(name: str) -> tuple[Study, ...]:
    """What is searched for the masks of a grid: its own studies, or those around its masks' settings.

    Raises ValueError for an unknown grid, and if the studies cannot be made.
    """
    match name:
        case "quickstart":
            return quickstart.studies()
        case "figure-3-depth-2":
            return figure_3_depth_2.studies()
        case _ if name.endswith(".py"):
            return _studies_from_file(Path(name))
        case _:
            return default_studies(_of_arithmetic(grid(name)))


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


def _of_arithmetic(cells: Iterable[Cell]) -> tuple[Transfer, ...]:
    """The transfers whose masks a study can search. Raises ValueError if there are none."""
    found = tuple(cell for cell in cells if isinstance(cell, Transfer))
    if not found:
        raise ValueError(
            "the grid has recipients on images alone, whose masks no study searches: give several ImageMasks instead"
        )
    return found


def _from_file(path: Path) -> tuple[Cell, ...]:
    made = _made_by(path, "grid")
    cells = tuple(made) if isinstance(made, Iterable) else (made,)
    if not cells or not all(isinstance(cell, Cell) for cell in cells):
        raise ValueError(
            f"grid() of {quoted_path(path)} gives {quoted(cells[:1])}: let it give a tuple of at least one Transfer"
        )
    return cells


def _studies_from_file(path: Path) -> tuple[Study, ...]:
    made = _made_by(path, "studies", absent=())
    several = tuple(made) if isinstance(made, Iterable) else (made,)
    if not all(isinstance(each, Study) for each in several):
        raise ValueError(f"studies() of {quoted_path(path)} gives {quoted(several[:1])}: let it give a tuple of Study")
    return several or default_studies(_of_arithmetic(_from_file(path)))


def _made_by(path: Path, function: str, *, absent: Any = None) -> Any:
    """What the function of the file gives; `absent`, unless that is None, if there is no such function."""
    if not path.is_file():
        raise ValueError(f"grid is {quoted_path(path)}: there is no such file")
    try:
        module = _loaded(path)
        if not callable(getattr(module, function, None)):
            if absent is not None:
                return absent
            raise ValueError(f"it has no function {function}(); define one that gives a tuple of specs")
        return getattr(module, function)()
    except Exception as error:  # whatever the user's code raises is told by its place there
        raise ValueError(f"grid {quoted_path(path)} cannot be made: {_told(error, path)}") from error


def _claims_of_file(path: Path) -> tuple[str, ...]:
    found = getattr(_loaded(path), "CLAIMS", ())
    if not isinstance(found, tuple) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"CLAIMS of {quoted_path(path)} is {quoted(found)}: give a tuple of sentences")
    return found


def _loaded(path: Path) -> ModuleType:
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
