"""`sbatch clusters/slurm.sbatch` under a real controller with two nodes, queued again twice on its way."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.slurm import Slurm, skip_without_slurm, slurm
from tests.end_to_end.sweeps import REPOSITORY, Folder, folder, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

MASK_EPOCHS = 4500
"""Longer than heartbeats are apart, so that a mask can be hit in its midst."""


@pytest.fixture
def two_nodes() -> Iterator[Slurm]:
    skip_without_slurm()
    with slurm(2) as found:
        yield found


@pytest.fixture
def here(two_nodes: Slurm) -> Folder:
    """The desk's folder, with a grid and a store that all nodes see."""
    found = Folder(path=two_nodes.lan.desk.folder)
    (two_nodes.lan.shared / "store").mkdir()
    found.store.symlink_to(two_nodes.lan.shared / "store")
    found.write_grid(mask=MASK_EPOCHS)
    return found


def _submitted(slurm: Slurm, here: Folder, *, num_nodes: int) -> str:
    script, store = str(REPOSITORY / "clusters" / "slurm.sbatch"), str(slurm.lan.shared / "store")
    options = ["--parsable", f"--nodes={num_nodes}", "--time=30"]
    return slurm.run("sbatch", *options, script, here.grid, "--store", store, "--device", "cpu")


def _mask_under_way(slurm: Slurm, here: Folder, job: str, *, after: int) -> dict[str, Any]:
    """The heartbeat of a mask some steps into it, in the job's attempt after so many restarts."""

    def found() -> list[dict[str, Any]]:
        is_running = slurm.state(job) == "RUNNING" and slurm.num_restarts(job) == after
        return [each for each in here.heartbeats("mask") if is_running and each["time"] > started and each["step"] > 0]

    started = time.time()
    return dict(until(found)[0])


def _log(here: Folder, job: str) -> str:
    return (here.path / f"subind-{job}.log").read_text()


def test_job_queued_again_by_its_limit_and_by_hand_gives_the_rows_of_a_local_run(
    two_nodes: Slurm, here: Folder, tmp_path: Path
) -> None:
    job = _submitted(two_nodes, here, num_nodes=2)
    _mask_under_way(two_nodes, here, job, after=0)
    lan = two_nodes.lan
    assert [sum("/raylet/raylet " in each for each in lan.processes(host)) for host in lan.hosts] == [1, 1]
    (token,) = (lan.desk.home / ".subind").glob("slurm-*.token")
    assert token.stat().st_mode & 0o077 == 0
    secret = token.read_text().strip()
    assert len(secret) == 64
    assert not [each for each in two_nodes.processes() if secret in each]

    two_nodes.run("scancel", "--batch", "--signal=TERM", job)  # what Slurm sends before the limit
    _mask_under_way(two_nodes, here, job, after=1)
    two_nodes.run("scontrol", "requeue", job)
    until(lambda: two_nodes.state(job) in {"COMPLETED", "FAILED", "CANCELLED"})
    log = _log(here, job)
    assert (two_nodes.state(job), two_nodes.num_restarts(job)) == ("COMPLETED", 2), log
    assert "16 finished, 0 failed, 0 blocked, 0 running, 0 missing" in log or "16 of 16 runs finished · done" in log
    assert secret not in log
    until(lambda: not any("raylet" in each or "gcs_server" in each for each in two_nodes.processes()))
    assert not token.exists()

    with folder(tmp_path) as calm:
        calm.write_grid(mask=MASK_EPOCHS)
        assert calm.run("run").status == 0
        assert here.results() == calm.results()


def test_cancelled_job_is_not_queued_again_and_listens_on_loopback_alone(two_nodes: Slurm, here: Folder) -> None:
    job = _submitted(two_nodes, here, num_nodes=1)
    _mask_under_way(two_nodes, here, job, after=0)
    (gcs,) = [each for each in two_nodes.processes() if "/gcs/gcs_server " in each]
    assert "--node-ip-address=127.0.0.1" in gcs
    two_nodes.run("scancel", job)
    until(lambda: two_nodes.state(job) not in {"RUNNING", "COMPLETING"})
    assert (two_nodes.state(job), two_nodes.num_restarts(job)) == ("CANCELLED", 0)
    assert not any("raylet" in each for each in two_nodes.processes())
