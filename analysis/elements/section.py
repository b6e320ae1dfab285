"""A section of the report: one module of `analysis.sections` declares it, and fills it from rows."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from analysis.elements.columns import Column, in_words
from analysis.rows import images, recipients
from analysis.rows.load import load, transfers
from analysis.rows.settings import Setting, settings_of_arithmetic

Rows = Literal["arithmetic", "images", "others", "measured"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """The rows of a file by what they are about, each of which may have none; the file has their curves."""

    path: Path
    arithmetic: pd.DataFrame
    images: pd.DataFrame
    others: pd.DataFrame
    measured: pd.DataFrame

    @staticmethod
    def read(path: Path) -> "Results":
        """The rows of a file. Raises FileNotFoundError or ValueError if they cannot be read."""
        return Results(
            path=path,
            arithmetic=load(path),
            images=images.rows(path),
            others=recipients.rows(path),
            measured=recipients.measurements(path),
        )

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Those of the recipients of arithmetic."""
        return tuple(settings_of_arithmetic(transfers(self.arithmetic)))

    @cached_property
    def compared(self) -> recipients.Comparison:
        """The recipients of any other task."""
        return recipients.compared(self.others)

    def every(self) -> pd.DataFrame:
        """All rows, each run once."""
        runs = self.measured.drop_duplicates("run_id")
        several = [each for each in (self.arithmetic, self.images, self.others, runs) if len(each)]
        return pd.concat(several, ignore_index=True) if len(several) > 1 else several[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure of the report, what it shows for those who cannot see it, and the name of its files.

    `draw` makes the figure in another process: it is a function of a module with its arguments. `fingerprint` is that
    of what it was made from, if that is not the rows.
    """

    name: str
    draw: Callable[[], Figure]
    title: str
    description: str
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a section says of some rows: sentences, pictures, a table. Any of them may be absent.

    `shown` is the table in words where that is not its columns in words.
    """

    sentences: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    table: pd.DataFrame | None = None
    shown: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What a module declares: the name of its files, its title and place, the rows that it needs, and its columns.

    `content` fills it, with None where there is nothing to say: the section is absent then. `methods` are sentences
    that hold for all its numbers.
    """

    name: str
    title: str
    place: int
    of: Rows | Literal["any"]
    content: Callable[[Results], Content | None]
    columns: Sequence[Column] = ()
    caption: str = ""
    methods: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A section with its content, as a page takes it."""

    section: Section
    content: Content
    shown: pd.DataFrame | None


def filled(section: Section, results: Results) -> Filled | None:
    """The section of the rows; None where it has none that it needs, or nothing to say."""
    if section.of != "any" and getattr(results, section.of).empty:
        return None
    content = section.content(results)
    if content is None:
        return None
    shown = content.shown
    if shown is None and content.table is not None:
        shown = in_words(content.table, section.columns)
    return Filled(section=section, content=content, shown=shown)


def declared(room: ModuleType) -> list[Section]:
    """The sections that the modules of a package declare, by their place."""
    modules = [importlib.import_module(f"{room.__name__}.{each.name}") for each in pkgutil.iter_modules(room.__path__)]
    return sorted((each.SECTION for each in modules), key=lambda section: section.place)


def endings(num: int) -> list[str]:
    """What tells the files of one of several pictures from those of another; nothing if there is one."""
    return [f"-{place}" for place in range(1, num + 1)] if num > 1 else [""] * num


def titled(text: str, setting: Setting) -> str:
    """A title that names the setting if there are several."""
    return f"{text}, {setting.title}" if setting.title else text
