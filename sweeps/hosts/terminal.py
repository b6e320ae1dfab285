"""Tables that stay readable on a narrow terminal: numbers are never shortened, names and texts are."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

WIDTH_OF_A_FILE = 200
"""Columns if the output is not a terminal."""


def terminal() -> Console:
    """Standard output with its own width, colours only on a terminal, and no markup in brackets."""
    plain = Console(highlight=False, markup=False)
    return plain if plain.is_terminal else Console(highlight=False, markup=False, width=WIDTH_OF_A_FILE)


def columns(first: str, *, words: Iterable[str] = (), numbers: Iterable[str] = (), last: str = "") -> Table:
    """A table with a name, short words, numbers, and, if it has a heading, a text that fills the rest."""
    of_words = [Column(each, no_wrap=True) for each in words]
    of_numbers = [Column(each, justify="right", no_wrap=True, min_width=len(each)) for each in numbers]
    of_text = [Column(last)] if last else []
    return Table(Column(first), *of_words, *of_numbers, *of_text, box=None, pad_edge=False)


def shortened(text: str, style: str = "") -> Text:
    """A name or a text of a table, on one line and shortened to fit."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def duration(seconds: float | None) -> str:
    """A duration in readable units."""
    if seconds is None:
        return "unknown yet"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
