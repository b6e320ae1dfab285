"""`subind run` of what is finished already: MLflow gets what it lacks, or a line says how."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sweeps.mirror import tracker
from tests.sweeps.conftest import Call
from tests.sweeps.fabricated_grid import runs, store_with, written_grid

SEEDS = (0, 1)
NUM_RUNS = 12


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where MLflow's database will be, in a store that holds every run of the grid `tiny.py`."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracker, "PROBE_SECONDS", 0.2)
    written_grid(tmp_path)
    store_with(tmp_path, *(spec for seed in SEEDS for spec in runs(seed)))
    return tmp_path / "store" / "mlflow.db"


def mirrored(database: Path) -> list[str]:
    """The run ids in MLflow's database, with their repetitions."""
    with closing(sqlite3.connect(database)) as connection:
        query = "SELECT value FROM tags WHERE key = 'subind.run_id' AND value NOT LIKE '%=%'"
        return sorted(value for (value,) in connection.execute(query))


def test_run_with_nothing_to_compute_mirrors_what_mlflow_lacks(subind: Call, database: Path) -> None:
    for _ in range(2):
        status, _, err = subind("run", "tiny.py", "--device", "cpu")
        assert (status, err) == (0, "")
        assert len(set(mirrored(database))) == len(mirrored(database)) == NUM_RUNS
        database.unlink()


def test_run_whose_tracker_is_locked_names_the_command_that_mirrors(subind: Call, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        status, _, err = subind("run", "tiny.py", "--device", "cpu", "--where", "seed<9")
    assert status == 0
    assert err.startswith(f"MLflow lacks {NUM_RUNS} of {NUM_RUNS} runs: database is locked (tracker sqlite://")
    assert err.endswith("; `subind sync tiny.py --where 'seed<9'` mirrors them\n")
    assert err.count("\n") == 1
    assert subind("sync", "tiny.py")[:2] == (0, f"{NUM_RUNS} runs mirrored, 0 were there, 0 delayed\n")


def test_error_of_a_damaged_database_is_told_without_its_sql(subind: Call, database: Path) -> None:
    assert subind("sync", "tiny.py")[0] == 0
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE runs SET status = 'RUNNING'")
        connection.execute("DROP TABLE metrics")
        connection.commit()
    status, _, err = subind("sync", "tiny.py")
    assert status == 1
    assert "no such table: metrics" in err
    assert err.count("\n") == 1
    assert "SQL:" not in err
    assert "INSERT" not in err
