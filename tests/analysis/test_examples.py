"""The examples in docstrings give what they say, on the committed rows."""

import doctest
import importlib

import pytest

from tests.conftest import REPOSITORY

MODULES = (
    "analysis.claims",
    "analysis.compare",
    "analysis.load",
    "analysis.statistics.improvement",
    "analysis.statistics.intervals",
    "analysis.statistics.multiplicity",
    "analysis.statistics.paired",
    "analysis.tables.anatomy",
    "analysis.tables.audit",
    "analysis.tables.efficiency",
    "analysis.tables.frozen",
    "analysis.tables.masks_by_depth",
    "analysis.tables.per_depth",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_give_what_they_say(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(REPOSITORY)
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0
