"""How commands end: the line, the exit status, output whose reader is gone, folders that nobody owns any more."""

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray.exceptions
from optuna.exceptions import StorageInternalError
from pyarrow import ArrowInvalid

from sweeps.cli.crew import name_useless_home
from sweeps.cli.endings import LastingStream, ended_in_a_line
from sweeps.hosts import patience, stop_signals
from sweeps.hosts.scratch import remove_abandoned, scratch_folder
from tests.conftest import REPOSITORY


def ending(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status and standard error of a command that raises."""
    with pytest.raises(SystemExit) as raised, ended_in_a_line():
        raise error
    code = raised.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ray.exceptions.RayError("gone\nand\nmore"), "run the command again"),
        (StorageInternalError("locked"), "check --storage"),
        (ArrowInvalid("not a file"), "remove it if it is damaged"),
        (AssertionError("never"), "a fault of subind"),
    ],
)
def test_exception_of_a_dependency_is_a_line_with_remedy_and_details(
    error: Exception, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = ending(error, capsys)
    assert (status, told.count("\n")) == (3, 1)
    assert str(error).split()[0] in told
    assert remedy in told
    details = Path(told.split()[-1])
    assert "Traceback" in details.read_text()
    details.unlink()


def test_line_of_an_error_carries_no_megabyte_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2hunter2")
    _, told = ending(RuntimeError("hunter2hunter2 http://me:pass@host/ " + "x" * 10**6), capsys)
    details = Path(told.split()[-1])
    assert len(told) < 700
    for text in (told, details.read_text()):
        assert "hunter2" not in text
        assert "me:pass" not in text
    details.unlink()


def test_refused_argument_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(ValueError("--store is '': give one"), capsys) == (2, "subind: --store is '': give one\n")


@pytest.mark.usefixtures("heard_signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_interrupts_and_gives_its_status(number: int, status: int) -> None:
    with pytest.raises(KeyboardInterrupt), stop_signals.interrupting():
        signal.raise_signal(number)
    assert stop_signals.status() == status


def test_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals.interrupting():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def end_as_ray_does() -> None:
    """Put a handler of SIGTERM that exits, and receive one."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
    signal.raise_signal(signal.SIGTERM)


def test_handlers_of_a_library_are_taken_back_and_its_exit_interrupts() -> None:
    with stop_signals.interrupting():
        own = signal.getsignal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), stop_signals.kept():
            end_as_ray_does()
        assert signal.getsignal(signal.SIGTERM) is own
        assert stop_signals.status() == 143


# ---- output


class Gone(io.StringIO):
    """A stream whose reader has gone."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def write(self, _: str) -> int:
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])
def test_output_without_a_reader_is_lost_and_raises_nothing(number: int) -> None:
    assert LastingStream(Gone(number)).write("text") == 4


def test_output_to_a_full_disk_raises() -> None:
    with pytest.raises(OSError, match="No space"):
        LastingStream(Gone(errno.ENOSPC)).write("text")


def test_command_whose_reader_is_gone_ends_with_its_own_status(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        command = [sys.executable, "-m", "sweeps.cli", "status", "quickstart", "--json"]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        (tmp_path / "store").mkdir()
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=gone, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (ended.returncode, ended.stderr) == (0, "")


# ---- folders


def test_scratch_folder_is_private_and_removed() -> None:
    with scratch_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_text("content")
        remove_abandoned(folder.parent)
        assert (folder / "file").exists()
    assert not folder.exists()


def test_folder_of_a_killed_process_is_removed_by_the_next_one() -> None:
    script = (
        "from sweeps.hosts.scratch import scratch_folder\n"
        "with scratch_folder() as f:\n print(f, flush=True)\n input()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        with scratch_folder():
            assert folder.is_dir()
        owner.kill()
        owner.wait()
    with scratch_folder():
        assert not folder.exists()


def test_temporary_folder_that_cannot_be_written_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    with pytest.raises(ValueError, match="set TMPDIR to a folder that you may write"), scratch_folder():
        pass


# ---- waiting for a store


@pytest.mark.parametrize("comes", ["while it waits", "before"])
def test_driver_that_waits_for_a_store_hears_a_signal(comes: str) -> None:
    def silent() -> None:
        raise ConnectionResetError("cut off")

    def wait() -> None:
        if comes == "before":
            signal.raise_signal(signal.SIGTERM)
        patience.STORE.answer(silent, tell=lambda _: signal.setitimer(signal.ITIMER_REAL, 0.2))

    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    start = time.monotonic()
    try:
        with stop_signals.interrupting(), stop_signals.deferred(), pytest.raises(KeyboardInterrupt):
            wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < 5
    assert stop_signals.status() == (143 if comes == "before" else 130)


def test_store_that_cannot_be_written_is_told_with_the_remedy(tmp_path: Path) -> None:
    weak = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write everything, and there is no setpriv to take that from it")
    (tmp_path / "store").mkdir(mode=0o555)
    command = [*(weak if os.geteuid() == 0 else []), sys.executable, "-m", "sweeps.cli", "run", "quickstart"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run(
        [*command, "--device", "cpu"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith("subind: --store is ")
    assert "it cannot be written (Permission denied); let its owner allow that, or choose another" in ended.stderr


def test_home_that_cannot_be_made_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", "/dev/null/home")
    name_useless_home()
    told = capsys.readouterr().err
    assert told.startswith(
        "subind: HOME is '/dev/null/home', which cannot be made: set it to a folder that you may write"
    )
    assert told.count("\n") == 1


def test_home_that_can_be_made_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "yet" / "to" / "make"))
    name_useless_home()
    assert capsys.readouterr().err == ""
