"""Secrets in files of their owner, also where two programs start for the first time at once."""

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sweeps.hosts.private_files import private_secret, write_private

NUM_STARTS, NUM_STARTERS = 100, 6


def test_secret_of_first_starts_at_once_is_one_for_all(tmp_path: Path) -> None:
    barrier = threading.Barrier(NUM_STARTERS)

    def start(path: Path) -> str:
        barrier.wait()
        return private_secret(path)

    with ThreadPoolExecutor(NUM_STARTERS) as starters:
        for number in range(NUM_STARTS):
            path = tmp_path / str(number) / "secret"
            found = set(starters.map(start, [path] * NUM_STARTERS))
            assert found == {path.read_text()}
            assert [each.name for each in path.parent.iterdir()] == ["secret"]


def test_file_that_is_there_keeps_its_content_and_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("first")
    path.chmod(0o644)
    assert not write_private(path, "second")
    assert path.read_text() == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
