"""The settings of an experiment, and the combinations of them that the transfers of a grid have.

A setting is what a row tells of the experiment beyond its depth, control, number of samples and seed. A control without
a mask has no mask's settings, so the same run stands beside every penalty: a combination holds its own rows and, at the
depths that these have, the rows that lack a setting and agree in all others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.rows import controls
from analysis.rows.wording import DASH, listed

SETTINGS = {
    "rule": "rule",
    "modulus": "modulus",
    "num_integers": "integers",
    "d_model": "width",
    "subtask": "subtask",
    "num_ambiguous": "ambiguous samples",
    "penalty": "penalty",
    "temperature_schedule": "temperature schedule",
    "final_temperature": "final temperature",
}
"""The columns that are settings, each with its name in words."""

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A value of each varying setting, None where its rows have none, and the transfers that belong to it."""

    values: Mapping[str, Any]
    rows: pd.DataFrame

    @property
    def title(self) -> str:
        """The varying settings in words; empty if none varies."""
        return ", ".join(
            f"no {SETTINGS[name]}" if value is None else f"{SETTINGS[name]} {worded(value)}"
            for name, value in self.values.items()
        )

    def part(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table that carry the combination in its columns."""
        chosen = pd.Series(data=True, index=table.index)
        for name, value in self.values.items():
            chosen &= table[name].isna() if value is None else (table[name] == value).fillna(False).astype(bool)
        return table[chosen]

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with the combination's values as its first columns."""
        labels = {
            name: pd.Series([value] * len(table), index=table.index, dtype=self.rows[name].dtype)
            for name, value in self.values.items()
        }
        return pd.concat([pd.DataFrame(labels, index=table.index), table], axis=1) if labels else table


def varying(given: pd.DataFrame) -> list[str]:
    """The settings of which the transfers have several values."""
    return [name for name in SETTINGS if given[name].nunique() > 1]


def combinations(given: pd.DataFrame) -> list[Combination]:
    """The combinations of the varying settings that the transfers have, in order; one that holds all if none varies.

    Every transfer belongs to at least one: one that lacks a setting, to each combination of its depth that agrees with
    it, or if there is none, to a combination without that setting.
    """
    names = varying(given)
    if not names:
        return [Combination(values={}, rows=given)]
    planned = _tuples(given[[*names, "num_layers"]].drop_duplicates().sort_values(names))
    whole = [each for each in planned if not any(each != other and _agrees(each, other) for other in planned)]
    homes = {each: {other[:-1] for other in whole if _agrees(each, other)} for each in planned}
    placed = [homes[each] for each in _tuples(given[[*names, "num_layers"]])]
    return [
        Combination(values=dict(zip(names, values, strict=True)), rows=given[[values in each for each in placed]])
        for values in dict.fromkeys(each[:-1] for each in whole)
    ]


def distinct(cells: pd.DataFrame, given: pd.DataFrame, *, cell: list[str]) -> pd.DataFrame:
    """The cells of a table over the combinations of `given`, each once: a shared cell where it stands first."""
    names = varying(given)
    own = cells[[*names, *cell]].copy()
    for control, lacked in lacking(given).items():
        own.loc[own["control"] == control, lacked] = pd.NA
    return cells[~own.duplicated()]


def lacking(given: pd.DataFrame) -> dict[str, list[str]]:
    """The controls that lack a varying setting, each with those that it lacks, in the order of listing."""
    names = varying(given)
    of_control = {control: given[given["control"] == control] for control in controls.ordered(given["control"])}
    lacked = {control: [name for name in names if rows[name].isna().all()] for control, rows in of_control.items()}
    return {control: found for control, found in lacked.items() if found}


def sentences(given: pd.DataFrame) -> list[str]:
    """What a page says of the combinations; nothing if there is one."""
    names = varying(given)
    if not names:
        return []
    several = listed([SETTINGS[name] for name in names])
    count = f"The transfers have {len(combinations(given)):,} combinations of settings (what varies: {several}): each"
    return [
        f"{count} has its figures and its rows in the tables.",
        *(_shared(control, lacked) for control, lacked in lacking(given).items()),
    ]


def _shared(control: str, lacked: list[str]) -> str:
    return (
        f"{controls.label(control)} has no {listed([SETTINGS[name] for name in lacked])}: the same runs stand in every "
        "combination that differs only there, and are counted once."
    )


def shown(table: pd.DataFrame) -> dict[str, list[str]]:
    """The setting columns that the table has, in words, by heading."""
    return {
        heading: [DASH if pd.isna(value) else worded(value) for value in table[name]]
        for name, heading in SETTINGS.items()
        if name in table.columns
    }


def worded(value: Any) -> str:
    """A setting's value in words."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _tuples(frame: pd.DataFrame) -> list[Values]:
    """The rows, with None for what is absent."""
    return [tuple(None if pd.isna(value) else value for value in row) for row in frame.itertuples(index=False)]


def _agrees(row: Values, other: Values) -> bool:
    """Whether the row has nothing that the other has not."""
    return all(mine is None or mine == theirs for mine, theirs in zip(row, other, strict=True))
