"""The MLflow mirror against real SQLite databases; the oracle is MLflow's own client and the database."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from subind.identity.run_ids import run_id
from subind.specs import run as specs
from subind.store.store import Store
from sweeps.mirror.mirror import Mirror, default_tracking_uri
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.sweeps.fabricated import MASK_BITS, commit_fabricated, fabricated_record


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(os.environ)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture(scope="module")
def _other_grids_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """MLflow's tables and one run of another grid; making the tables takes seconds."""
    store = Store(str(tmp_path_factory.mktemp("other") / "store"))
    commit_fabricated(store, [tiny_transfer()])
    assert Mirror(store, grid="other").mirror([tiny_transfer()]).num_mirrored == 1
    return _database(store).read_bytes()


@pytest.fixture
def store(tmp_path: Path, _other_grids_database: bytes) -> Store:
    """A store without runs whose database has its tables and an experiment of another grid."""
    store = Store(str(tmp_path / "store"))
    _database(store).parent.mkdir()
    _database(store).write_bytes(_other_grids_database)
    return store


def _database(store: Store) -> Path:
    return Path(default_tracking_uri(store).removeprefix("sqlite:///"))


def _runs(store: Store, *, grid: str = "grid") -> list[Run]:
    client = MlflowClient(default_tracking_uri(store))
    experiment = client.get_experiment_by_name(grid)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], max_results=1000))


def _run(store: Store, spec: specs.Run) -> Run:
    (found,) = (run for run in _runs(store) if run.data.tags["subind.run_id"] == run_id(spec))
    return found


def _artifacts(store: Store, run: Run, into: Path) -> dict[str, bytes]:
    client = MlflowClient(default_tracking_uri(store))
    into.mkdir()
    folder = Path(client.download_artifacts(run.info.run_id, "", str(into)))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _num_metric_rows(store: Store) -> int:
    with closing(sqlite3.connect(_database(store))) as database:
        return int(
            database.execute(
                "select count(*) from metrics join runs using (run_uuid) join experiments using (experiment_id) "
                "where experiments.name = 'grid'"
            ).fetchone()[0]
        )


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_mirror_of_finished_cells_makes_one_run_each(store: Store) -> None:
    planned = [tiny_donor(), tiny_mask(), *(tiny_transfer(seed=seed) for seed in range(3))]
    commit_fabricated(store, planned[:4])
    outcome = Mirror(store, grid="grid").mirror(planned)
    assert (outcome.num_mirrored, outcome.num_already_there, outcome.num_delayed, outcome.error) == (4, 0, 0, "")
    assert {run.data.tags["subind.run_id"] for run in _runs(store)} == {run_id(spec) for spec in planned[:4]}


def test_mirror_repeated_by_itself_and_by_another_logs_nothing_more(store: Store) -> None:
    planned = [tiny_transfer(seed=seed) for seed in range(3)]
    commit_fabricated(store, planned)
    first = Mirror(store, grid="grid")
    first.mirror(planned[:2])
    outcomes = [first.mirror(planned), first.mirror(planned), Mirror(store, grid="grid").mirror(planned)]
    assert [(each.num_mirrored, each.num_already_there) for each in outcomes] == [(1, 2), (0, 3), (0, 3)]
    assert len(_runs(store)) == 3


def test_mirror_of_a_transfer_has_flat_params_of_its_lineage(store: Store) -> None:
    transfer = tiny_transfer("random_subnetwork", mask=tiny_mask(seed=5, donor=tiny_donor(seed=7)), seed=3)
    commit_fabricated(store, [transfer])
    Mirror(store, grid="grid").mirror([transfer])
    params = _run(store, transfer).data.params
    expected = {
        "stage": "transfer",
        "control": "random_subnetwork",
        "num_layers": "2",
        "d_model": "16",
        "rule": "a ** 2 + a * b",
        "subtask": "a * b",
        "donor_task": "a + a * b",
        "model": "layers2",
        "num_ambiguous": "12",
        "num_disambiguation": "6",
        "seed": "3",
        "mask_seed": "5",
        "donor_seed": "7",
        "penalty": "1e-07",
        "temperature_schedule": "exponential",
        "final_temperature": "100.0",
        "learning_rate": "0.001",
        "mask_learning_rate": "0.1",
        "clip": "NoClip",
        "batch_size": "6",
        "num_epochs": "2",
        "rivals": "2 * a ** 2, 2 * b ** 2",
    }
    assert {name: params.get(name) for name in expected} == expected


def test_mirror_of_a_run_without_parents_has_no_params_of_a_mask(store: Store) -> None:
    transfer = tiny_transfer("random_init")
    commit_fabricated(store, [transfer])
    Mirror(store, grid="grid").mirror([transfer])
    params = _run(store, transfer).data.params
    assert params["num_layers"] == "2"
    assert not [name for name in params if name.startswith(("mask_", "donor_")) or name == "penalty"]


def test_mirror_of_curves_has_a_step_for_each_epoch(store: Store) -> None:
    commit_fabricated(store, [tiny_transfer()])
    Mirror(store, grid="grid").mirror([tiny_transfer()])
    run = _run(store, tiny_transfer())
    history = MlflowClient(default_tracking_uri(store)).get_metric_history(run.info.run_id, "curve/validation_accuracy")
    assert [(point.step, point.value) for point in sorted(history, key=lambda each: each.step)] == [
        (1, 1 / 3),
        (2, 2 / 3),
        (3, 1.0),
    ]


def test_mirror_of_measurements_has_final_metrics_with_legible_rivals(store: Store) -> None:
    commit_fabricated(store, [tiny_transfer(num_disambiguation=100)])
    Mirror(store, grid="grid").mirror([tiny_transfer(num_disambiguation=100)])
    metrics = _run(store, tiny_transfer(num_disambiguation=100)).data.metrics
    assert metrics["test_accuracy"] == pytest.approx(0.3)
    assert metrics["rival_agreement/2 times a pow 2"] == 0.25
    assert "num_disambiguation" not in metrics, "it is a param"


def test_mirror_of_a_mask_keeps_its_bits_and_a_picture(store: Store, tmp_path: Path) -> None:
    commit_fabricated(store, [tiny_mask()])
    Mirror(store, grid="grid").mirror([tiny_mask()])
    found = _artifacts(store, _run(store, tiny_mask()), tmp_path / "down")
    assert sorted(found) == ["density.png", "mask.safetensors"]
    assert found["mask.safetensors"] == MASK_BITS
    assert found["density.png"].startswith(b"\x89PNG")


def test_mirror_of_a_donor_leaves_its_weights_in_the_store(store: Store, tmp_path: Path) -> None:
    commit_fabricated(store, [tiny_donor()])
    Mirror(store, grid="grid").mirror([tiny_donor()])
    assert sorted(_artifacts(store, _run(store, tiny_donor()), tmp_path / "down")) == []


def test_mirror_of_more_values_than_a_request_takes_logs_them_all(store: Store) -> None:
    measurements = {f"rival_agreement.{number} * a": 0.5 for number in range(1300)}
    store.commit(tiny_transfer(), fabricated_record(tiny_transfer(), measurements=measurements), {})
    assert Mirror(store, grid="grid").mirror([tiny_transfer()]).num_mirrored == 1
    num_single = len(["seconds"])
    assert _num_metric_rows(store) == 3 + 1300 + num_single


def test_mirror_of_a_long_curve_keeps_fifty_points_both_ends_among_them(store: Store) -> None:
    store.commit(tiny_transfer(), fabricated_record(tiny_transfer(), num_epochs=400), {})
    Mirror(store, grid="grid").mirror([tiny_transfer()])
    run = _run(store, tiny_transfer())
    history = MlflowClient(default_tracking_uri(store)).get_metric_history(run.info.run_id, "curve/validation_accuracy")
    points = sorted((point.step, point.value) for point in history)
    assert (len(points), points[0], points[-1]) == (50, (1, 1 / 400), (400, 1.0))
    steps = [step for step, _ in points]
    assert {later - step for step, later in pairwise(steps)} == {8, 9}


def test_mirror_of_the_longest_rule_logs_a_name_of_its_own(store: Store) -> None:
    rules = [" + ".join(["a * (b - 1)"] * 14) + end for end in (" + a", " + b")]
    measurements = {f"rival_agreement.{rule}": share for rule, share in zip(rules, (0.25, 0.75), strict=True)}
    store.commit(tiny_transfer(), fabricated_record(tiny_transfer(), measurements=measurements), {})
    assert Mirror(store, grid="grid").mirror([tiny_transfer()]).error == ""
    metrics = _run(store, tiny_transfer()).data.metrics
    assert sorted(value for name, value in metrics.items() if name.startswith("rival_agreement/a times")) == [
        0.25,
        0.75,
    ]


def test_mirror_after_a_kill_before_the_last_write_completes_the_run(store: Store) -> None:
    commit_fabricated(store, [tiny_mask()])
    Mirror(store, grid="grid").mirror([tiny_mask()])
    num_rows, run = _num_metric_rows(store), _run(store, tiny_mask())
    client = MlflowClient(default_tracking_uri(store))
    client.update_run(run.info.run_id, status="RUNNING")
    outcome = Mirror(store, grid="grid").mirror([tiny_mask()])
    assert (outcome.num_mirrored, outcome.error) == (1, "")
    assert [(each.info.run_id, each.info.status) for each in _runs(store)] == [(run.info.run_id, "FINISHED")]
    assert _num_metric_rows(store) == num_rows


def test_mirror_after_a_kill_behind_the_creation_completes_the_run(store: Store) -> None:
    commit_fabricated(store, [tiny_transfer(seed=0), tiny_transfer(seed=1)])
    Mirror(store, grid="grid").mirror([tiny_transfer(seed=0)])
    client = MlflowClient(default_tracking_uri(store))
    experiment_id = _runs(store)[0].info.experiment_id
    bare = client.create_run(experiment_id, tags={"subind.run_id": run_id(tiny_transfer(seed=1))})
    Mirror(store, grid="grid").mirror([tiny_transfer(seed=1)])
    completed = _run(store, tiny_transfer(seed=1))
    assert (completed.info.run_id, completed.info.status) == (bare.info.run_id, "FINISHED")
    assert completed.data.params["seed"] == "1"
    assert "test_accuracy" in completed.data.metrics


def test_mirror_of_doubled_runs_keeps_one(store: Store) -> None:
    commit_fabricated(store, [tiny_transfer()])
    Mirror(store, grid="grid").mirror([tiny_transfer()])
    client = MlflowClient(default_tracking_uri(store))
    complete = _run(store, tiny_transfer())
    client.create_run(complete.info.experiment_id, tags={"subind.run_id": run_id(tiny_transfer())})
    outcome = Mirror(store, grid="grid").mirror([tiny_transfer()])
    assert (outcome.num_mirrored, outcome.num_already_there) == (0, 1)
    assert _run(store, tiny_transfer()).info.run_id == complete.info.run_id


def test_mirrors_at_once_make_no_double(store: Store) -> None:
    planned = [tiny_transfer(seed=seed) for seed in range(8)]
    commit_fabricated(store, planned)
    mirrors = [Mirror(store, grid="grid") for _ in range(2)]
    with ThreadPoolExecutor(len(mirrors)) as pool:
        outcomes = list(pool.map(lambda mirror: mirror.mirror(planned), mirrors))
    after = Mirror(store, grid="grid").mirror(planned)
    assert len(_runs(store)) == 8
    assert sum(each.num_mirrored for each in (*outcomes, after)) == 8


@pytest.mark.slow
def test_mirrors_of_two_processes_at_once_make_no_double(store: Store) -> None:
    planned = [tiny_transfer(seed=seed) for seed in range(8)]
    commit_fabricated(store, planned)
    script = (
        "import sys\nfrom subind.store.store import Store\nfrom sweeps.mirror.mirror import Mirror\n"
        "from tests.specs import tiny_transfer\n"
        "outcome = Mirror(Store(sys.argv[1]), grid='grid').mirror([tiny_transfer(seed=seed) for seed in range(8)])\n"
        "print(outcome.num_mirrored, outcome.num_delayed, outcome.error)"
    )
    command = [sys.executable, "-c", script, store.url]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=120)[0].split() for process in both]
    after = Mirror(store, grid="grid").mirror(planned)
    assert len(_runs(store)) == 8
    assert sum(int(mirrored) for mirrored, *_ in printed) + after.num_mirrored == 8


def test_mirror_to_a_closed_port_is_delayed_at_once_without_the_password(store: Store) -> None:
    commit_fabricated(store, [tiny_transfer()])
    mirror = Mirror(store, grid="grid", tracking_uri=f"http://anna:s3cret%21@127.0.0.1:{_closed_port()}")
    started = time.monotonic()
    outcome = mirror.mirror([tiny_transfer()])
    assert time.monotonic() - started < 20
    assert (outcome.num_mirrored, outcome.num_delayed) == (0, 1)
    assert "127.0.0.1" in outcome.error
    assert not [secret for secret in ("anna", "s3cret") if secret in outcome.error]


def test_mirror_soon_after_an_error_rests(store: Store) -> None:
    commit_fabricated(store, [tiny_transfer()])
    mirror = Mirror(store, grid="grid", tracking_uri=f"http://127.0.0.1:{_closed_port()}")
    first = mirror.mirror([tiny_transfer()])
    started = time.monotonic()
    assert mirror.mirror([tiny_transfer()]) == first
    assert time.monotonic() - started < 0.2


def test_mirror_after_an_outage_fills_in_what_was_delayed(store: Store) -> None:
    commit_fabricated(store, [tiny_transfer(seed=0), tiny_transfer(seed=1)])
    whole = _database(store).read_bytes()
    _database(store).write_bytes(b"no database at all" * 100)
    delayed = Mirror(store, grid="grid").mirror([tiny_transfer(seed=0)])
    assert (delayed.num_delayed, "not a database" in delayed.error) == (1, True)
    _database(store).write_bytes(whole)
    assert Mirror(store, grid="grid").mirror([tiny_transfer(seed=0), tiny_transfer(seed=1)]).num_mirrored == 2
    assert len(_runs(store)) == 2


def test_mirror_to_a_dead_database_server_is_delayed_at_once(store: Store) -> None:
    commit_fabricated(store, [tiny_transfer()])
    mirror = Mirror(store, grid="grid", tracking_uri=f"postgresql://anna:s3cret@127.0.0.1:{_closed_port()}/mlflow")
    outcome = mirror.mirror([tiny_transfer()])
    assert (outcome.num_delayed, "s3cret" in outcome.error) == (1, False)


def test_mirror_of_a_damaged_run_names_it_and_mirrors_the_others(store: Store) -> None:
    commit_fabricated(store, [tiny_mask(), tiny_transfer()])
    (bits,) = Path(store.folder(tiny_mask())).glob("mask-*.safetensors")
    bits.write_bytes(b"damaged")
    outcome = Mirror(store, grid="grid").mirror([tiny_mask(), tiny_transfer()])
    assert (outcome.num_mirrored, outcome.num_delayed) == (1, 1)
    assert bits.name in outcome.error


def test_mirror_without_time_begins_no_run(store: Store) -> None:
    commit_fabricated(store, [tiny_transfer()])
    outcome = Mirror(store, grid="grid").mirror([tiny_transfer()], within_seconds=-1)
    assert (outcome.num_mirrored, outcome.num_delayed) == (0, 1)
    assert "slow" in outcome.error


def test_mirror_of_two_grids_makes_two_experiments(store: Store) -> None:
    commit_fabricated(store, [tiny_transfer()])
    for grid in ("one", "two"):
        assert Mirror(store, grid=grid).mirror([tiny_transfer()]).num_mirrored == 1
    assert [len(_runs(store, grid=grid)) for grid in ("one", "two")] == [1, 1]


def test_mirror_in_a_folder_with_a_percent_sign_writes_there(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "50%20 of it"))
    commit_fabricated(store, [tiny_transfer()])
    assert Mirror(store, grid="grid").mirror([tiny_transfer()]).error == ""
    assert (tmp_path / "50%20 of it" / "mlflow.db").stat().st_size > 0


def test_mirror_of_a_remote_store_without_a_tracking_uri_names_the_remedy() -> None:
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_URI"):
        Mirror(Store("memory://bucket"), grid="grid")


def test_mirror_with_an_unknown_scheme_names_those_it_knows(store: Store) -> None:
    with pytest.raises(ValueError, match=r"tracking_uri is 'ftp://\*\*\*@host'.*sqlite"):
        Mirror(store, grid="grid", tracking_uri="ftp://anna:s3cret@host")


def test_mirror_without_a_given_uri_uses_that_of_the_environment(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_fabricated(store, [tiny_transfer()])
    shutil.copy(_database(store), tmp_path / "elsewhere.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    Mirror(store, grid="grid").mirror([tiny_transfer()])
    found = MlflowClient(f"sqlite:///{tmp_path}/elsewhere.db").get_experiment_by_name("grid")
    assert found is not None
    assert MlflowClient(default_tracking_uri(store)).get_experiment_by_name("grid") is None


def test_mirror_keeps_the_settings_of_the_user(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    commit_fabricated(store, [tiny_transfer()])
    Mirror(store, grid="grid").mirror([tiny_transfer()])
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"


def test_mirror_prints_nothing(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    commit_fabricated(store, [tiny_mask()])
    Mirror(store, grid="grid").mirror([tiny_mask()])
    assert capfd.readouterr() == ("", "")


def test_mirror_of_a_run_begun_in_another_zone_has_its_utc_time(store: Store) -> None:
    record = replace(fabricated_record(tiny_transfer(), started="1970-01-01T02:00:01+02:00"))
    store.commit(tiny_transfer(), record, {})
    Mirror(store, grid="grid").mirror([tiny_transfer()])
    info = _run(store, tiny_transfer()).info
    assert (info.start_time, info.end_time) == (1000, 7000)


# ---- the making of the database is cut short


@pytest.mark.parametrize("num_steps", [0, 1])
def test_database_whose_making_was_cut_short_is_made_again(tmp_path: Path, num_steps: int) -> None:
    from mlflow.store.db.utils import create_sqlalchemy_engine
    from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

    store = Store(str(tmp_path / "store"))
    commit_fabricated(store, [tiny_transfer()])
    engine = create_sqlalchemy_engine(default_tracking_uri(store))
    InitialBase.metadata.create_all(engine)
    engine.dispose()
    with closing(sqlite3.connect(_database(store))) as connection:
        for _ in range(num_steps):
            connection.execute("CREATE TABLE mcp_servers (name VARCHAR(256))")
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.commit()
    outcome = Mirror(store, grid="grid").mirror([tiny_transfer()])
    assert (outcome.num_mirrored, outcome.error) == (1, "")
    assert len(_runs(store)) == 1
