"""Real sweeps for end-to-end tests: a tiny grid file, the command as a process of its own, and what it left behind."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]

GRID = '''"""Two seeds of three controls at two sample counts, on twelve integers."""

from subind import *

NUM_EPOCHS = {num_epochs}
RATE = {rate}
MODEL = GPT2(num_layers=1, d_model=16, num_heads=2, dropout=0.1)
SHARED = dict(num_evaluation_samples=12, precision="float32")


def task(rule):
    return ArithmeticTask(rule=rule, modulus=7, num_integers=12)


def optimizer(rate):
    return AdamW(learning_rate=rate, weight_decay=0.0, schedule="constant", clip=NoClip())


def donor(seed):
    return Train(
        task=task("a + a*b"), model=MODEL, rows=(Part(name="unambiguous", num_samples=24),), optimizer=optimizer(1e-3),
        batch_size=8, num_epochs=NUM_EPOCHS["donor"], kept_epoch=lowest("validation_loss"), stopping=NoEarlyStop(),
        seed=seed, **SHARED,
    )


def mask(seed):
    return Discover(
        donor=donor(seed), task=task("a*b"), rows=(Part(name="unambiguous", num_samples=24),),
        method=ContinuousSparsification(
            initial_logit=0.1, penalty=1e-7, temperature=TemperatureSchedule(name="exponential", final=100.0)
        ),
        optimizer=optimizer(1e-3), batch_size=8, num_epochs=NUM_EPOCHS["mask"],
        kept_epoch=highest("subtask_accuracy", ties="last"), seed=seed, **SHARED,
    )


def transfer(start, count, seed, rate=1e-3):
    return Transfer(
        start=start, task=task("a**2 + a*b"),
        rows=(Part(name="ambiguous", num_samples=12), Part(name="disambiguation", num_samples=count)),
        fresh_weights=Normal(std=0.02), optimizer=optimizer(rate), batch_size=6, num_epochs=NUM_EPOCHS["transfer"],
        kept_epoch=highest("validation_accuracy", ties="last"), stopping=NoEarlyStop(), seed=seed, **SHARED,
    )


def grid():
    return tuple(
        transfer(start, count, seed, RATE if (seed, count) == (1, 6) else 1e-3)
        for seed in (0, 1)
        for count in (6, 12)
        for start in (Subnetwork(mask=mask(seed)), FullTransfer(donor=donor(seed)), RandomInit(model=MODEL))
    )
'''
NUM_RUNS = {"donor": 2, "mask": 2, "transfer": 12}
QUICK = {"donor": 2, "mask": 2, "transfer": 2}

PATIENCE_SECONDS = 400.0
"""How long a state is waited for before the test fails; a busy machine is many times slower than an idle one."""


@dataclass(slots=True, kw_only=True)
class Folder:
    """A folder with a grid file, in which commands run."""

    path: Path
    grid: str = "tiny.py"
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.path / "store"

    def write_grid(self, *, rate: float = 1e-3, **num_epochs: int) -> None:
        """Write `tiny.py`; one sample count of one seed has its transfers at the learning rate `rate`."""
        (self.path / "tiny.py").write_text(GRID.format(num_epochs={**QUICK, **num_epochs}, rate=rate))

    def start(
        self, command: str, *arguments: str, environment: Mapping[str, str] | None = None, log: Path | None = None
    ) -> "Process":
        """Start `subind COMMAND GRID ARGUMENTS` in a process group of its own; its outputs go to `log`, if given."""
        device = ["--device", "cpu"] if command in {"run", "plan"} else []
        return self.start_command(command, self.grid, *device, *arguments, environment=environment, log=log)

    def start_command(
        self, *arguments: str, environment: Mapping[str, str] | None = None, log: Path | None = None
    ) -> "Process":
        """Start `subind ARGUMENTS` in a process group of its own; its outputs go to `log`, if given."""
        python_path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RAY_"))}
        with nullcontext(subprocess.PIPE) if log is None else log.open("a") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "sweeps.cli", *arguments],
                cwd=self.path,
                env={**inherited, "PYTHONPATH": python_path, **(environment or {})},
                stdout=said,
                stderr=said,
                text=True,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def run(self, command: str, *arguments: str, environment: Mapping[str, str] | None = None) -> "Ended":
        """Run a command to its end."""
        return ended(self.start(command, *arguments, environment=environment))

    def status(self) -> dict[str, Any]:
        """What `subind status --json` says."""
        told = self.run("status", "--json")
        assert told.status == 0, told
        return dict(json.loads(told.out))

    # ---- what is there

    def records(self) -> dict[str, Path]:
        """The record files by run id."""
        return {path.parent.name.rpartition("-")[2]: path for path in self.store.glob("runs/*/*/record.json")}

    def states(self) -> dict[str, tuple[int, bytes]]:
        """When each record was written, and its bytes."""
        return {run: (path.stat().st_mtime_ns, path.read_bytes()) for run, path in self.records().items()}

    def results(self) -> dict[str, Any]:
        """What was computed, by run id: measurements, curves, artifacts; all but where and how long."""
        data = {run: json.loads(path.read_bytes()) for run, path in self.records().items()}
        return {run: {**each, "provenance": None} for run, each in data.items()}

    def failures(self) -> dict[str, dict[str, Any]]:
        """The failures by run id."""
        found = self.store.glob("runs/*/*/failure.json")
        return {path.parent.name.rpartition("-")[2]: json.loads(path.read_bytes()) for path in found}

    def heartbeats(self, stage: str = "") -> list[dict[str, Any]]:
        """The packs under way; of one stage, or of all."""
        found = []
        for path in self.store.glob(f"running/{stage}*.json"):
            with contextlib.suppress(FileNotFoundError):
                found.append(json.loads(path.read_bytes()))
        return found

    def mirrored(self, database: str = "mlflow.db") -> list[str]:
        """The ids of the store's runs in MLflow's database, with repetitions; runs of controls have other keys."""
        if not (self.store / database).exists():
            return []
        with closing(sqlite3.connect(self.store / database)) as connection:
            query = "SELECT value FROM tags WHERE key = 'subind.run_id' AND value NOT LIKE '%=%'"
            return sorted(value for (value,) in connection.execute(query))

    def end_all(self) -> None:
        """End what still runs of the commands that were started here, and their children."""
        for process in self.processes:
            for each in family(process):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            process.kill()
            process.communicate()


Process = subprocess.Popen[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended: its exit status, its outputs, and the seconds since it was waited for."""

    status: int
    out: str
    err: str
    seconds: float


def ended(process: Process) -> Ended:
    """Wait for a command's end."""
    start = time.monotonic()
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return Ended(status=process.returncode, out=out, err=err, seconds=time.monotonic() - start)


def until(holds: Callable[[], Any], *, process: Process | None = None) -> Any:
    """What `holds` gives as soon as that is true; fails if it never is, or if the process ends before."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come true"
        assert process is None or process.poll() is None, f"the command has ended: {process and process.communicate()}"
        time.sleep(0.02)
    return found


def family(process: Process) -> list[psutil.Process]:
    """The descendants of a command that is alive: Ray's servers and workers."""
    if process.poll() is not None:  # its number may be another process's by now
        return []
    try:
        return list(psutil.Process(process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def kill(pid: int) -> None:
    """`kill -9`."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@contextlib.contextmanager
def folder(path: Path) -> Iterator[Folder]:
    """A folder for sweeps; whatever still runs at the end is ended."""
    found = Folder(path=path)
    try:
        yield found
    finally:
        found.end_all()
