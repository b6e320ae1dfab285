"""The team's MLflow server: a real one, on a real PostgreSQL, with eight writers; and what it refuses."""

import base64
import os
import re
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import psutil
import pytest

from subind.store.store import Store
from sweeps.mirror.team_server import (
    BACKEND,
    PASSWORD,
    Service,
    admin_password,
    check_reach,
    checked_artifacts,
    checked_backend,
)
from tests.conftest import REPOSITORY
from tests.specs import tiny_mask, tiny_transfer
from tests.sweeps.fabricated import commit_fabricated
from tests.sweeps.postgres import Database, free_port, postgres

NUM_WRITERS = 8
PLANNED = [
    tiny_mask(),
    *(tiny_transfer(control, seed=seed) for control in ("subnetwork", "random_init") for seed in range(4)),
]

WRITER = """
import sys, time
from subind.store.store import Store
from sweeps.mirror.mirror import Mirror
from tests.sweeps.mirror.test_team_server import PLANNED

mirror = Mirror(Store(sys.argv[1]), grid="grid", tracking_uri=sys.argv[2])
until = time.monotonic() + 240
while (outcome := mirror.mirror(PLANNED)).num_delayed:
    assert time.monotonic() < until, outcome
    time.sleep(0.5)
"""


def service(folder: Path) -> Service:
    return Service(
        host="127.0.0.1", port=5000, allowed_hosts=(), artifacts="s3://bucket/mlflow", folder=folder, num_workers=1
    )


# ---- what it refuses


@pytest.mark.parametrize("uri", ["", "sqlite:///mlflow.db", "http://host"])
def test_backend_that_is_no_postgresql_is_refused_with_the_remedy(uri: str) -> None:
    with pytest.raises(ValueError, match=f"{BACKEND}.*postgresql://"):
        checked_backend({BACKEND: uri})


def test_backend_that_is_refused_is_told_without_its_password() -> None:
    with pytest.raises(ValueError, match=r"mysql://\*\*\*@host") as refused:
        checked_backend({BACKEND: "mysql://anna:s3cret@host/runs"})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("password", ["password1234", "short"])
def test_password_that_is_known_or_short_is_refused_and_not_told(tmp_path: Path, password: str) -> None:
    with pytest.raises(ValueError, match=PASSWORD) as refused:
        admin_password(service(tmp_path), {PASSWORD: password})
    assert password not in str(refused.value)


def test_password_is_generated_once_into_a_private_file(tmp_path: Path) -> None:
    first, second = (admin_password(service(tmp_path), {}) for _ in range(2))
    path = tmp_path / "admin_password"
    assert first == second == path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_password_of_another_folder_is_another(tmp_path: Path) -> None:
    assert admin_password(service(tmp_path / "a"), {}) != admin_password(service(tmp_path / "b"), {})


def test_host_for_other_machines_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--allowed-host"):
        check_reach(replace(service(tmp_path), host="0.0.0.0"))


@pytest.mark.parametrize("artifacts", ["mlartifacts", "ftp://host/folder"])
def test_artifacts_in_a_relative_folder_or_an_unknown_place_are_refused(artifacts: str) -> None:
    with pytest.raises(ValueError, match="--artifacts is"):
        checked_artifacts(artifacts)


def test_artifacts_with_a_secret_are_refused_without_telling_it() -> None:
    with pytest.raises(ValueError, match="carries a secret") as refused:
        checked_artifacts("s3://key:s3cret@bucket/mlflow")
    assert "s3cret" not in str(refused.value)


# ---- as a team uses it


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The command as it runs, its address, and the secrets that it was given or made."""

    process: subprocess.Popen[str]
    url: str
    database: Database
    folder: Path

    @property
    def password(self) -> str:
        return (self.folder / "secrets" / "admin_password").read_text()

    def answer(self, path: str, *, password: str | None = None, host: str | None = None) -> int:
        """The status of a request."""
        headers = {} if host is None else {"Host": host}
        if password is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers), timeout=60) as found:
                return int(found.status)
        except urllib.error.HTTPError as error:
            return error.code


def lines_until_an_address(stream: IO[str]) -> Iterator[str]:
    """The lines of a server that starts, the one with its address last."""
    for line in stream:
        yield line
        if "http://" in line:
            return


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    with postgres() as database:
        options = ["--artifacts", f"{folder}/artifacts", "--port", str(free_port()), "--folder", f"{folder}/secrets"]
        with (folder / "errors").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "sweeps.cli", "serve", *options, "--num-workers", "2"],
                cwd=REPOSITORY, env={**os.environ, BACKEND: database.uri}, text=True, stdout=subprocess.PIPE,
                stderr=errors,
            )  # fmt: skip
        assert process.stdout is not None
        lines = list(lines_until_an_address(process.stdout))
        found = re.search(r"http://\S+", lines[-1])
        assert found is not None, (lines, (folder / "errors").read_text())
        (folder / "said").write_text("".join(lines))
        yield Running(process=process, url=found[0], database=database, folder=folder)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        process.stdout.close()


EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=10"

slow = pytest.mark.slow


@slow
def test_server_listens_on_loopback_and_names_the_file_of_its_password(running: Running) -> None:
    assert running.url.startswith("http://127.0.0.1:")
    assert str(running.folder / "secrets" / "admin_password") in (running.folder / "said").read_text()


@slow
def test_server_refuses_requests_without_or_with_a_wrong_password(running: Running) -> None:
    answers = [running.answer(EXPERIMENTS, password=password) for password in (None, "password1234", running.password)]
    assert answers == [401, 401, 200]


@slow
def test_server_refuses_a_foreign_host_header(running: Running) -> None:
    answers = [running.answer(EXPERIMENTS, password=running.password, host=host) for host in ("evil.example", None)]
    assert answers == [403, 200]


def _mirrored(database: Database) -> Counter[object]:
    query = (
        "SELECT tags.value FROM tags JOIN runs USING (run_uuid) WHERE tags.key = 'subind.run_id' "
        "AND position('=' in tags.value) = 0 AND runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'"
    )
    return Counter(value for (value,) in database.rows(query))


def _write_at_once(running: Running, stores: list[Store]) -> None:
    account = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": running.password}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, store.url, running.url], cwd=REPOSITORY, env={**os.environ, **account}
        )
        for store in stores
    ]
    assert [writer.wait(timeout=400) for writer in writers] == [0] * len(stores)


@slow
def test_eight_writers_at_once_lose_no_run_and_double_none(running: Running, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    commit_fabricated(store, PLANNED)
    _write_at_once(running, [store] * NUM_WRITERS)
    assert _mirrored(running.database) == {
        path.parent.name.rpartition("-")[2]: 1 for path in tmp_path.glob("runs/*/*/record.json")
    }
    assert len(_mirrored(running.database)) == len(PLANNED)
    assert running.database.rows("SELECT count(*) FROM runs WHERE lifecycle_stage = 'deleted'") == [(0,)]


@slow
def test_no_process_of_the_server_shows_a_secret(running: Running) -> None:
    family = [psutil.Process(running.process.pid), *psutil.Process(running.process.pid).children(recursive=True)]
    shown = " ".join(" ".join(each.cmdline()) for each in family)
    assert len(family) >= 3
    assert running.password not in shown
    assert running.database.password not in shown


@slow
def test_no_output_or_artifact_of_the_server_holds_a_secret(running: Running) -> None:
    files = [path for path in running.folder.rglob("*") if path.is_file() and path.parent.name != "secrets"]
    held = [
        path
        for path in files
        for secret in (running.password, running.database.password)
        if secret.encode() in path.read_bytes()
    ]
    assert len(files) >= 2
    assert held == []
