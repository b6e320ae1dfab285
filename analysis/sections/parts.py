"""What a section is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.rows.load import transfers
from analysis.rows.settings import Combination, combinations


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table of the report: its numbers, and the same in words; its files have the name of its section."""

    numbers: pd.DataFrame
    shown: pd.DataFrame
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure of the report, what it shows for those who cannot see it, and the name of its files.

    `draw` makes the figure in another process: it is a function of a module with its arguments.
    `fingerprint` is that of what it was made from, if that is not the rows.
    """

    name: str
    draw: Callable[[], Figure]
    title: str
    description: str
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page: sentences, pictures, a table. Any of them may be absent."""

    name: str
    title: str
    sentences: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    sheet: Sheet | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Result rows, the file that they come from, which has their curves, and the combinations of settings."""

    path: Path
    rows: pd.DataFrame
    combinations: tuple[Combination, ...]

    @staticmethod
    def of(path: Path, rows: pd.DataFrame) -> "Results":
        """The results of loaded rows."""
        return Results(path=path, rows=rows, combinations=tuple(combinations(transfers(rows))))

    def endings(self) -> list[str]:
        """What tells the files of one combination from those of another; nothing if there is one."""
        num = len(self.combinations)
        return [f"-{place}" for place in range(1, num + 1)] if num > 1 else [""]


def titled(text: str, combination: Combination) -> str:
    """A title that names the combination if there are several."""
    return f"{text}, {combination.title}" if combination.title else text
