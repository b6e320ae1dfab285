"""`subind run` as a user runs it: real processes, real Ray, a grid of seconds. The oracle is an undisturbed sweep."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.sweeps import NUM_RUNS, Ended, Folder, ended, family, folder, is_gone, kill, until

LONG = 3000
"""Epochs of a stage that is to be interrupted: tens of seconds, and a checkpoint every one of them."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Folder]:
    with folder(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Folder, Ended]]:
    """A sweep that nothing has disturbed, and how it ended."""
    with folder(tmp_path_factory.mktemp("undisturbed")) as found:
        found.write_grid()
        yield found, found.run("run")


# ---- undisturbed


def test_sweep_ends_with_zero_and_all_runs_finished(undisturbed: tuple[Folder, Ended]) -> None:
    swept, end = undisturbed
    assert (end.status, end.err) == (0, "")
    assert "16 finished, 0 failed, 0 blocked, 0 running, 0 missing" in end.out
    counts = {stage: len(list(swept.store.glob(f"runs/{stage}/*/record.json"))) for stage in NUM_RUNS}
    assert counts == NUM_RUNS


def test_sweep_writes_a_finished_row_per_planned_cell(undisturbed: tuple[Folder, Ended]) -> None:
    rows = pq.read_table(undisturbed[0].path / "results" / "tiny.parquet").to_pylist()
    assert sorted(row["run_id"] for row in rows) == sorted(undisturbed[0].records())
    assert {row["status"] for row in rows} == {"finished"}


def test_sweep_writes_its_report(undisturbed: tuple[Folder, Ended]) -> None:
    page = undisturbed[0].path / "reports" / "tiny" / "index.html"
    assert "<svg" in page.read_text() or "data:image" in page.read_text()
    assert str(page.relative_to(undisturbed[0].path).parent) in undisturbed[1].out


def test_sweep_mirrors_every_run_to_mlflow_once(undisturbed: tuple[Folder, Ended]) -> None:
    assert undisturbed[0].mirrored() == sorted(undisturbed[0].records())


def test_sweep_leaves_neither_checkpoints_nor_heartbeats(undisturbed: tuple[Folder, Ended]) -> None:
    left = [path for name in ("checkpoints", "running") for path in undisturbed[0].store.glob(f"{name}/*")]
    assert left == []


def test_second_run_computes_nothing_and_ends_with_zero(undisturbed: tuple[Folder, Ended]) -> None:
    swept, _ = undisturbed
    before = swept.states()
    again = swept.run("run")
    assert again.status == 0
    assert "tiny: 0 runs in 0 packs" in again.out
    assert swept.states() == before


# ---- the driver is killed, or another one is there


@pytest.mark.slow
def test_machine_down_in_mid_run_loses_and_repeats_nothing(here: Folder, undisturbed: tuple[Folder, Ended]) -> None:
    here.write_grid()
    driver = here.start("run")
    until(lambda: len(here.records()) >= 3, process=driver)
    ray = family(driver)
    for each in (driver.pid, *(process.pid for process in ray)):
        kill(each)
    driver.communicate()
    before = here.states()
    assert len(before) < sum(NUM_RUNS.values())
    again = here.run("run")
    after = here.states()
    assert again.status == 0
    assert {run: after[run] for run in before} == before
    assert here.results() == undisturbed[0].results()
    assert here.mirrored() == sorted(after)


@pytest.mark.slow
def test_interrupted_driver_ends_soon_and_the_next_run_finishes(
    here: Folder, undisturbed: tuple[Folder, Ended]
) -> None:
    here.write_grid()
    driver = here.start("run")
    until(here.heartbeats, process=driver)
    ray = family(driver)
    os.killpg(driver.pid, signal.SIGINT)
    end = ended(driver)
    assert end.status == 130
    assert end.err == "subind: stopped; the same command continues the sweep\n"
    assert here.failures() == {}
    until(lambda: all(map(is_gone, ray)))
    assert here.run("run").status == 0
    assert here.results() == undisturbed[0].results()


@pytest.mark.slow
def test_two_drivers_on_one_store_both_finish_without_duplicates(
    here: Folder, undisturbed: tuple[Folder, Ended]
) -> None:
    here.write_grid()
    drivers = [here.start("run") for _ in range(2)]
    ends = [ended(driver) for driver in drivers]
    assert [(end.status, end.err) for end in ends] == [(0, ""), (0, "")]
    assert here.results() == undisturbed[0].results()
    assert here.mirrored() == sorted(here.records())


@pytest.mark.slow
def test_driver_that_waits_for_another_one_is_interrupted_at_once(here: Folder) -> None:
    here.write_grid(donor=LONG * 10)
    first = here.start("run")
    until(lambda: sum(len(each["runs"]) for each in here.heartbeats("donor")) == 2, process=first)
    second = here.start("run", "--where", "control=full_transfer")
    assert second.stdout is not None
    until(lambda: "waiting: " in second.stdout.readline(), process=second)
    second.send_signal(signal.SIGINT)
    assert ended(second).status == 130
    assert first.poll() is None


# ---- the tracker is down


@pytest.mark.slow
def test_sweep_without_a_tracker_completes_and_sync_fills_it_in_once(
    here: Folder, undisturbed: tuple[Folder, Ended]
) -> None:
    here.write_grid()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        port = unused.getsockname()[1]
        end = here.run("run", environment={"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"})
    assert end.status == 0
    assert here.results() == undisturbed[0].results()
    assert "MLflow is 16 runs behind" in end.out
    assert here.mirrored() == []
    assert here.run("sync").out == "16 runs mirrored, 0 were there, 0 delayed\n"
    assert here.run("sync").out == "0 runs mirrored, 16 were there, 0 delayed\n"
    assert here.mirrored() == sorted(here.records())


# ---- failures


def test_cells_that_leave_the_finite_numbers_fail_and_the_others_finish(here: Folder) -> None:
    here.write_grid(rate=1e30)
    end = here.run("run")
    data = here.status()
    assert end.status == 1
    assert (data["finished"], data["failed"], data["blocked"], data["missing"]) == (13, 3, 0, 0)
    for failure in data["failures"]:
        assert "not finite in epoch" in failure["message"]
        assert Path(failure["traceback"]).is_file()
        assert failure["traceback"] in end.out
    rows = pq.read_table(here.path / "results" / "tiny.parquet").to_pylist()
    assert sorted(row["status"] for row in rows) == ["failed"] * 3 + ["finished"] * 13


@pytest.mark.slow
def test_worker_that_dies_twice_quarantines_its_pack_and_the_rest_goes_on(
    here: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here.write_grid(mask=LONG)
    driver = here.start("run", "--checkpoint-seconds", "300")
    (first, *_) = until(lambda: here.heartbeats("mask"), process=driver)
    kill(first["process"])
    second = until(lambda: [each for each in here.heartbeats("mask") if _is_next(each, first)], process=driver)[0]
    kill(second["process"])
    end = ended(driver)
    data = here.status()
    assert end.status == 1
    assert {failure["run_id"] for failure in data["failures"]} == set(first["runs"])
    assert data["blocked"] == 2 * len(first["runs"])
    assert data["finished"] == 16 - 3 * len(first["runs"])
    assert all(Path(failure["traceback"]).is_file() for failure in data["failures"])
    assert all(failure["attempts"] == 2 for failure in here.failures().values())
    assert here.run("run").status == 1
    assert here.run("run", "--retry-failed").status == 0
    with folder(tmp_path_factory.mktemp("same")) as same:
        same.write_grid(mask=LONG)
        assert same.run("run").status == 0
        assert here.results() == same.results()


@pytest.mark.long
def test_pack_killed_after_a_checkpoint_resumes_from_it_with_the_same_bits(
    here: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here.write_grid(transfer=LONG)
    driver = here.start("run", "--checkpoint-seconds", "1")
    until(lambda: list(here.store.glob("checkpoints/transfer*.json")), process=driver)
    kill(driver.pid)
    driver.communicate()
    kept = [path.name for path in here.store.glob("checkpoints/transfer*.json")]
    again = here.start("run", "--checkpoint-seconds", "300")
    until(lambda: {f"{each['pack']}.json" for each in here.heartbeats("transfer")} & set(kept), process=again)
    assert ended(again).status == 0
    with folder(tmp_path_factory.mktemp("same")) as same:
        same.write_grid(transfer=LONG)
        assert same.run("run", "--checkpoint-seconds", "300").status == 0
        assert here.results() == same.results()
    assert list(here.store.glob("checkpoints/*")) == []


def _is_next(beat: dict[str, object], first: dict[str, object]) -> bool:
    return beat["pack"] == first["pack"] and beat["process"] != first["process"]


# ---- claims


@pytest.mark.slow
def test_until_decided_trains_more_seeds_of_the_claims_cells_alone(here: Folder) -> None:
    here.write_grid()
    path = here.path / "tiny.py"
    path.write_text(path.read_text() + '\n\nCLAIMS = ("random_init reaches 0.9 in most seeds at n = 6",)\n')
    told = here.run("run", "--until-decided", "--max-seeds", "8")
    assert told.status == 0, told
    rows = pd.read_parquet(here.path / "results" / "tiny.parquet")
    finished = rows[(rows["stage"] == "transfer") & (rows["status"] == "finished")]
    counts = finished.groupby(["control", "num_disambiguation"])["seed"].nunique()
    assert counts.pop(("random_init", 6)) == 6
    assert set(counts) == {2}
    assert ",fails,6," in (here.path / "reports" / "tiny" / "claims.csv").read_text()
