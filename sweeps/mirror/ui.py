"""The MLflow UI on a store's mirror: a child process on the loopback interface, for as long as the command runs."""

import os
import sqlite3
import sys
import webbrowser
from collections.abc import Callable
from contextlib import closing

from filelock import Timeout

from subind.store.store import Store
from sweeps.hosts.secrets import redacted
from sweeps.mirror import server_process, views
from sweeps.mirror.experiment import load_mlflow
from sweeps.mirror.tracker import (
    PROBE_SECONDS,
    artifact_location,
    chosen_tracking_uri,
    database_lock,
    find_artifacts_of_ui,
    is_new_database,
    make_database,
    scheme,
    sqlite_path,
    told,
)

ARGUMENTS = ("--workers", "1", "--no-serve-artifacts")
"""The UI only reads, for one."""

HOST_NAME = "subind.localhost"
"""On the name localhost and on 127.0.0.1 MLflow covers a quarter of the page with an assistant, once a browser.

Browsers resolve all names that end so to this machine; programs that do not take 127.0.0.1.
"""

TRAINING = "/#/experiments?workflowType=machine_learning"
"""The list of experiments in the mode of training; the page of the root opens in that of traces."""

SELECT_VIEWS = (
    "SELECT name, experiment_id, substr(key, ?) FROM experiments JOIN experiment_tags USING (experiment_id) "
    "WHERE key LIKE ? AND lifecycle_stage = 'active' ORDER BY experiment_id, length(key), key"
)


def own_pages(port: int) -> dict[str, str]:
    """Settings by which MLflow refuses pages of other sites, also if the environment, a team server's, allows them.

    Its own default accepts every Host header that begins with `10.` or `192.168.`, such as 10.evil.example.
    """
    names = ("localhost", "127.0.0.1", HOST_NAME)
    return {
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(form for name in names for form in (name, f"{name}:*")),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST_NAME}:{port}",
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
    }


def serve_ui(
    store: Store,
    *,
    port: int,
    tracking_uri: str | None = None,
    tell: Callable[[str], None] = lambda line: print(line, flush=True),
    browse: Callable[[str], object] | None = None,
) -> int:
    """Serve the UI until Ctrl-C or SIGTERM; its addresses are told at once, and `browse` gets the first in the end.

    It has no password, so no other machine reaches it. Returns 0 when it was ended so, else the exit status of MLflow.

    Raises ValueError if the port is taken or the tracker is a server, RuntimeError if MLflow does not start.
    """
    uri = chosen_tracking_uri(store, tracking_uri)
    if scheme(uri) in ("http", "https", "databricks"):
        shown = redacted(uri, uri)
        raise ValueError(f"tracking_uri is {shown!r}, a server with a UI of its own: open it in a browser")
    server_process.check_port(server_process.LOOPBACK, port)
    _make_database(uri)
    find_artifacts_of_ui(uri, artifact_location(store, uri))
    found = main_views(uri) or {"MLflow UI": TRAINING}
    for name, page in found.items():
        tell(f"{name}: http://{HOST_NAME}:{port}{page}")
    tell(f"(or http://{server_process.LOOPBACK}:{port} in place of http://{HOST_NAME}:{port})")

    def ready(_: str) -> None:
        tell("MLflow answers; Ctrl-C ends it")
        (browse or opened_browser)(f"http://{HOST_NAME}:{port}{next(iter(found.values()))}")

    environment = {"MLFLOW_BACKEND_STORE_URI": uri, **own_pages(port)}
    return server_process.serve(
        ARGUMENTS, environment, host=server_process.LOOPBACK, port=port, on_ready=ready, tell=tell
    )


def main_views(uri: str) -> dict[str, str]:
    """The page of the first view of each experiment of a SQLite database, comparisons of controls first."""
    if scheme(uri) != "sqlite":
        return {}
    try:
        with closing(sqlite3.connect(sqlite_path(uri), timeout=PROBE_SECONDS)) as connection:
            rows = connection.execute(SELECT_VIEWS, (len(views.PREFIX) + 1, f"{views.PREFIX}subind-%")).fetchall()
    except sqlite3.Error:
        return {}
    order = (views.CONTROLS, views.TRIALS)
    found: dict[str, str] = {}
    for kind in order:
        for name, experiment, key in rows:
            if key.startswith(kind) and name not in found:
                found[name] = views.address(str(experiment), key)
    return found


def opened_browser(url: str) -> None:
    """Open a browser on a page, if someone sits before a display."""
    has_display = sys.platform in {"darwin", "win32"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.stdout.isatty() and has_display:
        webbrowser.open(url)


def _make_database(uri: str) -> None:
    """Make the database unless there is one, so that MLflow's server is never killed half-way through it."""
    try:
        if is_new_database(uri):
            load_mlflow()
            with database_lock(uri):
                if is_new_database(uri):
                    make_database(uri)
    except (OSError, sqlite3.Error, Timeout) as error:
        raise ValueError(told(error, uri)) from None
