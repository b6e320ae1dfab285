"""The README's blocks of Python do what the text around them says."""

import contextlib
import io
import re
import sys
from pathlib import Path

import pytest

from subind.specs.run import lineage
from sweeps.grids import read_grid

README = Path(__file__).resolve().parents[2] / "README.md"


def block(beginning: str) -> str:
    """The one block of Python with that text."""
    (found,) = [each for each in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if beginning in each]
    return found


def test_library_block_computes_a_donor_a_mask_and_two_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(block("import subind as si"), "README.md", "exec"), {"__name__": "readme"})
    lines = dict(line.split() for line in said.getvalue().splitlines())
    assert lines.keys() == {"subnetwork", "random_subnetwork"}
    assert float(lines["subnetwork"]) > float(lines["random_subnetwork"]) + 0.1
    assert {path.parent.parent.name for path in Path("store").glob("runs/*/*/record.json")} == {
        "donor",
        "mask",
        "transfer",
    }


def test_grid_block_plans_as_many_runs_as_the_text_says(tmp_path: Path) -> None:
    file = tmp_path / "penalties.py"
    file.write_text(block("# penalties.py"))
    cells = read_grid(str(file)).cells
    sys.modules.pop("subind_grid_penalties", None)
    stages = [run.stage for run in dict.fromkeys(run for cell in cells for run in lineage(cell))]
    assert [stages.count(stage) for stage in ("donor", "mask", "transfer")] == [3, 9, 9]
    assert "3 donors, 9 masks, 9 transfers" in README.read_text()
