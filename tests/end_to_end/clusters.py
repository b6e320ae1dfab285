"""Clusters for end-to-end tests: several nodes on this machine that can be killed, preempted, frozen or made faulty."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.end_to_end.sweeps import REPOSITORY, is_gone, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster: its id and the process of its raylet, whose children are its workers."""

    id: str
    raylet: psutil.Process

    def workers(self) -> list[psutil.Process]:
        """The worker processes of the node."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return list(self.raylet.children(recursive=True))
        return []

    def signal(self, number: int) -> None:
        """Send a signal to the raylet and, after it, to all of its workers."""
        processes = [self.raylet, *self.workers()]
        for each in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    def kill(self) -> None:
        """Lose the machine: raylet and workers at once."""
        self.signal(signal.SIGKILL)


@dataclass(slots=True, kw_only=True)
class RunningCluster:
    """A running cluster, its address and its nodes."""

    process: subprocess.Popen[str]
    log: Path
    address: str = ""
    nodes: list[Node] = field(default_factory=list)

    def add(self, environment: Mapping[str, str] | None = None) -> Node:
        """A new node with one CPU; its processes have these environment variables too."""
        found = self._asked({"add": dict(environment or {})})
        node = Node(id=found["id"], raylet=psutil.Process(found["raylet"]))
        self.nodes.append(node)
        return node

    def preempt(self, node: Node) -> None:
        """Tell the cluster that a node is about to be taken away."""
        assert self._asked({"preempt": node.id})["accepted"]

    def with_nodes(self, number: int) -> list[Node]:
        """So many living nodes; what is missing is added, what is too many is taken away."""
        self.nodes = [node for node in self.nodes if not is_gone(node.raylet)]
        while len(self.nodes) < number:
            self.add()
        for node in self.nodes[number:]:
            self.remove(node)
        return list(self.nodes)

    def remove(self, node: Node) -> None:
        """Take a node away."""
        node.kill()
        self.nodes.remove(node)

    def node_of(self, process: int) -> Node:
        """The node on which a worker process runs."""
        return next(node for node in self.nodes if process in {each.pid for each in node.workers()})

    def kill(self) -> None:
        """Lose the head and every node at once, if they are not lost already."""
        if self.process.poll() is not None:
            return
        for each in (psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.communicate()

    def kill_gcs(self) -> None:
        """Lose what keeps the cluster together; its nodes notice later."""
        for each in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if each.name().startswith("gcs_server"):
                    each.kill()

    def _asked(self, command: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next line that the cluster's process says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the process of the cluster has ended: {self.log.read_text()[-4000:]}"
        return dict(json.loads(line))


@contextlib.contextmanager
def cluster(num_nodes: int, *, log: Path | None = None) -> Iterator[RunningCluster]:
    """A cluster of a head and so many nodes for the time of the block; what Ray says of itself goes to `log`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RAY_"))}
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    with tempfile.TemporaryDirectory(prefix="subind-cluster-") as folder:
        log = log or Path(folder, "log")
        with log.open("a") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.end_to_end.cluster_process"],
                cwd=REPOSITORY,
                env={**inherited, **quiet, "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,
            )
        yield from _running(RunningCluster(process=process, log=log), num_nodes)


def _running(found: RunningCluster, num_nodes: int) -> Iterator[RunningCluster]:
    try:
        found.address = found.answer()["address"]
        for _ in range(num_nodes):
            found.add()
        yield found
    finally:
        _end(found)


def _end(found: RunningCluster) -> None:
    if found.process.poll() is None:
        members = psutil.Process(found.process.pid).children(recursive=True)
        found.kill()
        until(lambda: all(map(is_gone, members)))
