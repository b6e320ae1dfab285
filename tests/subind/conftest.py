"""The tests of the method: their networks are so small that one thread computes them fastest."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch

from subind.store.store import Store


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store in a folder, and one in fsspec's memory as the stand-in for an object store."""
    if request.param == "local":
        yield Store(str(tmp_path / "store"))
        return
    url = f"memory://store-{uuid.uuid4().hex}"
    yield Store(url)
    files = fsspec.filesystem("memory")
    if files.exists(url):
        files.rm(url, recursive=True)
