"""The SQLite database of a store's mirror: made whole under another name, then renamed.

MLflow makes its tables in dozens of steps and cannot go on with a file in which it was killed half-way.
"""

import sqlite3
import warnings
from contextlib import closing

from filelock import FileLock

from sweeps.mirror import address

LOCK_SECONDS = 10.0
"""How long a mirror waits for its turn."""


def database_lock(uri: str) -> FileLock:
    """The lock that all who write to the SQLite database share."""
    path = address.sqlite_path(uri).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, timeout=LOCK_SECONDS)


def is_new_database(uri: str) -> bool:
    """Whether it is a SQLite database that is not there yet, or one whose making was cut short.

    Raises sqlite3.Error if the file cannot be read.
    """
    if address.scheme(uri) != "sqlite":
        return False
    path = address.sqlite_path(uri)
    if not path.exists() or path.stat().st_size == 0:
        return True
    with closing(sqlite3.connect(path, timeout=address.PROBE_SECONDS)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return not any(_has_rows(connection, table) for table in {"alembic_version", "runs"} & tables)


def make_database(uri: str) -> None:
    """Make the database with all of MLflow's tables, in the place of one whose making was cut short.

    To be called under the lock of the mirror. MLflow's settings stand and it is imported.
    """
    path = address.sqlite_path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    for name in (unfinished.name, f"{unfinished.name}-journal", f"{path.name}-journal"):
        path.with_name(name).unlink(missing_ok=True)
    with warnings.catch_warnings():
        # MLflow uses a loader of SQLAlchemy that is deprecated there; it says so when its tables are first mapped.
        warnings.simplefilter("ignore", DeprecationWarning)
        _make_tables(address.sqlite_uri(unfinished))
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
