"""The directions of imports, as import-linter reads them and as an interpreter finds them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

LIGHT = {
    "subind.identity.run_ids": {"torch", "ray", "mlflow", "optuna", "pandas"},
    "subind.store.store": {"torch", "ray", "mlflow", "optuna", "pandas"},
    "subind.stages.run": {"ray", "mlflow", "optuna", "pandas"},
    "sweeps.grids": {"torch", "ray", "mlflow", "optuna"},
    "analysis": {"torch", "ray", "mlflow", "optuna", "sweeps", "subind.specs.runs"},
}


def test_imports_of_the_three_packages_keep_every_contract() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    linted = subprocess.run([program, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("module", LIGHT)
def test_import_of_a_light_module_leaves_the_heavy_ones_unloaded(module: str) -> None:
    program = f"import {module}, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    assert LIGHT[module].isdisjoint(loaded)
