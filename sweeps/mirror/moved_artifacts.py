"""Where the artifacts of a store's own MLflow database are, after the store was moved or copied.

MLflow writes absolute paths into its database. Those that lead to another folder `mlartifacts` are set to the one next
to the database, of every experiment whose artifacts are found there.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sweeps.mirror import address

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
    if location is None or address.scheme(uri) != "sqlite":
        return
    database, here = address.sqlite_path(uri), _folder(location)
    if here != database.parent / FOLDER or not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=address.PROBE_SECONDS)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if {("experiments",), ("runs",)}.issubset(tables):
            for experiment, former in connection.execute(EXPERIMENTS).fetchall():
                if former != location and _folder(former).name == FOLDER:
                    _set_location(connection, experiment, former=former, location=location)
            connection.commit()


def _set_location(connection: sqlite3.Connection, experiment: int, *, former: str, location: str) -> None:
    runs = connection.execute(RUNS, (experiment,)).fetchall()
    if _folder(former).exists() and not any((_folder(location) / run).exists() for (run,) in runs):
        return
    connection.execute(SET_EXPERIMENT, (location, experiment))
    connection.execute(SET_RUNS, (location, len(former) + 1, experiment, len(former) + 1, f"{former}/"))


def find_artifacts_of_ui(uri: str, location: str | None) -> None:
    """The same before a UI is opened, which also opens where this cannot be done."""
    with suppress(sqlite3.Error, OSError):
        find_moved_artifacts(uri, location)


def _folder(location: str) -> Path:
    return Path(url2pathname(urlsplit(location).path))
