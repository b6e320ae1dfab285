"""The page on a user's own parts: its blocks, put together, are a grid that computes; so is the mask method."""

import re
import sys
from pathlib import Path

import pytest

import subind
from subind.stages.trial import check_built
from sweeps.grids import read_grid
from tests.conftest import REPOSITORY
from tests.specs import tiny_mask

PAGE = REPOSITORY / "docs" / "extending.md"
METHOD = REPOSITORY / "docs" / "examples" / "mask_method.py"


def test_page_is_a_grid_that_computes_every_part_of_it(tmp_path: Path) -> None:
    file = tmp_path / "extending.py"
    file.write_text("\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)))
    recipient, measurement = cells = read_grid(str(file)).cells
    check_built(cells)
    measured = subind.compute(measurement, store=str(tmp_path / "store")).measurements
    assert 1 / 6 < measured["confidence"] <= 1
    left = subind.compute(recipient, store=str(tmp_path / "store"))
    assert left.measurements["frozen_fraction"] == 6 * 32 / (6 * 32 + 16 * 6)
    assert left.record.sources.keys() == {
        "extending:Larger", "extending:FirstLayer", "extending:gated",
    }  # fmt: skip
    assert recipient.start.name == "first_layer"
    sys.modules.pop("subind_grid_extending", None)


def test_mask_method_of_the_examples_starts_at_half_of_every_weight(tmp_path: Path) -> None:
    cells = read_grid(str(METHOD)).cells
    check_built(cells[:1])
    found = subind.compute(tiny_mask(method=cells[0].method), store=str(tmp_path / "store"))
    assert "mask_method:Sigmoid" in found.record.sources
    num_maskable = sum(bits.numel() for bits in found.mask.values())
    starting_penalty = 1e-5 * 0.5 * num_maskable  # every logit is 0
    assert found.curves["penalty"][0] == pytest.approx(starting_penalty, rel=0.05)
    sys.modules.pop("subind_grid_mask_method", None)
