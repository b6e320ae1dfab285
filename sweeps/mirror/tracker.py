"""The tracker: its address and settings, whether it answers, and what the SQLite database of a store needs.

MLflow makes its tables in dozens of steps and cannot go on with a file in which it was killed half-way, so a database
is made whole under another name, then renamed. MLflow writes absolute paths into it: those that lead to another folder
`mlartifacts` are set to the one next to the database, so that a store that was moved or copied keeps its pictures.
"""

import logging
import os
import re
import socket
import sqlite3
import warnings
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from filelock import FileLock

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


LOCK_SECONDS = 10.0
"""How long a mirror waits for its turn."""


def database_lock(uri: str) -> FileLock:
    """The lock that all who write to the SQLite database share."""
    path = sqlite_path(uri).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, timeout=LOCK_SECONDS)


def is_new_database(uri: str) -> bool:
    """Whether it is a SQLite database that is not there yet, or one whose making was cut short.

    Raises sqlite3.Error if the file cannot be read.
    """
    if scheme(uri) != "sqlite":
        return False
    path = sqlite_path(uri)
    if not path.exists() or path.stat().st_size == 0:
        return True
    with closing(sqlite3.connect(path, timeout=PROBE_SECONDS)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return not any(_has_rows(connection, table) for table in {"alembic_version", "runs"} & tables)


def make_database(uri: str) -> None:
    """Make the database with all of MLflow's tables, in the place of one whose making was cut short.

    To be called under the lock of the mirror. MLflow's settings stand and it is imported.
    """
    path = sqlite_path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    for name in (unfinished.name, f"{unfinished.name}-journal", f"{path.name}-journal"):
        path.with_name(name).unlink(missing_ok=True)
    with warnings.catch_warnings():
        # MLflow uses a loader of SQLAlchemy that is deprecated there; it says so when its tables are first mapped.
        warnings.simplefilter("ignore", DeprecationWarning)
        _make_tables(sqlite_uri(unfinished))
    unfinished.replace(path)


def _make_tables(uri: str) -> None:
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
    try:
        _initialize_tables(engine)  # type: ignore[no-untyped-call]
    finally:
        engine.dispose()


def _has_rows(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None  # noqa: S608  names of MLflow's


FOLDER = "mlartifacts"

EXPERIMENTS = "SELECT experiment_id, artifact_location FROM experiments WHERE artifact_location LIKE 'file:%'"
RUNS = "SELECT run_uuid FROM runs WHERE experiment_id = ?"
SET_EXPERIMENT = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
SET_RUNS = (
    "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
    "WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?"
)


def find_moved_artifacts(uri: str, location: str | None) -> None:
    """Let a SQLite database find its artifacts at `location`, if that is the folder next to it.

    An experiment whose artifacts are elsewhere, such as one of another store, stays as it is. Raises sqlite3.Error if
    the database cannot be read or written.
    """
    if location is None or scheme(uri) != "sqlite":
        return
    database, here = sqlite_path(uri), _folder(location)
    if here != database.parent / FOLDER or not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=PROBE_SECONDS)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if {("experiments",), ("runs",)}.issubset(tables):
            for experiment, former in connection.execute(EXPERIMENTS).fetchall():
                if former != location and _folder(former).name == FOLDER:
                    _set_location(connection, experiment, former=former, location=location)
            connection.commit()


def _set_location(connection: sqlite3.Connection, experiment: int, *, former: str, location: str) -> None:
    runs = connection.execute(RUNS, (experiment,)).fetchall()
    has = [any((_folder(place) / run).exists() for (run,) in runs) for place in (former, location)]
    if has == [True, False]:
        return
    connection.execute(SET_EXPERIMENT, (location, experiment))
    connection.execute(SET_RUNS, (location, len(former) + 1, experiment, len(former) + 1, f"{former}/"))


def find_artifacts_of_ui(uri: str, location: str | None) -> None:
    """The same before a UI is opened, which also opens where this cannot be done."""
    with suppress(sqlite3.Error, OSError):
        find_moved_artifacts(uri, location)


def _folder(location: str) -> Path:
    return Path(url2pathname(urlsplit(location).path))
