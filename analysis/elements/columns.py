"""Columns of a table: declared once, they give its numbers their types and its page their headings and words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.rows.settings import worded, words
from analysis.rows.wording import DASH

TEXT, INTEGER, NUMBER = "string", "Int64", "Float64"


def plain(value: Any) -> str:
    """The value as text; a dash for none."""
    return DASH if pd.isna(value) else str(value)


def of_planned(finished: Any, planned: Any) -> str:
    """How many finished, of those planned."""
    return f"{plain(finished)} / {plain(planned)}"


def percent(value: Any) -> str:
    """A share in percent."""
    return DASH if pd.isna(value) else f"{value:.1%}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name and type in files and, where it is shown, its heading and how it is written.

    `form` takes the value and those of the columns `more`. A column without a heading stands in files alone.
    """

    name: str
    dtype: str
    heading: str = ""
    form: Callable[..., str] = plain
    more: tuple[str, ...] = ()


def typed(
    rows: pd.DataFrame | Iterable[Mapping[str, Any]], columns: Sequence[Column], *, before: Sequence[str] = ()
) -> pd.DataFrame:
    """The rows as a table of the columns, with their types, after the columns `before`, which keep theirs."""
    names = [*before, *(each.name for each in columns)]
    frame = rows.reindex(columns=names) if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=names)
    types: dict[str, Any] = {each.name: each.dtype for each in columns}
    return frame.astype(types)


def in_words(table: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """The table in words, one text column per heading: first what is no column of these, which are settings."""
    own = {each.name for each in columns}
    settings = [Column(name, TEXT, words(name), worded) for name in table.columns if name not in own]
    shown = [each for each in (*settings, *columns) if each.heading and each.name in table.columns]
    return pd.DataFrame(
        {
            each.heading: [
                each.form(*values) for values in zip(*(table[name] for name in (each.name, *each.more)), strict=True)
            ]
            for each in shown
        }
    )
