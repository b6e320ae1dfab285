"""Sections are found by themselves, and their columns give a table its types and its words."""

from itertools import pairwise

import pandas as pd

from analysis import sections
from analysis.elements.columns import INTEGER, NUMBER, Column, in_words, of_planned, typed
from analysis.elements.section import declared
from analysis.rows.wording import interval
from tests.conftest import REPOSITORY

COLUMNS = (
    Column("num_finished", INTEGER, "n / planned", of_planned, ("num_planned",)),
    Column("num_planned", INTEGER),
    Column("low", NUMBER, "interval", interval, ("high",)),
    Column("high", NUMBER),
)


def test_every_module_declares_a_section_with_a_place_and_a_name_of_its_own() -> None:
    found = declared(sections)
    modules = [path for path in (REPOSITORY / "analysis" / "sections").glob("*.py") if path.name != "__init__.py"]
    assert len(found) == len(modules) == len({each.name for each in found})
    assert all(one.place < other.place for one, other in pairwise(found))


def test_columns_in_words_put_settings_first_and_leave_out_what_has_no_heading() -> None:
    rows = [{"penalty": 1e-7, "num_finished": 2, "num_planned": 3, "low": 0.25, "high": None}, {"num_finished": 0}]
    table = typed(rows, COLUMNS, before=["penalty"])
    assert table.dtypes.astype(str).to_list()[1:] == ["Int64", "Int64", "Float64", "Float64"]
    assert table["high"].isna().all()
    shown = in_words(table.assign(high=pd.Series([0.5, None], dtype="Float64")), COLUMNS)
    assert shown.to_dict("list") == {
        "penalty": ["1e-07", "–"],
        "n / planned": ["2 / 3", "0 / –"],
        "interval": ["[0.250, 0.500]", "–"],
    }
