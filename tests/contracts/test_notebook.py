"""The cells of docs/examples/notebook.ipynb, one after another, as a kernel runs them."""

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from tests.conftest import REPOSITORY

NOTEBOOK = REPOSITORY / "docs" / "examples" / "notebook.ipynb"


def ran(source: str, names: dict[str, Any]) -> Any:
    """The value of the cell's last expression, which a notebook shows."""
    *statements, last = ast.parse(source).body
    assert isinstance(last, ast.Expr)
    exec(compile(ast.Module(statements, []), NOTEBOOK.name, "exec"), names)
    return eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)


@pytest.fixture
def beside_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the folders that the notebook reads, so that its store is written elsewhere."""
    (tmp_path / "docs" / "examples").mkdir(parents=True)
    (tmp_path / "results").symlink_to(REPOSITORY / "results")
    (tmp_path / "docs" / "examples" / "digits_mlp.py").symlink_to(REPOSITORY / "docs" / "examples" / "digits_mlp.py")
    monkeypatch.chdir(tmp_path / "docs" / "examples")


@pytest.mark.usefixtures("beside_the_notebook")
def test_cells_show_a_table_a_figure_gaps_with_intervals_and_a_mask() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_bytes())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)
    names: dict[str, Any] = {"__name__": "__main__"}
    table, picture, gaps, mask = (ran("".join(cell["source"]), names) for cell in cells)
    sys.modules.pop("subind_grid_digits_mlp", None)
    assert {"subnetwork", "random init"} <= set(table["start"])
    assert table["low"].notna().all()
    assert isinstance(picture, Figure)
    assert len(picture.axes) >= 1
    assert len(gaps) >= 1
    assert (gaps["low"] < gaps["gap"]).all()
    assert (gaps["gap"] < gaps["high"]).all()
    assert list(mask) == ["0.weight", "2.weight", "4.weight"]
