"""`subind submit` on a real Ray head with its dashboard: followed, left alone, found again, stopped, refused."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.heads import Head, head
from tests.end_to_end.sweeps import NUM_RUNS, Folder, Process, ended, folder, kill, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PASSWORD = "an-mlflow-password-of-the-nodes"
LONG = 3000
"""Epochs of a stage that takes tens of seconds."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Head]:
    """A head whose nodes know a secret, as `~/.subind/environment` tells it to them."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: a tracker that is down
        tracker = f"http://127.0.0.1:{unused.getsockname()[1]}"
        account = {"MLFLOW_TRACKING_USERNAME": "anna", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        with head({"MLFLOW_TRACKING_URI": tracker, **account}) as found:
            yield found


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Folder]:
    with folder(tmp_path) as found:
        found.write_grid()
        yield found


def submitted(here: Folder, cluster: Head, *arguments: str) -> Process:
    options = ["--store", str(here.store), "--device", "cpu", *arguments]
    return here.start("submit", *options, environment=cluster.client())


def job_of(process: Process) -> str:
    """The name of the job, as the command told it."""
    assert process.stdout is not None
    found = re.search(r"subind-tiny-\w+", until(process.stdout.readline, process=process))
    assert found is not None
    return found[0]


def job_command(here: Folder, cluster: Head, command: str, *arguments: str) -> Process:
    return here.start_command(command, *arguments, environment=cluster.client())


def status_of(here: Folder, cluster: Head, job: str) -> str:
    told = json.loads(ended(job_command(here, cluster, "jobs", "--json")).out)
    return next(str(each["status"]) for each in told if each["job"] == job)


def test_submitted_sweep_is_followed_to_its_end_and_its_status_is_the_commands(here: Folder, cluster: Head) -> None:
    end = ended(submitted(here, cluster))
    assert end.status == 0, end
    assert "16 finished, 0 failed, 0 blocked, 0 running, 0 missing" in end.out
    assert len(here.records()) == sum(NUM_RUNS.values())


def test_sweep_of_a_killed_client_goes_on_and_is_found_again(here: Folder, cluster: Head) -> None:
    here.write_grid(donor=LONG)
    client = submitted(here, cluster)
    job = job_of(client)
    until(lambda: here.heartbeats("donor"))
    kill(client.pid)
    assert status_of(here, cluster, job) == "RUNNING"
    end = ended(job_command(here, cluster, "attach", job))
    assert end.status == 0, end
    assert "tiny: 16 runs in" in end.out
    assert "16 finished" in end.out
    assert end.out.count("tiny: 16 runs in") == 1
    assert len(here.records()) == sum(NUM_RUNS.values())


def test_ctrl_c_detaches_and_stop_ends_the_sweep_in_order(here: Folder, cluster: Head) -> None:
    here.write_grid(donor=LONG * 10)
    client = submitted(here, cluster)
    job = job_of(client)
    until(lambda: here.heartbeats("donor"))
    client.send_signal(signal.SIGINT)
    end = ended(client)
    assert end.status == 75
    assert end.err == f"{job} continues; `subind attach {job}` follows it again, `subind stop {job}` ends it\n"
    assert status_of(here, cluster, job) == "RUNNING"
    assert ended(job_command(here, cluster, "stop", job)).status == 0
    assert ended(job_command(here, cluster, "attach", job)).status == 130
    assert here.failures() == {}
    assert here.heartbeats() == []


def test_sweep_with_failed_runs_ends_the_command_with_the_drivers_status(here: Folder, cluster: Head) -> None:
    here.write_grid(rate=1e30)
    end = ended(submitted(here, cluster))
    assert end.status == 1, end
    assert "3 failed" in end.out


def test_no_secret_of_cluster_or_nodes_is_in_arguments_logs_or_store(here: Folder, cluster: Head) -> None:
    client = submitted(here, cluster)
    until(here.heartbeats, process=client)
    shown = [each.cmdline() for each in cluster.family()] + [[str(part) for part in client.args]]
    end = ended(client)
    token = cluster.token.read_text()
    texts = {"arguments": " ".join(map(" ".join, shown)), "the client's output": end.out + end.err}
    texts |= {
        str(path): path.read_bytes().decode(errors="replace")
        for root in (here.path, *cluster.folder.glob("ray/session_2*/logs"))
        for path in root.rglob("*")
        if path.is_file()
    }
    assert end.status == 0, end
    assert len(texts) > 20
    assert {name: secret for name, text in texts.items() for secret in (token, PASSWORD) if secret in text} == {}


def test_wrong_token_is_told_in_one_line_with_the_remedy(here: Folder, cluster: Head, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64)
    options = ["--store", str(here.store)]
    environment = {**cluster.client(), "RAY_AUTH_TOKEN_PATH": str(wrong)}
    end = here.run("submit", *options, environment=environment)
    assert end.status == 2
    assert len(end.err.splitlines()) == 1
    assert "refuses the token" in end.err
    assert "RAY_AUTH_TOKEN_PATH" in end.err


def test_unknown_job_is_told_in_one_line(here: Folder, cluster: Head) -> None:
    end = ended(job_command(here, cluster, "attach", "subind-nothing"))
    assert (end.status, len(end.err.splitlines())) == (2, 1)
    assert "`subind jobs` lists them" in end.err
