"""An MLflow server as a child process: started, waited for, and ended with all its workers.

What it is to be is told by arguments; addresses with credentials and passwords go by the environment, for everyone
sees arguments in the list of processes.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sweeps.hosts import stop_signals
from sweeps.hosts.patience import pause
from sweeps.mirror import tracker

LOOPBACK = "127.0.0.1"

SERVER_SETTINGS = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",
}
"""No job workers, no chatter."""

QUIET = ("--uvicorn-opts", "--log-level warning")
"""No line per request."""

ENDS_WITH_PARENT = """
import os, signal, subprocess, sys, threading, time

def end_with_parent():
    sys.stdin.buffer.read()
    for ending in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(0, ending)
        time.sleep(10)

signal.signal(signal.SIGTERM, lambda *_: None)
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
threading.Thread(target=end_with_parent, daemon=True).start()
sys.exit(child.wait())
"""
"""Runs a command, and ends its process group when standard input ends, which `kill -9` of the parent does."""

START_SECONDS = 300.0
SECONDS_BETWEEN_LINES = 2.0
STOP_SECONDS = 10.0


def serve(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    tell: Callable[[str], None] = print,
) -> int:
    """Run `mlflow server` until Ctrl-C, SIGTERM or the end of the terminal; `on_ready` gets its URL once it answers.

    Until then `tell` gets a line every two seconds.
    Returns 0 when it was ended so, else the exit status of MLflow.

    Raises ValueError if the port is taken, RuntimeError if MLflow does not start.
    """
    check_port(host, port)
    with stop_signals.interrupting(), _server(arguments, environment, host=host, port=port) as child:
        try:
            reached = LOOPBACK if host in ("0.0.0.0", "::") else host  # noqa: S104  what any address is reached by
            _wait_until_ready(child, reached, port, tell)
            on_ready(f"http://{reached}:{port}")
            return child.wait()
        except KeyboardInterrupt:
            return 0


def check_port(host: str, port: int) -> None:
    """Raise ValueError unless the port can be listened on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise ValueError(f"port is {port}: it cannot be listened on ({error}), give another") from None


@contextmanager
def _server(
    arguments: Sequence[str], environment: Mapping[str, str], *, host: str, port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow in a session of its own, ended with all its workers."""
    mlflow = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), *QUIET, *arguments]
    settings = {**tracker.SETTINGS, **SERVER_SETTINGS, **os.environ, **environment}
    command = [sys.executable, "-c", ENDS_WITH_PARENT, *mlflow]
    child = subprocess.Popen(
        command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    for ending in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, ending)
        except ProcessLookupError:
            break
        try:
            child.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    child.wait()
    if child.stdin is not None:
        child.stdin.close()


def _wait_until_ready(child: subprocess.Popen[bytes], host: str, port: int, tell: Callable[[str], None]) -> None:
    start, num_lines = time.monotonic(), 0
    address = f"[{host}]" if ":" in host else host
    while child.poll() is None and (waited := time.monotonic() - start) < START_SECONDS:
        if waited >= SECONDS_BETWEEN_LINES * (num_lines + 1):
            num_lines += 1
            tell(f"MLflow starts, {waited:.0f} s")
        try:
            with urllib.request.urlopen(f"http://{address}:{port}/health", timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pause(0.2)
    if child.poll() is None:
        raise RuntimeError(
            f"MLflow did not answer on port {port} in {START_SECONDS:.0f} s: is this machine overloaded?"
        )
    raise RuntimeError(
        f"MLflow ended with status {child.returncode} before it served port {port}: its message is above"
    )
