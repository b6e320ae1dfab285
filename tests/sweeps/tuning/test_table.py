"""The table of a study's trials, and the importance of each parameter or why there is none."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from subind.store.store import Store
from sweeps.tuning.objective import Floor, Objective
from sweeps.tuning.table import importances, points, write_trials
from sweeps.tuning.trials import Trials
from tests.sweeps.studies import commit_made_up, made_up_record, small_trials


def told(folder: Path, num_trials: int, *, objective: Objective | None = None) -> Trials:
    """A study that has been told of so many trials."""
    trials = small_trials(folder, objective=objective)
    for _ in range(num_trials):
        trial = trials.ask()
        trials.tell(trial, made_up_record(trial.mask))
    return trials


def test_table_has_a_row_per_trial_and_the_published_setting(tmp_path: Path) -> None:
    trials, store = told(tmp_path, 12), Store(str(tmp_path / "store"))
    commit_made_up(store, [trials.definition.published])
    path = write_trials((trials,), store, tmp_path / "trials.parquet", chosen=frozenset())
    rows = pq.read_table(path).to_pylist()
    assert [row["trial"] for row in rows] == [*range(12), None]
    assert rows[-1]["state"] == "published"
    assert {row["num_tuning_samples"] for row in rows} == {20}
    best = {each.number for each in trials.study.best_trials}
    assert {row["trial"] for row in rows if row["is_on_front"]} == best
    assert [row["density"] for row in rows[:12]] == [each.density for each in points(trials)]


def test_importances_of_a_study_whose_outcome_follows_the_penalty_name_it_first(tmp_path: Path) -> None:
    found = importances(told(tmp_path, 30, objective=Floor(accuracy=0.01)).study)
    assert isinstance(found, dict)
    assert max(found, key=found.__getitem__) == "penalty"
    assert sum(found.values()) == pytest.approx(1)


def test_importances_of_few_trials_are_a_reason(tmp_path: Path) -> None:
    assert importances(told(tmp_path, 9).study) == "9 trials are finished, and PED-ANOVA needs 10"


def test_importances_of_trials_that_all_end_alike_are_a_reason(tmp_path: Path) -> None:
    trials = small_trials(tmp_path)
    for trial in [trials.ask() for _ in range(10)]:
        trials.tell(trial, made_up_record(trial.mask, accuracy=0.5, density=0.1))
    assert importances(trials.study) == "all finished trials have the same result"


def test_objectives_have_names_in_the_storage(tmp_path: Path) -> None:
    small_trials(tmp_path)
    query = "SELECT value_json FROM study_system_attributes WHERE key = 'study:metric_names'"
    with closing(sqlite3.connect(tmp_path / "optuna.db")) as database:
        ((names,),) = database.execute(query)
    assert json.loads(names) == ["tuning_accuracy", "density"]
