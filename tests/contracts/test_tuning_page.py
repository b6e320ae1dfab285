"""The page on tuning: its blocks are studies of a grid, and the mask that was chosen."""

import re
import sys
from pathlib import Path
from typing import Any

from sweeps.grids import read_grid, tuned
from sweeps.grids.studies import Epochs, Range, values_of
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "tuning.md"


def block(beginning: str) -> str:
    """The one block of Python with that text."""
    (found,) = [each for each in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if beginning in each]
    return found


def test_block_of_studies_searches_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "paged.py"
    file.write_text("from sweeps.grids.figure_3_depth_2 import grid, mask\n" + block("def studies()"))
    (study,) = read_grid(str(file)).studies()
    sys.modules.pop("subind_grid_paged", None)
    assert (study.penalty, study.num_epochs) == (Range(low=1e-7, high=1e-4, scale="log"), Epochs(low=8, high=24))
    assert (study.base.rows[0].num_samples, study.base.batch_size) == (10_000, 250)
    assert study.published.batch_size == 500


def test_block_of_the_choice_gives_the_chosen_setting() -> None:
    names: dict[str, Any] = {}
    exec(compile(block("tuned.mask("), "tuning.md", "exec"), names)
    (choice,) = tuned.read(tuned.file_of("figure-3-depth-2"))
    assert values_of(names["mask"]) == choice.parameters
