"""The service on a grid and on a part of it: packs differ, and the runs that both have are the same to the last bit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.sweeps import Folder, ended, folder

NUM_SHARED = 32
"""Of quickstart's runs, those of seed 1."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Folder]:
    with folder(tmp_path) as found:
        yield found


@pytest.fixture
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    with folder(tmp_path_factory.mktemp("there")) as found:
        yield found


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_quickstart_and_one_seed_of_it_have_equal_measurements_curves_and_files(here: Folder, there: Folder) -> None:
    whole = here.start_command("run", "quickstart", "--device", "cpu", log=here.path / "log")
    assert whole.wait(timeout=1200) == 0
    assert ended(there.start_command("run", "quickstart", "--device", "cpu", "--where", "seed=1")).status == 0
    every, part = here.results(), there.results()
    assert len(part) == NUM_SHARED
    assert {run: every[run] for run in part} == part
