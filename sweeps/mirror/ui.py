"""The MLflow UI on a store's mirror: a child process on the loopback interface, for as long as the command runs."""

import sqlite3
from collections.abc import Callable

from filelock import Timeout

from subind.store.store import Store
from sweeps.hosts.secrets import redacted
from sweeps.mirror import server_process
from sweeps.mirror.address import artifact_location, chosen_tracking_uri, scheme, told
from sweeps.mirror.database import database_lock, is_new_database, make_database
from sweeps.mirror.experiment import load_mlflow
from sweeps.mirror.moved_artifacts import find_artifacts_of_ui

ARGUMENTS = ("--workers", "1", "--no-serve-artifacts")
"""The UI only reads, for one."""

OWN_PAGES = {
    "MLFLOW_SERVER_ALLOWED_HOSTS": "localhost,localhost:*,127.0.0.1,127.0.0.1:*",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
}
"""MLflow refuses pages of other sites, also if the environment, which may be that of a team's server, allows them.

Its own default accepts every Host header that begins with `10.` or `192.168.`, such as 10.evil.example.
"""


def serve_ui(
    store: Store,
    *,
    port: int,
    tracking_uri: str | None = None,
    on_ready: Callable[[str], None] = lambda url: print(f"MLflow UI: {url} (Ctrl-C ends it)", flush=True),
) -> int:
    """Serve the UI until Ctrl-C or SIGTERM; `on_ready` is called with its URL once it answers.

    It has no password, so no other machine reaches it. Returns 0 when it was ended so, else the exit status of MLflow.

    Raises ValueError if the port is taken or the tracker is a server, RuntimeError if MLflow does not start.
    """
    uri = chosen_tracking_uri(store, tracking_uri)
    if scheme(uri) in ("http", "https", "databricks"):
        shown = redacted(uri, uri)
        raise ValueError(f"tracking_uri is {shown!r}, a server with a UI of its own: open it in a browser")
    _make_database(uri)
    find_artifacts_of_ui(uri, artifact_location(store, uri))
    environment = {"MLFLOW_BACKEND_STORE_URI": uri, **OWN_PAGES}
    return server_process.serve(ARGUMENTS, environment, host=server_process.LOOPBACK, port=port, on_ready=on_ready)


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
