"""The settings that rows have: what is held equal where starts are compared, the same for every task.

A setting is a value of each column that varies, a start and a seed being no such column. A start without a mask has no
mask's columns, so the same run stands beside every penalty: a setting holds its own rows and those that lack a value
and agree in all others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.rows import controls
from analysis.rows.wording import DASH, listed

NAMES = {
    "task": "task",
    "model": "network",
    "subtask": "subtask",
    "donor_kind": "donor",
    "held": "held",
    "num_layers": "layers",
    "d_model": "width",
    "rule": "rule",
    "modulus": "modulus",
    "num_integers": "integers",
    "num_ambiguous": "ambiguous samples",
    "num_disambiguation": "disambiguation samples",
    "shape_predictivity": "shape predictivity",
    "texture_predictivity": "texture predictivity",
    "shape_contrast": "shape contrast",
    "texture_contrast": "texture contrast",
    "image_size": "image size",
    "penalty": "penalty",
    "temperature_schedule": "temperature schedule",
    "final_temperature": "final temperature",
    "kept_epoch": "kept epoch",
    "evaluations_per_epoch": "evaluations an epoch",
}
"""Columns that may tell settings apart, before those that tasks, networks and starts add, each with its name."""

ARITHMETIC = (
    *("rule", "modulus", "num_integers", "d_model", "subtask", "num_ambiguous"),
    *("penalty", "temperature_schedule", "final_temperature"),
)
"""Those of recipients of arithmetic, whose depth and number of samples are axes of their pictures."""

PLAIN = ("task", "model")
"""Columns whose values stand for themselves in a title."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value of each varying column, None where its rows have none, and the rows of a table that belong to it."""

    values: Mapping[str, Any]
    rows: pd.DataFrame

    @property
    def title(self) -> str:
        """The values in words; empty if no column varies."""
        begin = {name: "" if name in PLAIN else f"{words(name)} " for name in self.values}
        return ", ".join(
            f"no {words(name)}" if value is None else f"{begin[name]}{worded(value)}"
            for name, value in self.values.items()
        )

    def part(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table that carry the setting in its columns."""
        chosen = pd.Series(data=True, index=table.index)
        for name, value in self.values.items():
            chosen &= table[name].isna() if value is None else (table[name] == value).fillna(False).astype(bool)
        return table[chosen]

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with the setting's values as its first columns."""
        labels = {
            name: pd.Series([value] * len(table), index=table.index, dtype=self.rows[name].dtype)
            for name, value in self.values.items()
        }
        return pd.concat([pd.DataFrame(labels, index=table.index), table], axis=1) if labels else table


def varying(rows: pd.DataFrame, names: Sequence[str] = ARITHMETIC, *, within: Sequence[str] = ()) -> list[str]:
    """Those of the columns of which rows that agree in `within` have several values."""
    if not within:
        return [name for name in names if rows[name].nunique() > 1]
    groups = rows.groupby(list(within), dropna=False)
    return [name for name in names if (groups[name].nunique() > 1).any()]


def settings(table: pd.DataFrame, names: Sequence[str], *, within: Sequence[str] = ()) -> list[Setting]:
    """The settings of the columns that the rows of a table have, in order; one that holds all where there is no column.

    Every row belongs to at least one: one that lacks a value, to each setting that agrees with it at the same values of
    `within`, or if there is none, to a setting without that value.
    """
    if not names:
        return [Setting(values={}, rows=table)]
    key = [*names, *within]
    planned = _tuples(table[key].drop_duplicates().sort_values(list(names)))
    whole = [each for each in planned if not any(each != other and _agrees(each, other) for other in planned)]
    homes = {each: {other[: len(names)] for other in whole if _agrees(each, other)} for each in planned}
    placed = [homes[each] for each in _tuples(table[key])]
    return [
        Setting(values=dict(zip(names, values, strict=True)), rows=table[[values in each for each in placed]])
        for values in dict.fromkeys(each[: len(names)] for each in whole)
    ]


def settings_of_arithmetic(given: pd.DataFrame) -> list[Setting]:
    """The settings of recipients of arithmetic; a run without a mask belongs to those of its depth."""
    return settings(given, varying(given), within=["num_layers"])


def agrees(rows: pd.DataFrame, values: Mapping[str, Any]) -> "pd.Series[bool]":
    """Which rows have the values, or lack what they say: a start without a mask belongs to every penalty."""
    found = pd.Series(data=True, index=rows.index)
    for name, value in values.items():
        same = rows[name].isna() if pd.isna(value) else rows[name].isna() | (rows[name] == value).fillna(False)
        found &= same.astype(bool)
    return found


def distinct(cells: pd.DataFrame, given: pd.DataFrame, *, cell: list[str]) -> pd.DataFrame:
    """The cells of a table over the settings of `given`, each once: a shared cell where it stands first."""
    names = varying(given)
    own = cells[[*names, *cell]].copy()
    for control, lacked in lacking(given).items():
        own.loc[own["control"] == control, lacked] = pd.NA
    return cells[~own.duplicated()]


def lacking(given: pd.DataFrame) -> dict[str, list[str]]:
    """The controls that lack a varying column, each with those that it lacks, in the order of listing."""
    names = varying(given)
    of_control = {control: given[given["control"] == control] for control in controls.ordered(given["control"])}
    lacked = {control: [name for name in names if rows[name].isna().all()] for control, rows in of_control.items()}
    return {control: found for control, found in lacked.items() if found}


def sentences(given: pd.DataFrame) -> list[str]:
    """What a page says of the settings; nothing if there is one."""
    names = varying(given)
    if not names:
        return []
    several = listed([words(name) for name in names])
    count = f"The transfers have {len(settings_of_arithmetic(given)):,} combinations of settings"
    return [
        f"{count} (what varies: {several}): each has its figures and its rows in the tables.",
        *(_shared(control, lacked) for control, lacked in lacking(given).items()),
    ]


def _shared(control: str, lacked: list[str]) -> str:
    return (
        f"{controls.label(control)} has no {listed([words(name) for name in lacked])}: the same runs stand in every "
        "combination that differs only there, and are counted once."
    )


def shown(table: pd.DataFrame, names: Sequence[str] = ARITHMETIC) -> dict[str, list[str]]:
    """Those of the columns that the table has, in words, by heading."""
    return {words(name): list(map(worded, table[name])) for name in names if name in table.columns}


def words(name: str) -> str:
    """The name of a column in words."""
    return NAMES.get(name, name.removeprefix("num_").replace("_", " "))


def worded(value: Any) -> str:
    """A value of a setting in words; a dash for none."""
    if pd.isna(value):
        return DASH
    return f"{value:,.12g}" if isinstance(value, int | float | np.number) else str(value)


Values = tuple[Any, ...]


def _tuples(frame: pd.DataFrame) -> list[Values]:
    """The rows, with None for what is absent."""
    return [tuple(None if pd.isna(value) else value for value in row) for row in frame.itertuples(index=False)]


def _agrees(row: Values, other: Values) -> bool:
    """Whether the row has only what the other has as well."""
    return all(mine is None or mine == theirs for mine, theirs in zip(row, other, strict=True))
