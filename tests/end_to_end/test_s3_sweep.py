"""A whole sweep whose store is a bucket of a real S3 server. The oracle is the same sweep in a folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.end_to_end.sweeps import NUM_RUNS, Folder, folder
from tests.s3_server import BUCKET, ENVIRONMENT, make_bucket, s3_server

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


@pytest.mark.slow
def test_sweep_on_s3_ends_with_the_rows_of_a_sweep_in_a_folder(here: Folder, port: int) -> None:
    assert here.run("run").status == 0
    expected = rows(here)
    here.store.rename(here.path / "local-store")
    (here.path / "results" / "tiny.parquet").unlink()

    to = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **ENVIRONMENT}
    options = ["--store", f"s3://{BUCKET}/sweep"]
    end = here.run("run", *options, "--tracking-uri", f"sqlite:///{here.path}/mlflow.db", environment=to)
    assert end.status == 0, end
    assert f"{sum(NUM_RUNS.values())} finished, 0 failed, 0 blocked, 0 running, 0 missing" in end.out
    assert rows(here) == expected
    assert not here.store.exists()


@pytest.mark.slow
def test_sweep_on_a_bucket_that_is_missing_is_refused_in_a_line_before_anything_runs(here: Folder, port: int) -> None:
    to = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **ENVIRONMENT}
    end = here.run("run", "--store", "s3://no-such-bucket/sweep", environment=to)
    assert end.status == 2
    assert "is in a bucket that does not exist" in end.err
    assert end.err.count("\n") == 1
