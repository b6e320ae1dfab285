"""What the service costs beside the training: a grid of trivial cells through the whole of it, from plan to report.

Each cell is one epoch of the smallest network on a handful of samples, so that what is measured is planning, handing
out, committing, mirroring and accounting. The driver is `subind run` in a process of its own; the mirror is timed by
`subind sync` into an empty database.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import sweeps
from subind.specs.arithmetic import ArithmeticTask
from subind.specs.networks import GPT2
from subind.specs.optimizers import AdamW, NoClip
from subind.specs.rows import Part
from subind.specs.runs import Train, Transfer
from subind.specs.starts import FullTransfer, RandomInit, Start
from subind.specs.training import EarlyStop, NoEarlyStop, Normal, highest, lowest

SECONDS_BETWEEN_LOOKS = 0.25

_MODEL = GPT2(num_layers=1, d_model=4, num_heads=1, dropout=0.0)
_OPTIMIZER = AdamW(learning_rate=1e-3, weight_decay=0.0, schedule="constant", clip=NoClip())


def cells(number: int) -> tuple[Transfer, ...]:
    """So many transfers of one epoch, half of them from one donor and half from scratch; they differ in their seeds."""
    starts: tuple[Start, ...] = (FullTransfer(donor=_donor()), RandomInit(model=_MODEL))
    return tuple(_transfer(starts[index % 2], seed=index // 2) for index in range(number))


def _task(rule: str) -> ArithmeticTask:
    return ArithmeticTask(rule=rule, modulus=7, num_integers=12)


def _donor() -> Train:
    return Train(
        task=_task("a + a*b"),
        model=_MODEL,
        rows=(Part(name="unambiguous", num_samples=24),),
        num_evaluation_samples=12,
        optimizer=_OPTIMIZER,
        batch_size=24,
        num_epochs=1,
        kept_epoch=lowest("validation_loss"),
        stopping=EarlyStop(patience=1),
        seed=0,
        precision="float32",
    )


def _transfer(start: Start, *, seed: int) -> Transfer:
    return Transfer(
        start=start,
        task=_task("a**2 + a*b"),
        rows=(Part(name="ambiguous", num_samples=6), Part(name="disambiguation", num_samples=6)),
        num_evaluation_samples=12,
        fresh_weights=Normal(std=0.02),
        optimizer=_OPTIMIZER,
        batch_size=12,
        num_epochs=1,
        kept_epoch=highest("validation_accuracy", ties="last"),
        stopping=NoEarlyStop(),
        seed=seed,
        precision="float32",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A command's wall time, and of its own process without children the CPU time and the largest resident set."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def service_benchmark(num_cells: int, *, progress: Callable[[str], None]) -> dict[str, Any]:
    """The cost of so many trivial cells: seconds of the sweep, the driver's CPU time and memory, the mirror's rate.

    Raises ValueError if a command fails.
    """
    with tempfile.TemporaryDirectory(prefix="subind-bench-") as name:
        folder = Path(name)
        (folder / "trivial.py").write_text(
            f"from benchmarks.service import cells\n\n\ndef grid():\n    return cells({num_cells})\n"
        )
        progress(f"sweeping {num_cells:,} trivial cells")
        swept = _measured(["run", "trivial.py", "--device", "cpu"], folder)
        progress(f"they took {swept.seconds:.0f} s; mirroring them into an empty database")
        mirrored = _measured(["sync", "trivial.py", "--tracking-uri", f"sqlite:///{folder}/fresh.db"], folder)
        progress("asking once more, with nothing left to do")
        again = _measured(["run", "trivial.py", "--device", "cpu"], folder)
    return {
        "cells": num_cells,
        "seconds": swept.seconds,
        "seconds_per_cell": swept.seconds / num_cells,
        "driver_cpu_seconds": swept.cpu_seconds,
        "driver_cpu_ms_per_cell": 1000 * swept.cpu_seconds / num_cells,
        "driver_peak_bytes": swept.peak_bytes,
        "mirror_runs_per_second": num_cells / mirrored.seconds,
        "rerun_seconds": again.seconds,
    }


def _measured(arguments: list[str], folder: Path) -> Measured:
    """Run a command in the folder. Raises ValueError with what it said if it fails."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "sweeps.cli", *arguments],
            cwd=folder,
            env=_environment(),
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        cpu_seconds, peak_bytes = _watched(process)
        said.seek(0)
        if process.returncode:
            told = said.read().decode(errors="replace").strip()
            raise ValueError(f"`subind {' '.join(arguments)}` ended with {process.returncode}: {told[-2000:]}")
    return Measured(seconds=time.perf_counter() - start, cpu_seconds=cpu_seconds, peak_bytes=peak_bytes)


def _watched(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """CPU seconds and largest resident set of a process, looked at until it ends."""
    watched, cpu_seconds, peak_bytes = psutil.Process(process.pid), 0.0, 0
    while process.poll() is None:
        try:
            times = watched.cpu_times()
            cpu_seconds = times.user + times.system
            peak_bytes = max(peak_bytes, watched.memory_info().rss)
        except psutil.Error:
            break
        try:
            process.wait(SECONDS_BETWEEN_LOOKS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
    return cpu_seconds, peak_bytes


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RAY_"))}
    found = str(Path(sweeps.__file__).parent.parent)
    return {**kept, "PYTHONPATH": os.pathsep.join([found, os.environ.get("PYTHONPATH", "")])}
