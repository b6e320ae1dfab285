"""A network and a task of a user's own, through the whole service, as `docs/examples` has them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.end_to_end.heads import Head, head
from tests.end_to_end.own_parts import EXAMPLES, OWN_NETWORK, Example, change, example_folder, mlflow_runs
from tests.end_to_end.sweeps import Ended, Folder, ended, family, kill, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LONG = {"own_network": 40, "digits_mlp": 600}
"""Epochs of a mask that is to be interrupted: some ten seconds, and a checkpoint every one of them."""


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda example: example.name)
def swept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, ...]]:
    """An example, its folder after a sweep that nothing has disturbed, and how that ended."""
    with example_folder(tmp_path_factory.mktemp(request.param.name), request.param) as found:
        yield request.param, found, found.run("run")


@pytest.fixture
def example(swept: tuple[Example, Folder, Ended]) -> Example:
    return swept[0]


@pytest.fixture
def done(swept: tuple[Example, Folder, Ended]) -> Folder:
    return swept[1]


def rows(here: Folder) -> list[dict[str, Any]]:
    return list(pq.read_table(here.path / "results" / "small.parquet").to_pylist())


# ---- undisturbed


def test_sweep_ends_with_zero_and_all_runs_finished(swept: tuple[Example, Folder, Ended]) -> None:
    example, found, end = swept
    assert (end.status, end.err) == (0, "")
    assert f"{example.num_runs} finished, 0 failed, 0 blocked, 0 running, 0 missing" in end.out
    assert len(found.records()) == example.num_runs


def test_plan_and_status_count_the_finished_runs(example: Example, done: Folder) -> None:
    plan = json.loads(done.run("plan", "--json").out)
    assert (plan["cells"], plan["finished"], plan["missing"]) == (example.num_runs, example.num_runs, 0)
    status = done.status()
    assert (status["finished"], status["failed"], status["missing"]) == (example.num_runs, 0, 0)


def test_rows_have_the_tasks_the_network_and_what_the_task_measures(example: Example, done: Folder) -> None:
    assert ended(done.start_command("export", "small.py")).status == 0
    found = rows(done)
    assert {row["run_id"] for row in found} == set(done.records())
    assert {row["model"] for row in found} == {example.model}
    tasks = {stage: {row["task"] for row in found if row["stage"] == stage} for stage in ("donor", "mask", "transfer")}
    assert tasks == {"donor": {example.donor_task}, "mask": {example.subtask}, "transfer": {example.task}}
    recipients = [row for row in found if row["stage"] == "transfer"]
    assert {row["control"] for row in recipients} == set(example.starts)
    assert {dict(row["fields"])[example.column] for row in recipients} == {str(example.num_rows)}
    assert all(0 <= row["test_accuracy"] <= 1 for row in recipients)


def test_page_names_the_task_the_starts_and_the_network(example: Example, done: Folder) -> None:
    assert ended(done.start_command("report", "small.py")).status == 0
    page = (done.path / "reports" / "small" / "index.html").read_text()
    told = f"Recipients learn {example.task}; network {example.model}; {len(example.starts)} start(s), 2 seed(s)."
    assert told in page
    assert "data:image" in page
    for start in example.starts:
        assert f">{start.replace('_', ' ')}<" in page


def test_mirror_has_every_run_once_by_a_short_name_with_params_of_its_task(example: Example, done: Folder) -> None:
    mirrored = mlflow_runs(done)
    assert mirrored.keys() == done.records().keys()
    for row in rows(done):
        name, params = mirrored[row["run_id"]]
        own = f"n{example.num_rows}-seed{row['seed']}" if row["stage"] == "transfer" else f"seed{row['seed']}"
        assert name == f"{row['control'] or row['stage']}-{example.model}-{own}"
        assert (params["task"], params["model"]) == (row["task"], example.model)
    fields = {"own_network": ("bit", "last"), "digits_mlp": ("asked", "parity")}[example.name]
    recipients = [params for name, params in mirrored.values() if not name.startswith(("donor", "mask"))]
    assert {params[fields[0]] for params in recipients} == {fields[1]}


def test_why_explains_a_recipient_and_what_it_descends_from(example: Example, done: Folder) -> None:
    (run,) = [row["run_id"] for row in rows(done) if (row["control"], row["seed"]) == ("subnetwork", 0)]
    told = ended(done.start_command("why", run, "small.py")).out
    assert f"task {example.task}" in told
    assert "state      finished" in told
    assert re.search(rf"mask {example.model}-seed0-\w+: finished", told)
    assert re.search(rf"donor {example.model}-seed0-\w+: finished", told)


def test_store_read_without_the_file_names_the_class_and_imports_nothing(
    example: Example, done: Folder, tmp_path: Path
) -> None:
    for name in (example.name, "small"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w').close()\n")
    elsewhere = Folder(path=tmp_path)
    for row in rows(done):
        told = ended(elsewhere.start_command("why", row["run_id"], "--store", str(done.store)))
        assert (told.status, told.err) == (0, "")
        assert f"task {example.name}:{example.task_class}" in told.out
        assert "state      finished" in told.out
        assert f"which is not loaded: give the grid file that defines it, such as '{example.name}.py'" in told.out
        if row["stage"] == "transfer":
            break
    assert ended(elsewhere.start_command("verify", "--all", "--store", str(done.store))).status == 0
    assert not (tmp_path / "imported").exists()


# ---- disturbed


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_machine_down_in_mid_mask_loses_and_repeats_nothing(
    example: Example, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with example_folder(tmp_path, example, mask=LONG[example.name]) as here:
        driver = here.start("run", "--checkpoint-seconds", "1")
        until(lambda: list(here.store.glob("checkpoints/mask*.json")), process=driver)
        for pid in (driver.pid, *(each.pid for each in family(driver))):
            kill(pid)
        driver.communicate()
        before = here.states()
        assert 0 < len(before) < example.num_runs
        assert here.run("run").status == 0
        assert {run: here.states()[run] for run in before} == before
        assert mlflow_runs(here).keys() == here.records().keys()
        assert list(here.store.glob("checkpoints/*")) == []
        with example_folder(tmp_path_factory.mktemp("calm"), example, mask=LONG[example.name]) as calm:
            assert calm.run("run").status == 0
            assert here.results() == calm.results()


# ---- on a cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Head]:
    with head({}) as found:
        yield found


def test_submitted_file_and_what_it_imports_travel_and_give_the_same_bits(
    example: Example, done: Folder, cluster: Head, tmp_path: Path
) -> None:
    with example_folder(tmp_path, example) as here:
        options = ["--store", str(here.store), "--device", "cpu"]
        end = ended(here.start("submit", *options, environment=cluster.client()))
        assert end.status == 0, end
        assert f"{example.num_runs} finished, 0 failed, 0 blocked, 0 running, 0 missing" in end.out
        assert here.results() == done.results()


# ---- the author changes the class


def test_changed_class_is_told_and_another_version_is_computed_again(tmp_path: Path) -> None:
    with example_folder(tmp_path, OWN_NETWORK) as here:
        assert here.run("run", "--where", "control=random_init").status == 0
        change(here, OWN_NETWORK, ".sum(1) % 4", ".long().sum(1) % 4")
        told = here.run("plan", "--where", "control=random_init", "--json")
        assert told.err.startswith("the source of own_network:Counting differs from that of run ")
        assert "raise `version` if numbers move" in told.err
        assert json.loads(told.out)["missing"] == 0
        change(here, OWN_NETWORK, "version = 1", "version = 2")
        told = here.run("plan", "--where", "control=random_init", "--json")
        assert (told.err, json.loads(told.out)["missing"]) == ("", 2)
        assert json.loads(told.out)["stale"] == 2
        reason = "own_network:Counting is of version 2 and was of 1"
        assert f"2 runs are stale and run again, because {reason}" in here.run("plan").out


# ---- it raises

WHILE_PLANNING = {
    "its label": (
        'return "count" if',
        'return {}[self.bit] + "count" if',
        "KeyError: 'none' (line {line} of own_network.py)",
    ),
    "its loss": (
        "return F.cross_entropy(outputs,",
        "return 1 / 0 + F.cross_entropy(outputs,",
        "Counting.loss cannot be computed: ZeroDivisionError: division by zero (own_network.py, line {line})",
    ),
}


def line_of(here: Folder, text: str) -> int:
    lines = (here.path / "own_network.py").read_text().splitlines()
    return 1 + next(number for number, line in enumerate(lines) if text in line)


@pytest.mark.parametrize("what", WHILE_PLANNING)
def test_task_that_raises_is_one_line_of_the_plan_with_the_line_of_its_file(tmp_path: Path, what: str) -> None:
    old, new, message = WHILE_PLANNING[what]
    with example_folder(tmp_path, OWN_NETWORK) as here:
        change(here, OWN_NETWORK, old, new)
        told = here.run("plan")
        assert told.status == 2
        assert len(told.err.splitlines()) == 1
        assert message.format(line=line_of(here, new)) in told.err


def test_task_that_raises_in_training_fails_its_runs_with_the_line_of_its_file(tmp_path: Path) -> None:
    with example_folder(tmp_path, OWN_NETWORK) as here:
        change(here, OWN_NETWORK, 'return {"accuracy":', 'return {"accuracy": 0 / (500 - len(outputs)) +')
        line = line_of(here, "0 / (500")
        end = here.run("run", "--where", "control=random_init")
        assert end.status == 1, end
        assert len(here.failures()) == 2
        for failure in here.failures().values():
            assert "division by zero" in failure["message"]
            assert re.search(rf'own_network\.py", line {line}, in measure', failure["traceback"])
        page = (here.path / "reports" / "small-control_is_random_init" / "index.html").read_text()
        assert "division by zero" in page
