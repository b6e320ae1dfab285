"""The experiments, one module each with `grid()`, a tuple of runs; by the names the command line gives them.

A user's own grid is a Python file with the same function, given by its path. Along with `grid()` may stand
`studies()`, what `subind tune` searches for the masks of the grid; CLAIMS; and KEEP, which recipients leave weights.
"""

from pathlib import Path

from subind.specs.quoting import quoted
from subind.specs.runs import Run
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
from sweeps.grids.studies import Study, default_studies
from sweeps.grids.user_files import Keep, cells_of_file, claims_of_file, keep_of_file, studies_of_file

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


def grid(name: str) -> tuple[Run, ...]:
    """The cells of a grid, by its name or the path of its file. Raises ValueError for any other."""
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
            return cells_of_file(Path(name))
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
            return studies_of_file(Path(name)) or default_studies(grid(name))
        case _:
            return default_studies(grid(name))


def claims(name: str) -> tuple[str, ...]:
    """What a grid expects, in the sentences of its CLAIMS; nothing if it has none. Raises ValueError as `grid` does."""
    match name:
        case "figure-3-depth-2":
            return figure_3_depth_2.CLAIMS
        case "paper-arithmetic":
            return paper_arithmetic.CLAIMS
        case _ if name.endswith(".py"):
            return claims_of_file(Path(name))
        case _:
            return ()


def keep(name: str) -> Keep:
    """Which recipients of a grid leave their weights: the names of their starts, as its KEEP has them.

    Raises ValueError as `grid` does.
    """
    return keep_of_file(Path(name)) if name.endswith(".py") else ()


def label(name: str) -> str:
    """What a grid is called in files and columns: its name, or that of its file."""
    return Path(name).stem if name.endswith(".py") else name
