"""Sweeps on a cluster whose nodes are lost. The oracle of each is the undisturbed sweep on this machine alone."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.clusters import RunningCluster, cluster
from tests.end_to_end.sweeps import REPOSITORY, Folder, Process, ended, family, folder, is_gone, kill, until

LONG = 4500
"""Epochs of a mask: longer than heartbeats are apart, so that a pack can be hit in its midst."""

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Folder]:
    with folder(tmp_path) as found:
        found.write_grid(mask=LONG)
        yield found


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The results of a sweep that nothing has disturbed."""
    with folder(tmp_path_factory.mktemp("calm")) as found:
        found.write_grid(mask=LONG)
        assert found.run("run").status == 0
        yield found.results()


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator[RunningCluster]:
    with cluster(num_nodes=2) as found:
        yield found


@pytest.fixture
def two_nodes(shared_cluster: RunningCluster) -> RunningCluster:
    """A cluster of a head without CPUs and two sound nodes of one CPU."""
    shared_cluster.with_nodes(2)
    return shared_cluster


def _mask_under_way(here: Folder, driver: Process) -> dict[str, Any]:
    """The heartbeat of a mask that is being trained, some steps into it."""
    return dict(until(lambda: [each for each in here.heartbeats("mask") if each["step"] > 0], process=driver)[0])


def _run(here: Folder, on: RunningCluster, *arguments: str) -> Process:
    return here.start("run", "--address", on.address, *arguments)


# ---- nodes are lost


@pytest.mark.slow
def test_sweep_on_a_cluster_gives_the_bits_of_one_on_this_machine(
    here: Folder, calm: dict[str, Any], two_nodes: RunningCluster
) -> None:
    end = ended(_run(here, two_nodes))
    assert (end.status, end.err) == (0, "")
    assert here.results() == calm
    assert here.mirrored() == sorted(here.records())


@pytest.mark.slow
def test_node_killed_in_mid_pack_costs_no_attempt_and_no_bit(
    here: Folder, calm: dict[str, Any], two_nodes: RunningCluster
) -> None:
    driver = _run(here, two_nodes)
    beat = _mask_under_way(here, driver)
    before = here.states()
    two_nodes.node_of(beat["process"]).kill()
    two_nodes.with_nodes(2)
    end = ended(driver)
    assert (end.status, here.failures()) == (0, {})
    assert f"{beat['pack']}: node lost" in end.out, end.out
    assert {run: here.states()[run] for run in before} == before
    assert here.results() == calm


@pytest.mark.long
def test_preempted_node_costs_no_attempt_and_no_bit(
    here: Folder, calm: dict[str, Any], two_nodes: RunningCluster
) -> None:
    driver = _run(here, two_nodes)
    beat = _mask_under_way(here, driver)
    node = two_nodes.node_of(beat["process"])
    two_nodes.preempt(node)
    until(lambda: is_gone(node.raylet), process=driver)
    two_nodes.with_nodes(2)
    end = ended(driver)
    assert (end.status, here.failures()) == (0, {})
    assert here.results() == calm


@pytest.mark.long
def test_node_behind_a_partition_that_comes_back_changes_no_bit(
    here: Folder, calm: dict[str, Any], two_nodes: RunningCluster
) -> None:
    driver = _run(here, two_nodes)
    beat = _mask_under_way(here, driver)
    node = two_nodes.node_of(beat["process"])
    node.signal(signal.SIGSTOP)
    until(lambda: _others(here, beat), process=driver)
    node.signal(signal.SIGCONT)
    end = ended(driver)
    assert (end.status, here.failures()) == (0, {})
    assert f"{beat['pack']}: node lost" in end.out
    assert here.results() == calm


def _others(here: Folder, beat: dict[str, Any]) -> list[dict[str, Any]]:
    """Heartbeats of the pack from another process."""
    return [each for each in here.heartbeats("mask") if _is_next(each, beat)]


def _is_next(each: dict[str, Any], beat: dict[str, Any]) -> bool:
    return each["pack"] == beat["pack"] and each["process"] != beat["process"]


@pytest.mark.long
def test_head_that_dies_with_its_driver_is_replaced_and_nothing_is_lost(here: Folder, calm: dict[str, Any]) -> None:
    with cluster(num_nodes=2) as first:
        driver = _run(here, first)
        _mask_under_way(here, driver)
        first.kill()
        for each in (driver.pid, *(process.pid for process in family(driver))):
            kill(each)
        driver.communicate()
    before = here.states()
    with cluster(num_nodes=2) as second:
        end = ended(_run(here, second))
    assert (end.status, here.failures()) == (0, {})
    assert {run: here.states()[run] for run in before} == before
    assert here.results() == calm


# ---- a node is there, and wrong

FULL_DISK = """import resource

resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""
"""Python runs this when it starts: no file of the process grows beyond 4 kB, which is more than a heartbeat takes and
less than a donor's weights."""


@pytest.mark.long
def test_driver_whose_clusters_head_is_killed_ends_in_a_line_that_says_so(here: Folder) -> None:
    with cluster(num_nodes=1) as nodes:
        driver = _run(here, nodes)
        _mask_under_way(here, driver)
        nodes.kill_gcs()
        end = ended(driver)
    assert end.status == 3
    (line,) = end.err.splitlines()
    assert re.fullmatch(r"subind: the cluster's head at 127\.0\.0\.2:\d+ has not answered for 30 s: start it .*", line)
    assert here.failures() == {}


@pytest.mark.long
def test_node_with_a_full_disk_fails_no_run(
    here: Folder, calm: dict[str, Any], two_nodes: RunningCluster, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(FULL_DISK)
    two_nodes.with_nodes(1)
    full = two_nodes.add({"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(REPOSITORY)])})
    end = ended(_run(here, two_nodes))
    two_nodes.remove(full)
    assert "store failed (" in end.out
    assert (end.status, here.failures()) == (0, {})
    assert here.results() == calm


OTHER_CLOCK = f"""import os
import sys

if any(word.endswith("default_worker.py") for word in sys.orig_argv) and "LD_PRELOAD" not in os.environ:
    os.environ["LD_PRELOAD"] = {str(FAKETIME)!r}
    os.execv(sys.executable, sys.orig_argv)
"""
"""A worker that starts begins once more, under the clock that `FAKETIME` tells: Ray takes LD_PRELOAD from workers."""


@pytest.mark.long
@pytest.mark.skipif(not FAKETIME.exists(), reason="Debian's package faketime is not installed")
@pytest.mark.parametrize("offset", ["+2h", "-2h"])
def test_node_whose_clock_is_wrong_changes_no_bit(
    here: Folder, calm: dict[str, Any], two_nodes: RunningCluster, offset: str
) -> None:
    (here.path / "site").mkdir()
    (here.path / "site" / "sitecustomize.py").write_text(OTHER_CLOCK)
    path = os.pathsep.join([str(here.path / "site"), str(REPOSITORY)])
    two_nodes.with_nodes(1)
    wrong = two_nodes.add({"PYTHONPATH": path, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    driver = _run(here, two_nodes)
    _mask_under_way(here, driver)
    kill(driver.pid)
    driver.communicate()
    end = ended(_run(here, two_nodes))
    two_nodes.remove(wrong)
    assert (end.status, here.failures()) == (0, {})
    assert max(map(_hours_off, here.records().values())) > 1.5
    assert here.results() == calm


def _hours_off(record: Path) -> float:
    """How far the times of a record are from now."""
    started = datetime.fromisoformat(json.loads(record.read_bytes())["provenance"]["started"])
    return abs((datetime.now(UTC) - started).total_seconds()) / 3600


# ---- what is refused, and what is waited for


@pytest.mark.slow
def test_cluster_without_nodes_is_waited_for(here: Folder) -> None:
    here.write_grid()
    with cluster(num_nodes=0) as empty:
        driver = _run(here, empty, "--num-workers", "1")
        assert driver.stdout is not None
        assert "waiting for a first node with a CPU" in driver.stdout.readline()
        empty.add()
        assert ended(driver).status == 0


@pytest.mark.long
def test_node_with_other_sources_is_refused(here: Folder, two_nodes: RunningCluster, tmp_path: Path) -> None:
    for package in ("subind", "sweeps", "analysis"):
        shutil.copytree(REPOSITORY / package, tmp_path / "other" / package)
    (tmp_path / "other" / "subind" / "newer.py").write_text("")
    node = two_nodes.add({"PYTHONPATH": str(tmp_path / "other")})
    end = ended(_run(here, two_nodes))
    two_nodes.remove(node)
    assert end.status == 2
    assert "has other sources of subind than the driver" in end.err
    assert not here.records()


@pytest.mark.slow
def test_more_workers_than_a_cluster_has_need_a_store_that_new_nodes_share(
    here: Folder, two_nodes: RunningCluster
) -> None:
    end = ended(_run(here, two_nodes, "--num-workers", "3"))
    assert end.status == 2
    assert "give one on s3://, gs:// or a network file system" in end.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ray://127.0.0.1:10001", "send it there with `subind submit`"),
        ("127.0.0.9:6390", "no Ray cluster answers there"),
    ],
)
def test_address_that_cannot_be_is_refused_with_the_remedy(here: Folder, address: str, told: str) -> None:
    end = here.run("run", "--address", address)
    assert end.status == 2
    assert told in end.err
