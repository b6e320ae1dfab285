"""`subind run --in-process`: the packs of a sweep where a debugger works. The oracle is a sweep with Ray."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.sweeps import PATIENCE_SECONDS, REPOSITORY, Folder, ended, folder, until

WITHOUT_RAY = """
import atexit, os, sys

atexit.register(lambda: open("ray-modules", "w").write(" ".join(m for m in sys.modules if m.split(".")[0] == "ray")))
"""
LOSS = "    def loss(self, outputs: Tensor, rows: Mapping[str, Tensor]) -> Tensor:\n"
STOPPING = """        if "sweeps.running.in_process" in __import__("sys").modules:
            breakpoint()
"""
LONG = 100_000
SECONDS_OF_A_STOP = 10.0
"""How soon the prompt is back."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Folder]:
    with folder(tmp_path) as found:
        found.write_grid()
        yield found


def files(swept: Folder) -> dict[str, str]:
    """The digests of all that the runs have left, by run and name: weights and masks."""
    records = {run: json.loads(path.read_bytes()) for run, path in swept.records().items()}
    return {f"{run}/{name}": each["sha256"] for run, one in records.items() for name, each in one["artifacts"].items()}


@pytest.mark.slow
def test_sweep_in_process_has_the_bits_of_one_with_ray_and_never_imports_it(
    here: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (here.path / "sitecustomize.py").write_text(WITHOUT_RAY)
    path = os.pathsep.join([str(REPOSITORY), str(here.path)])
    end = here.run("run", "--in-process", environment={"PYTHONPATH": path})
    assert (end.status, end.err) == (0, "")
    assert "16 finished, 0 failed, 0 blocked, 0 running, 0 missing" in end.out
    assert (here.path / "ray-modules").read_text() == ""
    assert (here.path / "reports" / "tiny" / "index.html").is_file()
    with folder(tmp_path_factory.mktemp("ray")) as other:
        other.write_grid()
        assert other.run("run").status == 0
        assert here.results() == other.results()
        assert files(here) == files(other)
        assert here.mirrored() == other.mirrored() != []


@pytest.mark.slow
@pytest.mark.usefixtures("heard_signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_sweep_in_process_is_seen_by_status_and_saves_its_pack_when_stopped(
    number: int, status: int, here: Folder
) -> None:
    here.write_grid(donor=LONG)
    driver = here.start("run", "--in-process")
    until(lambda: [each for each in here.heartbeats("donor") if each["step"]], process=driver)
    assert here.status()["running"] == 1
    driver.send_signal(number)
    end = ended(driver)
    assert (end.status, end.err) == (status, "subind: stopped; the same command continues the sweep\n")
    assert end.seconds < SECONDS_OF_A_STOP
    assert len(list(here.store.glob("checkpoints/donor-*.json"))) == 1
    assert here.heartbeats() == []


@pytest.mark.slow
def test_failed_cells_in_process_fail_as_with_ray(here: Folder) -> None:
    here.write_grid(rate=1e30)
    end = here.run("run", "--in-process")
    assert (end.status, len(here.failures())) == (1, 3)
    assert all("not finite in epoch" in each["message"] for each in here.failures().values())


@pytest.mark.slow
def test_breakpoint_in_a_users_task_is_reached_by_pdb(here: Folder) -> None:
    """The breakpoint is left out while the task is tried out in planning."""
    source = (REPOSITORY / "docs" / "examples" / "own_network.py").read_text()
    assert source.count(LOSS) == 1
    (here.path / "own.py").write_text(source.replace(LOSS, LOSS + STOPPING))
    command = [sys.executable, "-m", "sweeps.cli", "run", "own.py", "--in-process", "--device", "cpu"]
    done = subprocess.run(
        command,
        cwd=here.path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        input="p type(self).__name__, len(rows)\nq\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert "(Pdb) ('Counting', 2)" in done.stdout, done
