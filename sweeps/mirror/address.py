"""Where the tracker is: its address, its settings, whether it answers, and texts without its secrets."""

import logging
import os
import re
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from subind.specs.quoting import LONGEST_PATH, quoted, shortened
from subind.store.store import Store, opened_files
from sweeps.hosts.given_paths import at_home
from sweeps.hosts.secrets import redacted

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
"""Seconds and attempts are few, for a tracker that is down must not hold up a sweep. What the user has set stays."""

PROBE_SECONDS = 5.0
"""How long a database may take to answer."""

DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
SCHEMES = ("sqlite", *DATABASE_PORTS, "http", "https", "databricks")


def default_tracking_uri(store: Store) -> str:
    """The SQLite database in the store's folder. Raises ValueError if the store is no folder of this machine alone.

    SQLite relies on locks that network file systems do not keep.
    """
    if store.is_shared():
        raise ValueError(
            f"tracking_uri is unset and the store {redacted(store.url, store.url)} is no local folder, so it holds no "
            "SQLite database: give a tracking URI or set MLFLOW_TRACKING_URI to that of an MLflow server"
        )
    return sqlite_uri(Path(store_root(store), "mlflow.db"))


def chosen_tracking_uri(store: Store, given: str | None) -> str:
    """The given URI, else that of MLFLOW_TRACKING_URI, else the database in the store's folder.

    Raises ValueError for a scheme that is none of MLflow's databases and servers.
    """
    uri = given or at_home(os.environ.get("MLFLOW_TRACKING_URI", ""), "MLFLOW_TRACKING_URI")
    uri = uri or default_tracking_uri(store)
    if scheme(uri) not in SCHEMES:
        raise ValueError(
            f"tracking_uri is {quoted(redacted(uri, uri))}: give a URI that begins with one of {', '.join(SCHEMES)}"
        )
    return uri


def store_root(store: Store) -> str:
    """The store's folder as a path of its file system."""
    return opened_files(store.url).root


def scheme(uri: str) -> str:
    """The URI's scheme without its driver: `postgresql` of postgresql+psycopg://host."""
    return uri.partition(":")[0].partition("+")[0].lower()


def sqlite_uri(path: Path) -> str:
    """The URI of a SQLite file."""
    return "sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F")


def sqlite_path(uri: str) -> Path:
    """The file of a SQLite URI."""
    return Path(unquote(uri.partition(":///")[2].partition("?")[0])).absolute()


def artifact_location(store: Store, uri: str) -> str | None:
    """Where the artifacts of a database's runs are kept; a server has its own place."""
    if scheme(uri) in ("http", "https", "databricks"):
        return None
    if store.is_local:
        return Path(store_root(store), "mlartifacts").as_uri()
    return store.url.rstrip("/") + "/mlartifacts"


def apply_settings() -> None:
    """Set MLflow's environment variables where the user has not.

    To be called before MLflow is imported, for it decides on telemetry then.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def silence() -> None:
    """Keep the log of MLflow to itself: its errors reach the user through the outcome of a mirror, without secrets.

    To be called after MLflow is imported, for that configures the loggers.
    """
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def check_database(uri: str) -> None:
    """Raise OSError or sqlite3.Error within seconds if the database cannot be reached or written.

    MLflow itself tries a dead database for more than a minute. A server has the timeouts of the settings.
    """
    if scheme(uri) == "sqlite":
        path = sqlite_path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=PROBE_SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    elif scheme(uri) in DATABASE_PORTS:
        parts = urlsplit(uri)
        address = (parts.hostname or "localhost", parts.port or DATABASE_PORTS[scheme(uri)])
        socket.create_connection(address, timeout=PROBE_SECONDS).close()


def told(error: Exception, uri: str) -> str:
    """An error of a tracker in a line, without the SQL statement and its values, and without credentials."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    of_database = re.search(r"\(\w+\.\w+\) .+", str(error))  # SQLAlchemy puts the statement in the lines below
    line = of_database[0] if of_database else lines[0]
    return f"{shortened(redacted(line, uri), LONGEST_PATH)} (tracker {redacted(uri, uri)})"
