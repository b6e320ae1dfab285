"""A PostgreSQL server of a test's own, from Debian's package, on loopback and with a password."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

NOBODY = 65534
"""PostgreSQL refuses to run as root, so root's tests run it as nobody."""

START_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where the server is, and the password of its only user."""

    port: int
    password: str

    @property
    def uri(self) -> str:
        """With the password in it."""
        return f"postgresql://subind:{self.password}@127.0.0.1:{self.port}/postgres"

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """What a query finds."""
        with psycopg.connect(self.uri) as connection:
            return list(connection.execute(query.encode()))


def programs() -> Path:
    """The folder of the server's programs; the test is skipped where there is none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    if installed := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return installed[-1].parent
    pytest.skip("PostgreSQL is not installed (Debian: `apt-get install postgresql`)")


@contextlib.contextmanager
def postgres() -> Iterator[Database]:
    """A server with one user, gone with its data after the block."""
    folder = programs()
    identity = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
    database = Database(port=free_port(), password=secrets.token_hex(12))
    data = Path(tempfile.mkdtemp(prefix="subind-postgres-"))
    try:
        (data / "password").write_text(database.password)
        if identity:
            for path in (data, data / "password"):
                os.chown(path, NOBODY, NOBODY)
        access = ["--auth=scram-sha-256", "--username=subind", f"--pwfile={data}/password"]
        initialise = [folder / "initdb", f"--pgdata={data}/cluster", "--encoding=UTF8", "--no-sync", *access]
        subprocess.run(initialise, check=True, capture_output=True, cwd=data, **identity)
        with _server(folder, data, database, identity):
            yield database
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def _server(folder: Path, data: Path, database: Database, identity: dict[str, int]) -> Iterator[None]:
    command = [folder / "postgres", "-D", data / "cluster", "-p", str(database.port), "-h", "127.0.0.1", "-k", data]
    server = subprocess.Popen(command, cwd=data, stderr=subprocess.DEVNULL, **identity)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                database.rows("SELECT 1")
                break
            assert time.monotonic() < until, "PostgreSQL does not answer"
            assert server.poll() is None, "PostgreSQL has ended"
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(timeout=START_SECONDS)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
