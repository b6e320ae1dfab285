"""A whole sweep whose store is a bucket of a real S3 server. The oracle is the same sweep in a folder."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.sweeps import NUM_RUNS, Ended, Folder, Process, ended, family, folder, until
from tests.s3_server import BUCKET, ENVIRONMENT, make_bucket, s3_server, stored_bytes, stored_names

pytest.importorskip("s3fs")
pytest.importorskip("moto")

OF_THE_PACK = {"seconds", "pack_size", "commit", "dirty", "device"}
"""Columns that say where and how long, not what."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Folder]:
    with folder(tmp_path) as found:
        found.write_grid()
        yield found


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with s3_server() as found:
            make_bucket(found, BUCKET)
            yield found


def rows(where: Folder) -> dict[str, dict[str, Any]]:
    table = pq.read_table(where.path / "results" / "tiny.parquet").drop_columns(sorted(OF_THE_PACK))
    return {row["run_id"]: row for row in table.to_pylist()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """A sweep in a bucket: where it ran, how it ended, the arguments of its processes, and Ray's logs."""

    where: Folder
    end: Ended
    arguments: str
    ray: Path


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Swept]:
    to = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **ENVIRONMENT}
    options = ["--store", f"s3://{BUCKET}/sweep"]
    with tempfile.TemporaryDirectory(prefix="ray-") as short, folder(tmp_path_factory.mktemp("s3")) as where:
        where.write_grid()
        tracker = f"sqlite:///{where.path}/mlflow.db"
        driver = where.start("run", *options, "--tracking-uri", tracker, environment={**to, "TMPDIR": short})
        until(lambda: "raylet" in shown_arguments(driver), process=driver)
        arguments, kept = shown_arguments(driver), Path(short) / "kept"
        kept.mkdir()
        until(lambda: keep_logs(Path(short), kept) or driver.poll() is not None)
        yield Swept(where=where, end=ended(driver), arguments=arguments, ray=kept)


def keep_logs(temporary: Path, kept: Path) -> None:
    """Link Ray's logs, which the driver removes at its end, into a folder; what is written later is in them too."""
    with contextlib.suppress(FileNotFoundError):  # of what the driver removes meanwhile
        for log in temporary.glob("subind-*/**/session_2*/logs/*"):
            if log.is_file() and not (kept / log.name).exists():
                (kept / log.name).hardlink_to(log)


def shown_arguments(driver: Process) -> str:
    """What anybody on the machine sees of a sweep's processes."""
    found = [str(part) for part in driver.args] if isinstance(driver.args, list) else [str(driver.args)]
    for each in family(driver):
        with contextlib.suppress(psutil.Error):
            found += each.cmdline()
    return " ".join(found)


@pytest.mark.slow
def test_sweep_on_s3_ends_with_the_rows_of_a_sweep_in_a_folder(here: Folder, swept: Swept) -> None:
    assert swept.end.status == 0, swept.end
    assert f"{sum(NUM_RUNS.values())} finished, 0 failed, 0 blocked, 0 running, 0 missing" in swept.end.out
    assert not swept.where.store.exists()
    assert here.run("run").status == 0
    assert rows(swept.where) == rows(here)


@pytest.mark.slow
def test_no_credential_of_a_store_is_in_arguments_output_logs_or_store(swept: Swept, port: int) -> None:
    files = [path for root in (swept.where.path, swept.ray) for path in root.rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes() for path in files}
    assert any("worker" in path.name and path.suffix == ".err" for path in files)
    texts |= {name: stored_bytes(port, name) for name in stored_names(port)}
    assert any(name.endswith("record.json") for name in texts)
    texts |= {"arguments": swept.arguments.encode(), "output": (swept.end.out + swept.end.err).encode()}
    secret = ENVIRONMENT["AWS_SECRET_ACCESS_KEY"].encode()
    assert [name for name, content in texts.items() if secret in content] == []


@pytest.mark.slow
def test_sweep_on_a_bucket_that_is_missing_is_refused_in_a_line_before_anything_runs(here: Folder, port: int) -> None:
    to = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **ENVIRONMENT}
    end = here.run("run", "--store", "s3://no-such-bucket/sweep", environment=to)
    assert end.status == 2
    assert "is in a bucket that does not exist" in end.err
    assert end.err.count("\n") == 1
