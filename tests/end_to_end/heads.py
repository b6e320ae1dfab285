"""A Ray head of a test's own, with dashboard and token, on loopback and on ports that nobody else has."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

START_SECONDS = 240.0
PORTS = (
    "port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "ray-client-server-port",
    "metrics-export-port", "node-manager-port", "object-manager-port", "runtime-env-agent-port",
)  # fmt: skip

DIES_WITH_THE_TEST = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
"""Also if the test is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the dashboard is, the file with the cluster's token, Ray's folder with its logs, and its process."""

    address: str
    token: Path
    folder: Path
    process: subprocess.Popen[bytes]

    def client(self) -> dict[str, str]:
        """The environment of a machine that may use the cluster."""
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "RAY_API_SERVER_ADDRESS": self.address,
        }

    def family(self) -> list[psutil.Process]:
        """Every process of the cluster."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]


@contextlib.contextmanager
def head(environment: Mapping[str, str], *, num_cpus: int = 2) -> Iterator[Head]:
    """A head whose processes have these variables besides; it and all that it started are gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix="subind-head-"))  # short: sockets below it have paths of 107 characters
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
    python = Path(sys.executable).parent
    process = subprocess.Popen(
        [
            *DIES_WITH_THE_TEST, python / "ray", "start", "--head", "--block", f"--temp-dir={folder}/ray",
            f"--num-cpus={num_cpus}",
            "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--min-worker-port=0", "--max-worker-port=0",
            *(f"--{name}={port}" for name, port in ports.items()),
        ],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))},
            "PATH": os.pathsep.join([str(python), os.environ["PATH"]]),
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # workers that give way to all others starve on a busy machine
            **environment,
        },
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    found = Head(address=f"http://127.0.0.1:{ports['dashboard-port']}", token=token, folder=folder, process=process)
    try:
        _wait_for_dashboard(found, ports["dashboard-port"])
        yield found
    finally:
        _end(found)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_dashboard(head: Head, port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < until, "the dashboard does not answer"
        assert head.process.poll() is None, "Ray has ended"
        time.sleep(0.2)


def _end(head: Head) -> None:
    family = [] if head.process.poll() is not None else head.family()
    head.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        head.process.wait(timeout=30)
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    head.process.wait()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
