"""How a real sweep and a real `ui` end: when told to, when their terminal is closed, when what they need dies."""

import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.sweeps import REPOSITORY, Folder, Process, ended, family, folder, is_gone, kill, until
from tests.sweeps.sockets import is_loopback, listening

pytestmark = pytest.mark.slow

LONG = 100_000
"""Epochs of donors that do not end before they are told to."""

SECONDS_OF_A_STOP = 10.0
"""How soon the prompt is back."""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder for the command alone, with a short path: Ray's sockets stand in it."""
    found = Path(tempfile.mkdtemp(prefix="e", dir="/tmp"))
    yield found
    shutil.rmtree(found)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Folder]:
    with folder(tmp_path) as found:
        yield found


def training(here: Folder, temporary: Path) -> Process:
    """A sweep whose donors train."""
    here.write_grid(donor=LONG)
    driver = here.start("run", environment={"TMPDIR": str(temporary)})
    until(lambda: [each for each in here.heartbeats("donor") if each["step"]], process=driver)
    return driver


def left_in(temporary: Path) -> list[str]:
    """What a command has left in its temporary folder, but for the details of an error."""
    return [path.name for path in temporary.iterdir() if path.suffix != ".log"]


@pytest.mark.usefixtures("heard_signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_stopped_sweep_ends_soon_with_a_line_its_checkpoints_and_nothing_left(
    number: int, status: int, here: Folder, temporary: Path
) -> None:
    driver = training(here, temporary)
    started = family(driver)
    driver.send_signal(number)
    end = ended(driver)
    assert (end.status, end.err) == (status, "subind: stopped; the same command continues the sweep\n")
    assert end.seconds < SECONDS_OF_A_STOP
    assert not (here.path / "reports").exists()
    assert len(list(here.store.glob("checkpoints/*.json"))) == 2
    assert list(here.store.glob("running/*")) == []
    assert left_in(temporary) == []
    until(lambda: all(map(is_gone, started)))


@pytest.mark.parametrize("server", ["gcs_server", "raylet"])
def test_sweep_whose_ray_dies_ends_soon_with_three_and_a_line(server: str, here: Folder, temporary: Path) -> None:
    driver = training(here, temporary)
    started = family(driver)
    kill(next(each.pid for each in started if each.name() == server))
    end = ended(driver)
    assert end.seconds < 30
    assert (end.status, end.err.count("\n")) == (3, 1)
    assert f"a server of Ray ({server}) died" in end.err
    assert "(raylet)" not in end.out
    assert Path(end.err.split()[-1]).is_file()
    assert list(here.store.glob("running/*")) == []
    assert left_in(temporary) == []
    until(lambda: all(map(is_gone, started)))


def test_folders_of_a_killed_driver_are_removed_by_the_next(here: Folder, temporary: Path) -> None:
    driver = training(here, temporary)
    kill(driver.pid)
    driver.communicate()
    assert left_in(temporary) != []
    here.write_grid()
    assert here.run("run", environment={"TMPDIR": str(temporary)}).status == 0
    assert left_in(temporary) == []


def test_sweep_under_nohup_outlives_its_terminal_and_ends_with_zero(here: Folder) -> None:
    here.write_grid()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        driver = here.start("run")
    finally:
        signal.signal(signal.SIGHUP, before)
    until(here.heartbeats, process=driver)
    assert driver.stdout is not None
    assert driver.stderr is not None
    driver.stdout.close()
    driver.stderr.close()
    driver.send_signal(signal.SIGHUP)
    assert driver.wait(timeout=300) == 0
    assert len(here.records()) == 16


def test_sweep_whose_ray_is_slow_to_start_tries_again_and_finishes(here: Folder) -> None:
    here.write_grid()
    driver = here.start("run")
    raylets = until(lambda: [each for each in family(driver) if each.name() == "raylet"], process=driver)
    raylets[0].suspend()
    end = ended(driver)
    assert (end.status, end.err) == (0, "")
    assert is_gone(raylets[0])


def test_sweep_listens_on_loopback_alone(here: Folder, temporary: Path) -> None:
    found = listening(psutil.Process(training(here, temporary).pid))
    assert len(found) >= 8
    assert [each for each in found if not is_loopback(each[1])] == []


# ---- ui


def served(here: Folder, port: int) -> Process:
    """`subind ui`, answering."""
    process = here.start_command("ui", "--port", str(port))
    assert process.stdout is not None
    assert re.search(rf":{port}\b", process.stdout.readline())
    assert any("MLflow answers" in line for line in iter(process.stdout.readline, ""))
    return process


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.usefixtures("heard_signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGHUP, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_ui_that_ends_takes_its_server_with_it(number: int, status: int, here: Folder) -> None:
    port = free_port()
    process = served(here, port)
    found = listening(psutil.Process(process.pid))
    assert port in [each[2] for each in found]
    assert [each for each in found if not is_loopback(each[1])] == []
    started = family(process)
    os.kill(process.pid, number)
    assert ended(process).status == status
    until(lambda: all(map(is_gone, started)))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


# ---- a worker's last words

DYING = """
import os, sys, threading, time

def die():
    while not hasattr(sys.modules.get("sweeps.running.tune_worker"), "train_pack"):
        time.sleep(0.1)
    os.write(2, b"ImportError: libnothere.so.7: cannot open shared object file\\n")
    os.abort()

if any("default_worker" in each for each in sys.orig_argv):
    threading.Thread(target=die, daemon=True).start()
"""


def test_failure_of_a_worker_that_dies_carries_its_own_words(here: Folder, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DYING)
    here.write_grid()
    path = os.pathsep.join([str(REPOSITORY), str(tmp_path)])
    chosen = ("--where", "control=random_init", "--where", "seed=0")
    end = here.run("run", *chosen, environment={"PYTHONPATH": path})
    assert end.status == 1
    failures = here.failures().values()
    assert failures
    for failure in failures:
        assert failure["error"] == "WorkerDied"
        assert "it said: ImportError: libnothere.so.7: cannot open shared object file" in failure["message"]
        assert "OOM" not in failure["message"]
