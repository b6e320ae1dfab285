"""The page on a user's own parts: its blocks, put together, are a grid that computes."""

import re
import sys
from pathlib import Path

import pytest

import subind
from subind.stages.trial import check_built
from sweeps.grids import read_grid

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"


@pytest.fixture
def cells(tmp_path: Path) -> tuple[object, ...]:
    file = tmp_path / "extending.py"
    file.write_text("\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)))
    return read_grid(str(file)).cells


def test_page_is_a_grid_that_computes_every_part_of_it(cells: tuple[subind.Run, ...], tmp_path: Path) -> None:
    recipient, measurement, mask = cells
    check_built(cells)
    measured = subind.compute(measurement, store=str(tmp_path / "store")).measurements
    assert 1 / 6 < measured["confidence"] <= 1
    left = subind.compute(recipient, store=str(tmp_path / "store"))
    assert left.measurements["frozen_fraction"] == 6 * 32 / (6 * 32 + 16 * 6)
    assert left.record.sources.keys() == {
        "extending:Larger", "extending:FirstLayer", "extending:gated",
    }  # fmt: skip
    found = subind.compute(mask, store=str(tmp_path / "store"))
    assert found.record.sources.keys() == {"extending:Larger", "extending:Sigmoid", "extending:gated"}
    sizes = {name: bits.numel() for name, bits in found.mask.items()}
    assert sizes == {"0.weight": 6 * 32, "2.weight": 16 * 6}
    starting_penalty = 1e-5 * 0.5 * sum(sizes.values())  # every logit is 0
    assert found.curves["penalty"][0] == pytest.approx(starting_penalty, rel=0.05)
    sys.modules.pop("subind_grid_extending", None)
