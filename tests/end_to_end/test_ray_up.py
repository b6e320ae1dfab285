"""`ray up` with the file for machines of one's own, on three hosts that are network namespaces: up, a sweep, down."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from subind.store import provenance
from tests.end_to_end.hosts import Lan, lan, skip_without_privileges
from tests.end_to_end.sweeps import NUM_RUNS, REPOSITORY, Folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CLUSTER_FILE = REPOSITORY / "clusters" / "on-premise.yaml"
NUM_HOSTS = 3
PATIENCE_SECONDS = 240.0
"""A busy machine sets up three virtual environments many times slower than an idle one."""


@pytest.fixture
def three() -> Iterator[Lan]:
    skip_without_privileges()
    with lan(NUM_HOSTS) as found:
        yield found


def rendered(lan: Lan) -> Path:
    """The cluster file with the addresses, the user and the key of this test, and nothing else changed."""
    config = yaml.safe_load(CLUSTER_FILE.read_text())
    head, *workers = (host.address for host in lan.hosts)
    config["provider"] |= {"head_ip": head, "worker_ips": workers}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(lan.key)}
    path = lan.desk.folder / "on-premise.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def said_by(lan: Lan, *command: str) -> str:
    """What a command says that succeeds."""
    status, said = lan.run(program(command[0]), *command[1:], cwd=lan.desk.folder, seconds=PATIENCE_SECONDS)
    assert status == 0, said
    return said


def until(holds: Callable[[], bool], told: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, told()
        time.sleep(0.5)


def ray_processes(lan: Lan, part: str) -> list[int]:
    """How many processes of Ray each host has whose command contains the part."""
    return [sum(part in each for each in lan.processes(host)) for host in lan.hosts]


def last_words(lan: Lan) -> list[str]:
    """The ends of the logs that say why something did not come up."""
    found = [*lan.folder.glob("host0/ray/session_2*/logs/monitor.*"), *lan.folder.glob("host*/sshd.log")]
    return [f"{path}: {path.read_text(errors='replace')[-3000:]}" for path in found]


def test_ray_up_on_three_hosts_runs_a_sweep_to_the_end_and_ray_down_ends_the_nodes(three: Lan) -> None:
    here = Folder(path=three.desk.folder)
    here.write_grid()
    commit = provenance.code().commit
    said_by(three, "subind", "bundle")
    # Workers that give way to all others starve on a busy machine.
    with (three.desk.home / ".subind" / "environment").open("a") as environment:
        environment.write("RAY_worker_niceness=0\n")
    cluster_file = rendered(three)
    said_by(three, "ray", "up", str(cluster_file), "--yes", "--no-config-cache")
    until(lambda: ray_processes(three, "/raylet/raylet ") == [1, 1, 1], lambda: last_words(three))

    forward = three.start(program("ray"), "dashboard", str(cluster_file), cwd=here.path)
    until(lambda: three.run(program("subind"), "jobs", cwd=here.path)[0] == 0, forward.poll)
    store = three.shared / "store"
    said = said_by(three, "subind", "submit", "tiny.py", "--store", str(store), "--device", "cpu", "--num-workers", "2")

    assert "16 finished, 0 failed, 0 blocked, 0 running, 0 missing" in said
    records = [json.loads(path.read_bytes()) for path in store.glob("runs/*/*/record.json")]
    assert len(records) == sum(NUM_RUNS.values())
    assert {record["provenance"]["host"] for record in records} <= {"host1", "host2"}
    assert {record["provenance"]["commit"] for record in records} == {commit}

    said_by(three, "ray", "down", str(cluster_file), "--yes")
    # Workers notice after a minute that the head is gone; what stays there then reads logs and computes nothing.
    for part in ("/raylet/raylet ", "/gcs/gcs_server ", "ray::"):
        until(
            lambda part=part: ray_processes(three, part) == [0, 0, 0],
            lambda: [three.processes(each) for each in three.hosts],
        )
