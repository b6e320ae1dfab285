"""`subind tune` as a user runs it: real processes, real Ray, Optuna's and MLflow's databases read afterwards."""

import contextlib
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import optuna
import psutil
import pyarrow.parquet as pq
import pytest
from optuna.trial import FrozenTrial, TrialState

from subind.identity.run_ids import run_id
from subind.specs.run import lineage
from subind.specs.runs import Discover
from sweeps import grids
from sweeps.grids import tuned
from tests.end_to_end.sweeps import GRID, QUICK, Folder, Process, ended, family, folder, kill, until

STUDY = """

from dataclasses import replace

from sweeps.grids.studies import Epochs, Study, study_around


def studies():
    around = study_around(mask(0), num_seeds=2, num_transfer_samples=12)
    base = replace(around.base, rows=(Part(name="unambiguous", num_samples=120),))
    epochs = Epochs(low={low}, high={high})
    return (replace(around, base=base, num_epochs=epochs, num_startup_trials={startup}),)
"""
NUM_TRIALS = 12
LONG = 400
"""Epochs of masks that are to be interrupted: several seconds."""


def write_grid(where: Folder, *, low: int = 2, high: int = 6, startup: int = 4) -> None:
    text = GRID.format(num_epochs=QUICK, rate=1e-3) + STUDY.format(low=low, high=high, startup=startup)
    (where.path / "tiny.py").write_text(text)


def tune(where: Folder, *arguments: str) -> Process:
    return where.start("tune", "--device", "cpu", "--batch", "4", *arguments)


def trials(where: Folder) -> list[FrozenTrial]:
    """The trials in Optuna's database."""
    url = f"sqlite:///{where.store}/optuna.db"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with contextlib.suppress(KeyError):
        names = optuna.get_all_study_names(url)
        return optuna.load_study(study_name=names[0], storage=url).get_trials() if names else []
    return []


def numbers_in_mlflow(where: Folder) -> dict[str, str]:
    """The number of the trial by run id, as MLflow has it."""
    with closing(sqlite3.connect(where.store / "mlflow.db")) as connection:
        query = "SELECT run_uuid, key, value FROM tags WHERE key IN ('subind.run_id', 'optuna.trial')"
        tags: dict[str, dict[str, str]] = {}
        for run, key, value in connection.execute(query):
            tags.setdefault(run, {})[key] = value
    return {each["subind.run_id"]: each["optuna.trial"] for each in tags.values() if "optuna.trial" in each}


@pytest.fixture(scope="module")
def tuned_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Folder, str]]:
    """A study that nothing has disturbed, its knee chosen, and what the command said."""
    with folder(tmp_path_factory.mktemp("tuned")) as found:
        write_grid(found)
        end = ended(tune(found, "--trials", str(NUM_TRIALS), "--choose", "knee", "--output", "chosen.json"))
        assert (end.status, end.err) == (0, "")
        yield found, end.out


@pytest.mark.slow
def test_study_has_its_trials_and_each_is_a_run_of_the_store(tuned_folder: tuple[Folder, str]) -> None:
    where, _ = tuned_folder
    found = trials(where)
    assert [each.number for each in found] == list(range(NUM_TRIALS))
    finished = {each.user_attrs["run_id"] for each in found if each.state == TrialState.COMPLETE}
    assert len(finished) + sum(each.state == TrialState.PRUNED for each in found) == NUM_TRIALS
    assert finished <= where.records().keys()


@pytest.mark.slow
def test_mlflow_shows_the_finished_trials_under_optunas_numbers(tuned_folder: tuple[Folder, str]) -> None:
    where, _ = tuned_folder
    finished = [each for each in trials(where) if each.state == TrialState.COMPLETE]
    assert numbers_in_mlflow(where) == {each.user_attrs["run_id"]: str(each.number) for each in finished}


@pytest.mark.slow
def test_study_leaves_its_pictures_on_the_report_and_in_mlflow(tuned_folder: tuple[Folder, str]) -> None:
    where, _ = tuned_folder
    names = {f"tuning_{name}.png" for name in ("front", "parallel", "importance", "epochs")}
    page = where.path / "reports" / "tiny"
    assert names <= {path.name for path in page.iterdir()}
    assert all(name in (page / "index.html").read_text() for name in names)
    assert names <= {path.name for path in (where.store / "mlartifacts").rglob("tuning_*.png")}


@pytest.mark.slow
def test_table_of_trials_has_all_of_them_and_the_published_setting(tuned_folder: tuple[Folder, str]) -> None:
    rows = pq.read_table(tuned_folder[0].path / "results" / "tiny.tuning.parquet").to_pylist()
    assert len(rows) == NUM_TRIALS + 1
    assert [row["state"] for row in rows][-1] == "published"


@pytest.mark.slow
def test_grid_that_takes_the_choice_reuses_the_trials_run(tuned_folder: tuple[Folder, str]) -> None:
    where, out = tuned_folder
    (choice,) = tuned.read(where.path / "chosen.json")
    assert f"trial {choice.trial} is chosen by knee" in out
    assert trials(where)[choice.trial].user_attrs["run_id"] == choice.fingerprint
    (where.path / "tiny.py").write_text(
        GRID.format(num_epochs=QUICK, rate=1e-3)
        + "\n\nfrom sweeps.grids import tuned\n\n\ndef grid():\n"
        + "    chosen = tuned.mask(mask(0), grid='chosen.json')\n"
        + "    return (transfer(Subnetwork(mask=chosen), 6, 0),)\n"
    )
    before = where.states()
    assert where.run("run").status == 0
    after = where.states()
    assert {run: after[run] for run in before} == before
    assert len(after) == len(before) + 1


@pytest.mark.slow
def test_dashboard_serves_the_study_on_loopback_and_ends_with_its_command(tuned_folder: tuple[Folder, str]) -> None:
    where, _ = tuned_folder
    write_grid(where)
    process = where.start("tune", "--ui", "--port", "18421")
    until(lambda: _answers("http://127.0.0.1:18421/api/studies"), process=process)
    with urllib.request.urlopen("http://127.0.0.1:18421/api/studies", timeout=30) as answer:
        assert "tiny/axb-layers1-seed0/front" in answer.read().decode()
    addresses = {each.laddr.ip for each in psutil.Process(process.pid).net_connections() if each.status == "LISTEN"}
    assert addresses == {"127.0.0.1"}
    process.terminate()
    assert ended(process).status == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.slow
def test_worker_and_then_the_whole_machine_down_in_mid_study_lose_and_double_no_trial(tmp_path: Path) -> None:
    with folder(tmp_path) as here:
        # all trials are drawn uniformly, so that what is asked does not hang on when the others were told
        write_grid(here, low=LONG, high=2 * LONG, startup=NUM_TRIALS)
        arguments = ("--trials", str(NUM_TRIALS), "--no-stop", "--checkpoint-seconds", "1")
        driver = tune(here, *arguments)
        until(lambda: list(here.store.glob("checkpoints/mask-*.json")), process=driver)
        worker = until(lambda: here.heartbeats("mask"), process=driver)[0]["process"]
        kill(worker)
        until(lambda: sum(run.parent.parent.name == "mask" for run in here.records().values()) >= 5, process=driver)
        for each in (driver.pid, *(process.pid for process in family(driver))):
            kill(each)
        driver.communicate()
        before = here.states()
        asked = {each.number: each.params for each in trials(here)}
        assert len(before) < NUM_TRIALS + 2
        again = ended(tune(here, *arguments))
        assert (again.status, again.err) == (0, "")
        found, after = trials(here), here.states()
        assert [each.number for each in found] == list(range(NUM_TRIALS))
        assert {each.state for each in found} == {TrialState.COMPLETE}
        assert {number: found[number].params for number in asked} == asked
        assert {run: after[run] for run in before} == before
        runs = [each.user_attrs["run_id"] for each in found]
        published = run_id(grids.read_grid(str(here.path / "tiny.py")).studies()[0].published)
        donors = {run for run, path in here.records().items() if path.parent.parent.name == "donor"}
        assert sorted(after) == sorted([*runs, published, *donors])
        measured = here.results()
        for each in found:
            of_run = measured[each.user_attrs["run_id"]]["measurements"]
            assert each.values == [of_run["tuning_accuracy"], of_run["density"]]
        assert here.mirrored().count(published) == 1
        assert set(numbers_in_mlflow(here)) == set(runs)


def test_chosen_mask_is_found_by_the_grid_of_the_transfers() -> None:
    cells = grids.read_grid("tuned-depth-2").cells
    masks = {run for cell in cells for run in lineage(cell) if isinstance(run, Discover)}
    assert len(masks) == 2
