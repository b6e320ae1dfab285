"""The grids: one module per experiment with a function `grid()`, and reading a grid by name or path.

A user's own grid is a Python file with the same function, given by its path. It may also define `studies()`, the
searches of `subind tune`; CLAIMS, sentences that the report judges; and KEEP, the recipients that leave weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from subind.specs.quoting import quoted

if TYPE_CHECKING:
    from subind.specs.run import Run
    from sweeps.grids.studies import Study

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

Keep = tuple[str, ...]
"""Names of starts whose recipients are kept, or EVERY."""

EVERY = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A grid, read once: its cells, its claims, and the recipients that leave their weights.

    `name` is the grid's name, or the path of its file; `own_studies` makes the studies that it defines, maybe none.
    `overrides` are the values of `--set`, as `field=value`.
    """

    name: str
    cells: tuple[Run, ...]
    claims: tuple[str, ...]
    keep: Keep
    own_studies: Callable[[], tuple[Study, ...]]
    overrides: tuple[str, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether it is a user's file."""
        return is_file(self.name)

    @property
    def label(self) -> str:
        """The grid's name in files and columns: its name or that of its file, and its overrides."""
        return "-".join([label(self.name), *(quote(each.replace("=", "_is_", 1), safe="") for each in self.overrides)])

    def studies(self) -> tuple[Study, ...]:
        """The studies of its masks: its own, or one around each mask's setting.

        Raises ValueError if the studies cannot be made.
        """
        from sweeps.grids.studies import default_studies

        return self.own_studies() or default_studies(self.cells)


def read_grid(name: str) -> Grid:
    """The grid of that name, or of the file at that path. Raises ValueError for any other, and for a bad file."""
    if is_file(name):
        from sweeps.grids import user_files

        path = Path(name)
        module = user_files.loaded(path)
        return Grid(
            name=name,
            cells=user_files.cells(path, module),
            claims=user_files.claims(path, module),
            keep=user_files.keep(path, module),
            own_studies=lambda: user_files.studies(path, module),
        )
    if name not in NAMES:
        raise ValueError(
            f"grid is {quoted(name)}: give one of {', '.join(NAMES)}, or the path of a .py file with grid()"
        )
    module = import_module(f"sweeps.grids.{name.replace('-', '_')}")
    return Grid(
        name=name,
        cells=module.grid(),
        claims=getattr(module, "CLAIMS", ()),
        keep=(),
        own_studies=getattr(module, "studies", tuple),
    )


def label(name: str) -> str:
    """What a grid of that name or path is called in files and columns."""
    return Path(name).stem if is_file(name) else name


def is_file(name: str) -> bool:
    """Whether the name of a grid is the path of a user's file."""
    return name.endswith(".py")
