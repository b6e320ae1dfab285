"""The MLflow UI on a store's mirror: a child process on the loopback interface, for as long as the command runs."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from subind.store import Store
from sweeps import tracking_uri
from sweeps.tracking_uri import chosen_tracking_uri, redacted, scheme

HOST = "127.0.0.1"
"""The UI has no password, so no other machine reaches it."""

QUIET = ("--no-serve-artifacts", "--uvicorn-opts", "--log-level warning")
SERVER_SETTINGS = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",
}
"""The UI only reads: no job workers, no artifact proxy, no line per request."""

START_SECONDS = 300.0
STOP_SECONDS = 10.0


def serve_ui(
    store: Store,
    *,
    port: int,
    tracking_uri: str | None = None,
    on_ready: Callable[[str], None] = lambda url: print(f"MLflow UI: {url} (Ctrl-C ends it)", flush=True),
) -> int:
    """Serve the UI until Ctrl-C or SIGTERM; `on_ready` is called with its URL once it answers.

    Returns 0 when it was ended so, else the exit status of MLflow.

    Raises ValueError if the port is taken or the tracker is a server, RuntimeError if MLflow does not start.
    """
    uri = chosen_tracking_uri(store, tracking_uri)
    if scheme(uri) in ("http", "https", "databricks"):
        shown = redacted(uri, uri)
        raise ValueError(f"tracking_uri is {shown!r}, a server with a UI of its own: open it in a browser")
    _check_port(port)
    with _interrupted_by_sigterm(), _server(uri, port) as child:
        try:
            _wait_until_ready(child, port)
            on_ready(f"http://{HOST}:{port}")
            return child.wait()
        except KeyboardInterrupt:
            return 0


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise ValueError(f"port is {port}: it cannot be listened on ({error}), give another") from None


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Ends like Ctrl-C, so that the child is never left behind."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _server(uri: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow in a session of its own, ended with all its workers.

    The URI goes by the environment, for everyone sees arguments in the list of processes.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1", *QUIET]
    environment = {**tracking_uri.SETTINGS, **SERVER_SETTINGS, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
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


def _wait_until_ready(child: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    if child.poll() is None:
        raise RuntimeError(
            f"MLflow did not answer on port {port} in {START_SECONDS:.0f} s: is this machine overloaded?"
        )
    raise RuntimeError(
        f"MLflow ended with status {child.returncode} before it served port {port}: its message is above"
    )
