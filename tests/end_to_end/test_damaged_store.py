"""A sweep on a store with damaged files: it computes what it can, and after `verify --repair` everything."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.sweeps import Folder, folder

pytestmark = pytest.mark.slow


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Folder]:
    with folder(tmp_path) as found:
        yield found


def test_sweep_beside_damaged_files_goes_on_and_is_whole_after_repair(here: Folder) -> None:
    here.write_grid()
    assert here.run("run").status == 0
    before = here.results()
    records = here.records()
    mask = next(path for path in records.values() if path.parts[-3] == "mask")
    next(mask.parent.glob("mask-*.safetensors")).write_bytes(b"bits")
    for path in records.values():
        if path.parts[-3] == "transfer":
            shutil.rmtree(path.parent)
    for name in ("running/q.json", "checkpoints/q.json"):
        (here.store / name).parent.mkdir(exist_ok=True)
        (here.store / name).write_text("{}")
    os.mkfifo(here.store / "checkpoints" / "r.json")
    next(here.store.glob("index/rows-*")).write_bytes(b"junk")

    end = here.run("run")
    assert end.status == 1
    assert "Traceback" not in end.err
    assert "subind verify --all --repair" in end.err
    assert "running/q.json" in end.err
    left = set(before) - set(here.records())
    assert 0 < len(left) < 12  # the transfers of that mask wait, all others are there

    assert here.run("verify").status == 1
    assert here.run("verify", "--repair").status == 0
    assert here.run("run").status == 0
    assert here.results() == before
    assert here.run("verify").status == 0
