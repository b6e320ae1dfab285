"""`ray up` with the file for machines of one's own, on three hosts that are network namespaces: up, a sweep, down."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.hosts import Lan, lan, skip_without_privileges
from tests.end_to_end.sweeps import REPOSITORY

pytestmark = pytest.mark.slow

CLUSTER_FILE = REPOSITORY / "clusters" / "on-premise.yaml"
NUM_HOSTS = 3
PATIENCE_SECONDS = 240.0


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


def ray(lan: Lan, *arguments: str) -> str:
    status, said = lan.run(sys.executable, "-m", "ray.scripts.scripts", *arguments, cwd=lan.desk.folder)
    assert status == 0, said
    return said


def subind(lan: Lan, *arguments: str) -> tuple[int, str]:
    return lan.run(str(Path(sys.executable).with_name("subind")), *arguments, cwd=lan.desk.folder)


def until_nodes_are_up(lan: Lan, cluster_file: Path, number: int) -> None:
    """Wait until Ray counts so many nodes; the head sets up the workers after `ray up` has returned."""
    end = time.monotonic() + PATIENCE_SECONDS
    said = ""
    while time.monotonic() < end:
        said = ray(lan, "exec", str(cluster_file), "python -c 'import ray; ray.init(\"auto\", logging_level=50); "
                   "print(\"alive\", sum(node[\"Alive\"] for node in ray.nodes()))'")  # fmt: skip
        if f"alive {number}" in said:
            return
    logs = [path.read_text()[-4000:] for path in lan.folder.glob("host0/ray/session_latest/logs/monitor.*")]
    raise AssertionError((said, logs))


def test_ray_up_on_three_hosts_runs_a_sweep_to_the_end_and_ray_down_leaves_nothing(three: Lan) -> None:
    status, said = subind(three, "bundle")
    assert status == 0, said
    cluster_file = rendered(three)
    ray(three, "up", str(cluster_file), "--yes", "--no-config-cache")
    until_nodes_are_up(three, cluster_file, NUM_HOSTS)
