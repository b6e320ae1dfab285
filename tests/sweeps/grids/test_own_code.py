"""A user's own task, network and start in a grid file and a package next to it: found by the driver and by workers."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from subind.identity.parts import source_digests
from subind.identity.run_ids import canonical_json, run_id
from subind.store.store import Store
from sweeps import grids
from sweeps.grids.own_code import NO_OWN_CODE, OwnCode, install, own_code, own_files
from sweeps.planning.plan import with_parents
from tests.subind.records import small_record
from tests.sweeps.conftest import Call

TASKS = """
from dataclasses import dataclass
import torch
from subind import Task

@dataclass(frozen=True, kw_only=True)
class Sums(Task):
    length: int

    def rows(self, part, *, num_rows, key):
        numbers = torch.rand(num_rows, self.length, generator=key.generator())
        return {"inputs": numbers, "targets": (numbers.sum(1) > self.length / 2).long()}

    def loss(self, outputs, rows):
        return torch.nn.functional.cross_entropy(outputs, rows["targets"], reduction="none")

    def measure(self, outputs, rows):
        return {"accuracy": (outputs.argmax(-1) == rows["targets"]).double().mean().item()}
"""

GRID = """
import torch
from own_tasks.sums import Sums
from subind import *
from tests.specs import tiny_donor

def linear(width: int):
    return torch.nn.Linear(width, 2)

def grid():
    network = AnyModule(make=linear, arguments={"width": 3}, maskable=("weight",))
    rows = (Part(name="numbers", num_samples=40),)
    yield from (tiny_donor(task=Sums(length=3), model=network, rows=rows, seed=seed) for seed in range(2))
"""

WORKER = """
import json, sys
from sweeps.grids.own_code import OwnCode, install
from subind.identity.run_ids import decode, run_id
data = json.load(sys.stdin)
files = {name: text.encode() for name, text in data["files"].items()}
install(OwnCode(grid=data["grid"], files=files, modules=tuple(data["modules"]), functions=tuple(data["functions"])))
for text in data["specs"]:
    print(run_id(decode(json.loads(text))))
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    package = tmp_path / "own_tasks"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "sums.py").write_text(TASKS)
    (package / "not_imported.py").write_text("1 / 0\n")
    (tmp_path / "beside.py").write_text("1 / 0\n")
    path = tmp_path / "own.py"
    path.write_text(GRID)
    return path


def sent(grid: Path) -> OwnCode:
    return own_code(str(grid), with_parents(grids.read_grid(str(grid)).cells).values())


def told(code: OwnCode, specs: list[str]) -> str:
    """What a worker gets, as JSON."""
    files = {name: content.decode() for name, content in code.files.items()}
    about = {"grid": code.grid, "files": files, "modules": code.modules, "functions": code.functions}
    return json.dumps({**about, "specs": specs})


def test_files_of_a_grid_are_those_that_it_imports_from_its_folder(grid: Path) -> None:
    grids.read_grid(str(grid))
    assert set(own_files(grid)) == {"own.py", "own_tasks/__init__.py", "own_tasks/sums.py", "own_tasks/not_imported.py"}


def test_code_of_a_grid_names_its_modules_and_functions(grid: Path) -> None:
    code = sent(grid)
    assert code.modules == ("own_tasks.sums", "subind_grid_own")
    assert code.functions == ("subind_grid_own:linear",)


def test_another_process_reads_the_runs_with_the_same_ids(grid: Path, tmp_path: Path) -> None:
    cells = grids.read_grid(str(grid)).cells
    given = told(sent(grid), [canonical_json(each) for each in cells])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WORKER], input=given, cwd=elsewhere, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [run_id(each) for each in cells]


def test_process_that_lacks_the_code_reads_no_run(grid: Path) -> None:
    given = told(NO_OWN_CODE, [canonical_json(each) for each in grids.read_grid(str(grid)).cells])
    done = subprocess.run([sys.executable, "-c", WORKER], input=given, capture_output=True, text=True, check=False)
    assert "which is not loaded" in done.stderr


def test_grid_of_ours_sends_nothing() -> None:
    cells = grids.read_grid("figure-3-depth-2").cells
    assert own_code("figure-3-depth-2", with_parents(cells).values()) == NO_OWN_CODE


def test_module_that_a_worker_lacks_is_named_with_the_remedy() -> None:
    code = OwnCode(grid="", files={}, modules=("nowhere_at_all",), functions=())
    with pytest.raises(
        ValueError, match=r"nowhere_at_all of the grid cannot be imported here .* next to the grid file"
    ):
        install(code)


def test_grid_that_is_written_anew_is_read_anew_with_what_it_imports(grid: Path) -> None:
    before = grids.read_grid(str(grid)).cells
    (grid.parent / "own_tasks" / "sums.py").write_text(TASKS.replace("length: int", "length: int\n    version = 2"))
    assert {run_id(each) for each in grids.read_grid(str(grid)).cells}.isdisjoint(map(run_id, before))


def test_grid_that_stays_as_it_is_gives_equal_runs(grid: Path) -> None:
    first, second = ([run_id(each) for each in grids.read_grid(str(grid)).cells] for _ in range(2))
    assert first == second


def test_package_of_the_same_name_beside_another_grid_is_another(grid: Path, tmp_path: Path) -> None:
    grids.read_grid(str(grid))
    other = tmp_path / "other"
    (other / "own_tasks").mkdir(parents=True)
    (other / "own_tasks" / "__init__.py").touch()
    (other / "own_tasks" / "sums.py").write_text(TASKS.replace("length: int", "length: int\n    version = 7"))
    (other / "own.py").write_text(GRID)
    assert type(grids.read_grid(str(other / "own.py")).cells[0].task).version == 7
    assert type(grids.read_grid(str(grid)).cells[0].task).version == 1


def test_error_in_a_module_beside_the_grid_names_file_and_line(grid: Path) -> None:
    (grid.parent / "own_tasks" / "sums.py").write_text("x = 1\n1 / 0\n")
    with pytest.raises(ValueError, match=r"ZeroDivisionError: division by zero \(line 2 of own_tasks/sums\.py\)"):
        grids.read_grid(str(grid))


def test_plan_of_a_users_own_task_and_network_has_a_forecast(subind: Call, grid: Path) -> None:
    status, out, err = subind("plan", str(grid), "--json", "--device", "cpu")
    assert (status, err) == (0, "")
    assert json.loads(out)["missing"] == 2
    assert json.loads(out)["forecast_seconds"] > 0


def test_run_of_a_grid_file_is_chosen_by_a_column_of_its_task(subind: Call, grid: Path) -> None:
    where = ("--where", "model=linear_width3", "--where", "seed=1")
    status, out, _ = subind("plan", str(grid), "--json", "--device", "cpu", *where)
    assert (status, json.loads(out)["cells"]) == (0, 1)


def test_changed_class_of_the_same_version_is_told_by_a_plan(subind: Call, grid: Path, tmp_path: Path) -> None:
    cell = grids.read_grid(str(grid)).cells[0]
    store = Store(str(tmp_path / "store"))
    store.commit(cell, replace(small_record(cell), sources=source_digests(cell)), {"weights.safetensors": b""})
    assert subind("plan", "own.py", "--device", "cpu")[2] == ""
    sources = grid.parent / "own_tasks" / "sums.py"
    changed = TASKS.replace("/ 2).long()", "/ 3).long()")
    sources.write_text(changed)
    told = subind("plan", "own.py", "--device", "cpu")[2]
    assert told.startswith(f"the source of own_tasks.sums:Sums differs from that of run {run_id(cell)} was computed")
    sources.write_text(
        TASKS.replace("/ 2).long()", "/ 3).long()").replace("length: int", "version = 2\n    length: int")
    )
    assert subind("plan", "own.py", "--device", "cpu")[2] == ""
