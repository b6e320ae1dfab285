"""Packs that need more memory than there is: PyTorch's own allocator refuses, under a limit that the kernel holds."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.sweeps import REPOSITORY, Folder, folder

pytestmark = pytest.mark.slow

GRID = '''"""Wide networks, of which a worker under the limit below holds fewer than a pack has."""

from subind import *

MODEL = GPT2(num_layers=2, d_model=512, num_heads=2, dropout=0.0)


def grid():
    return tuple(
        Transfer(
            start=RandomInit(model=MODEL), task=ArithmeticTask(rule="a**2 + a*b", modulus=7, num_integers=12),
            rows=(Part(name="ambiguous", num_samples=12), Part(name="disambiguation", num_samples=6)),
            num_evaluation_samples=12, fresh_weights=Normal(std=0.02), batch_size=6, num_epochs=1, seed=seed,
            optimizer=AdamW(learning_rate=1e-3, weight_decay=0.0, schedule="constant", clip=NoClip()),
            kept_epoch=highest("validation_accuracy", ties="last"), stopping=NoEarlyStop(), precision="float32",
        )
        for seed in range(32)
    )
'''

LIMIT = """import resource
import sys

if any("default_worker" in argument for argument in sys.orig_argv):
    resource.setrlimit(resource.RLIMIT_DATA, (3_200_000_000, 3_200_000_000))
"""
"""Python runs this when it starts. A worker takes some 2.5 GB of address space for data before any replica."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Folder]:
    with folder(tmp_path) as found:
        (tmp_path / "tiny.py").write_text(GRID)
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(LIMIT)
        yield found


def test_pack_that_lacks_memory_is_halved_until_it_fits_and_gives_the_same_bits(
    here: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = os.pathsep.join([str(here.path / "site"), str(REPOSITORY)])
    end = here.run("run", environment={"PYTHONPATH": path})
    assert end.status == 0, end
    assert "it is tried again in halves" in end.out
    provenances = [json.loads(each.read_bytes())["provenance"] for each in here.records().values()]
    assert len(provenances) == 32
    assert all(each["num_halvings"] >= 1 for each in provenances)
    with folder(tmp_path_factory.mktemp("same")) as same:
        (same.path / "tiny.py").write_text(GRID)
        assert same.run("run").status == 0
        provenances = [json.loads(each.read_bytes())["provenance"] for each in same.records().values()]
        assert {each["num_halvings"] for each in provenances} == {0}
        assert here.results() == same.results()
