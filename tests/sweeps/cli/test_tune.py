"""`subind tune` on a study whose trials are made up: what it prints, what it writes, and its exit status."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from subind.identity.run_ids import run_id
from subind.store.store import Store
from sweeps import grids
from sweeps.cli.__main__ import command as main
from sweeps.grids import tuned
from sweeps.grids.overrides import overridden
from sweeps.grids.studies import values_of
from sweeps.tuning import session
from sweeps.tuning.objective import Pareto
from tests.sweeps.studies import commit_made_up

Answer = tuple[int, str, str]
Call = Callable[..., Answer]

GRID = """
from dataclasses import replace

from subind.specs.tuning import TuningValidation
from sweeps.grids.studies import study_around
from tests.specs import tiny_mask, tiny_transfer


def grid():
    return (tiny_transfer(mask=tiny_mask(num_epochs=6)),)


def studies():
    return (study_around(tiny_mask(num_epochs=6), num_seeds=1, num_transfer_samples=12),)
"""


@pytest.fixture
def subind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command in a folder with the grid `mine.py`; gives exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(GRID)

    def call(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["subind", "tune", "mine.py", *arguments])
        status: Any = 0
        try:
            main()
        except SystemExit as ending:
            status = ending.code
        told = capsys.readouterr()
        return int(status or 0), told.out, told.err

    return call


@pytest.fixture
def trained(tmp_path: Path, subind: Call) -> Store:
    """A store in which five trials of the study have results."""
    store = Store(str(tmp_path / "store"))
    found = session.opened(grids.read_grid("mine.py"), store, storage=None, name=None, objective=Pareto())
    (trials,) = found.studies
    for trial in [trials.ask() for _ in range(5)]:
        commit_made_up(store, [trial.mask])
        trials.tell(trial, store.record(trial.mask))
    return store


def test_tune_with_a_rule_that_is_none_is_refused_before_anything_is_made(subind: Call, tmp_path: Path) -> None:
    status, _, err = subind("--choose", "elbow")
    assert status == 2
    assert err.startswith("subind: --choose is 'elbow': give knee, or floor=")
    assert not (tmp_path / "store").exists()


def test_tune_that_is_to_choose_from_no_trials_says_what_to_give(subind: Call) -> None:
    status, _, err = subind("--choose", "knee")
    assert (status, err) == (2, "subind: no trial of the study is finished: give --trials\n")


def test_tune_on_a_store_that_is_no_folder_needs_a_database(subind: Call) -> None:
    status, _, err = subind("--store", "memory://somewhere")
    assert status == 2
    assert "--storage is unset and the store is no local folder: give the URL of a PostgreSQL database" in err


def test_tune_with_a_database_that_cannot_be_opened_names_it_without_its_password(subind: Call) -> None:
    status, _, err = subind("--storage", "sqlite:////no/such/folder/x.db")
    assert status == 2
    assert "--storage sqlite:////no/such/folder/x.db cannot be opened" in err


def test_choice_is_written_with_the_trial_and_the_fingerprint_of_its_run(
    subind: Call, trained: Store, tmp_path: Path
) -> None:
    status, out, err = subind("--choose", "floor=0.5", "--output", "chosen.json")
    assert (status, err) == (0, "")
    (choice,) = tuned.read(tmp_path / "chosen.json")
    records = {run: trained.record_in(folder, run) for run, folder in _folders(trained).items()}
    feasible = {
        run: record.measurements["density"]
        for run, record in records.items()
        if record.measurements["tuning_accuracy"] >= 0.5
    }
    assert choice.fingerprint == min(feasible, key=feasible.__getitem__)
    assert choice.objectives["density"] == feasible[choice.fingerprint]
    assert f"trial {choice.trial} is chosen by floor=0.5" in out


def _folders(store: Store) -> dict[str, str]:
    return {path.name.rpartition("-")[2]: str(path) for path in Path(store.url).glob("runs/mask/*")}


def test_choice_of_a_grid_stands_in_the_folder_of_choices_by_the_grids_name(
    subind: Call, trained: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.grids.tuned.FOLDER", tmp_path / "choices")
    assert subind("--choose", "knee")[0] == 0
    data = json.loads((tmp_path / "choices" / "mine.json").read_text())
    assert data["grid"] == "mine"
    like = grids.read_grid("mine.py").cells[0]
    assert run_id(tuned.mask(like.start.mask, grid="mine")) == data["choices"][0]["fingerprint"]


def test_tune_prints_the_front_and_counts_its_trials(subind: Call, trained: Store) -> None:
    status, out, err = subind()
    assert (status, err) == (0, "")
    assert "front of mine/axb-layers2-seed0/front" in out
    assert "5 finished, 0 stopped, 0 failed, 0 running, 0 waiting" in out
    assert "trials: results/mine.tuning.parquet" in out
    assert "report: reports/mine/index.html" in out
    assert "The published setting has no mask that keeps a weight" in out
    assert "The importance of each setting cannot be computed: 5 trials are finished, and PED-ANOVA needs 10." in out


def test_tune_says_what_it_does_before_anything_else(subind: Call, trained: Store) -> None:
    first = subind()[1].splitlines()[0]
    assert first.endswith("· mine.py: the grid is read, and the studies are opened")


def test_tune_without_a_choice_ends_with_the_command_that_chooses(subind: Call, trained: Store) -> None:
    assert subind("--store", trained.url)[1].splitlines()[-1] == (
        f"choose a trial: subind tune mine.py --choose knee --store {trained.url}"
    )


def test_tune_with_a_choice_ends_with_the_command_that_sweeps_its_setting(subind: Call, trained: Store) -> None:
    _, out, _ = subind("--choose", "knee", "--output", "chosen.json")
    purpose, _, line = out.splitlines()[-1].partition(": ")
    assert (purpose, line.split()[:3]) == ("sweep the choice", ["subind", "run", "mine.py"])
    (choice,) = tuned.read(Path("chosen.json"))
    cells = overridden(grids.read_grid("mine.py"), line.split()[4::2]).cells
    assert [values_of(cell.start.mask) for cell in cells] == [choice.parameters]


def test_tune_on_a_grid_that_sweeps_the_penalty_says_how_a_grid_file_takes_the_choice(
    subind: Call, trained: Store, tmp_path: Path
) -> None:
    both = "tuple(tiny_transfer(mask=tiny_mask(num_epochs=6, penalty=each)) for each in (1e-7, 1e-5))"
    (tmp_path / "mine.py").write_text(GRID.replace("(tiny_transfer(mask=tiny_mask(num_epochs=6)),)", both))
    _, out, _ = subind("--choose", "knee", "--output", "chosen.json")
    assert out.splitlines()[-1] == "in a grid file, tuned.mask(MASK, grid='chosen.json') is the chosen mask"
