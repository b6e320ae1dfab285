"""The commands of docs/tasks.md, on a tiny grid whose runs are computed here. What needs a cluster is only parsed."""

import ast
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
from safetensors.torch import load_file

from subind.store.store import Store
from sweeps.cli.application import app
from sweeps.grids import read_grid
from tests.conftest import REPOSITORY
from tests.subind.records import small_failure
from tests.sweeps.conftest import Call, subind  # noqa: F401  a fixture
from tests.sweeps.fabricated_grid import GRID, transfers

SECTIONS = {
    part.partition("\n")[0]: re.findall(r"```(?:python|sh)\n(.*?)```", part, re.DOTALL)
    for part in (REPOSITORY / "docs" / "tasks.md").read_text().split("\n## ")[1:]
}
CLAIMS = 'CLAIMS = ("subnetwork reaches 0.1 in most seeds at n = 4",)\n'
HERE = ("--in-process", "--device", "cpu")


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny grid, its store and its rows."""
    folder = tmp_path_factory.mktemp("computed")
    (folder / "GRID.py").write_text(GRID + CLAIMS)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(sys, "argv", ["subind", "run", "GRID.py", *HERE])
        typer.main.get_command(app).main(["run", "GRID.py", *HERE], standalone_mode=False)
    return folder


@pytest.fixture(autouse=True)
def here(computed: Path, subind: Call, tmp_path: Path) -> Path:  # noqa: F811
    """A copy of it, the current folder."""
    shutil.copytree(computed, tmp_path, dirs_exist_ok=True)
    return tmp_path


def commands(section: str) -> list[list[str]]:
    """The words of each command of a section, with the grid that is here."""
    (block,) = SECTIONS[section]
    return [shlex.split(line.replace("GRID", "GRID.py")) for line in block.splitlines()]


def ran(subind: Call, words: list[str], *more: str) -> str:  # noqa: F811
    """What a command says that succeeds."""
    assert words[0] == "subind"
    status, out, err = subind(*words[1:], *more)
    assert status == 0, (words, out, err)
    return out


def parsed(command: str, words: list[str]) -> dict[str, Any]:
    """The values of a command's options; fails for a word that it does not know."""
    group = typer.main.get_command(app)
    found = group.get_command(group.make_context("subind", [command]), command)  # type: ignore[attr-defined]
    return dict(found.make_context(command, words).params)


def value_of(section: str) -> tuple[Any, dict[str, Any]]:
    """The value of a block of Python, which a notebook shows, and its names."""
    (block,) = SECTIONS[section]
    *statements, last = ast.parse(block.replace('read_grid("GRID")', 'read_grid("GRID.py")')).body
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    exec(compile(ast.Module(statements, []), section, "exec"), names)
    return eval(compile(ast.Expression(last.value), section, "eval"), names), names


def test_every_task_has_one_block_of_at_most_two_commands() -> None:
    assert len(SECTIONS) == 10
    for blocks in SECTIONS.values():
        (block,) = blocks
        lines = [each for each in block.splitlines() if each and not each.startswith(("import", "from"))]
        assert 1 <= len(lines) <= 2


def test_two_starts_are_compared_with_an_interval() -> None:
    gaps, _ = value_of("Compare two starts, with an interval")
    assert gaps["num_disambiguation"].tolist() == [4, 8]
    assert gaps["num_pairs"].tolist() == [2, 2]
    assert (gaps["low"] <= gaps["gap"]).all()
    assert (gaps["gap"] <= gaps["high"]).all()


def test_mask_is_written_to_a_file(here: Path) -> None:
    _, names = value_of("Write one mask to a file")
    written = load_file(here / "mask.safetensors")
    kept = sum(int(bits.sum()) for bits in written.values()) / sum(bits.numel() for bits in written.values())
    assert kept == Store("store").record(names["recipient"].start.mask).measurements["density"]


def test_another_penalty_computes_masks_and_what_descends_from_them(subind: Call) -> None:  # noqa: F811
    plan, run = commands("Run with another λ")
    assert re.search(r"donor +2 +2 +0 +0 +0", ran(subind, plan, "--device", "cpu"))
    ran(subind, run, *HERE)
    assert len(list(Path("store/runs/donor").iterdir())) == 2
    assert len(list(Path("store/runs/mask").iterdir())) == 4


def test_commands_for_a_cluster_are_those_that_there_are(here: Path) -> None:
    slurm, submit = commands("Continue on a cluster")
    script = next(place for place, word in enumerate(slurm) if word.endswith(".sbatch"))
    assert (REPOSITORY / slurm[script]).is_file()
    for command, *words in (["run", *slurm[script + 1 :]], submit[1:]):
        assert parsed(command, words)["grid"] == "GRID.py"


def test_same_command_resumes(subind: Call) -> None:  # noqa: F811
    (run,) = commands("Stop and resume")
    shutil.rmtree(Store("store").folder(transfers(0)[0]))
    assert "12 of 12" in ran(subind, run, *HERE)
    assert Store("store").is_finished(transfers(0)[0])


def test_sweep_is_watched_by_its_store(subind: Call, here: Path) -> None:  # noqa: F811
    (watch,) = commands("Watch from another machine")
    out = ran(subind, [str(here / "store") if word.startswith("s3://") else word for word in watch])
    assert "12 of 12 runs finished" in out


def test_failed_run_is_explained_and_computed_again(subind: Call) -> None:  # noqa: F811
    status, run = commands("Run failed runs again")
    failed = transfers(0)[0]
    shutil.rmtree(Store("store").folder(failed))
    Store("store").fail(failed, small_failure(failed, attempts=3))
    assert "out of luck" in subind(*status[1:])[1]
    ran(subind, run, *HERE)
    assert Store("store").is_finished(failed)


def test_seeds_are_added_where_a_claim_is_undecided(subind: Call) -> None:  # noqa: F811
    (run,) = commands("Add seeds")
    ran(subind, run, *HERE)
    seeds = pq.read_table("results/GRID.parquet", columns=["num_disambiguation", "control", "seed"]).to_pandas()
    by_cell = seeds.groupby(["control", "num_disambiguation"])["seed"].nunique()
    assert by_cell["subnetwork", 4] > 2
    assert by_cell["random_init", 8] == 2


def test_curves_of_a_run_have_a_value_per_evaluation() -> None:
    curve, _ = value_of("Read the learning curves of a run")
    record = Store("store").record(read_grid("GRID.py").cells[0])
    assert len(curve) == len(record.curves["epoch"]) > 0


def test_mirror_is_completed_and_opened(subind: Call) -> None:  # noqa: F811
    sync, ui = commands("Open MLflow on the comparison")
    ran(subind, sync)
    assert parsed(*ui[1:2], ui[2:])["store"] == "store"
