"""The experiments, one module each with `grid()`, a tuple of transfer specs; by the names the command line gives them."""

from subind.spec import Transfer
from sweeps.grids import figure_3_depth_2, paper_arithmetic, quickstart

NAMES = ("quickstart", "figure-3-depth-2", "paper-arithmetic")


def grid(name: str) -> tuple[Transfer, ...]:
    """The transfers of a grid. Raises ValueError if there is no grid of that name."""
    match name:
        case "quickstart":
            return quickstart.grid()
        case "figure-3-depth-2":
            return figure_3_depth_2.grid()
        case "paper-arithmetic":
            return paper_arithmetic.grid()
        case _:
            raise ValueError(f"grid is {name!r}: give one of {', '.join(NAMES)}")
