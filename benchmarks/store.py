"""How long planning, export and report of a store of many finished cells take, and how much memory.

Each is a command in a process of its own, timed from its start to its end, imports included, as who types it feels it.
The store is that of a sweep that has ended: records, and the index that the sweep's own export has left. Python finds
its bytecode, as it does wherever a command has run before.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import sweeps
from benchmarks.fabricated_store import fabricate, written_grid

IMPORTS = "import sweeps.cli.__main__, sweeps.exporting.rows, analysis.report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A command's wall time and the largest resident set among its processes."""

    seconds: float
    peak_bytes: int


def store_benchmark(num_cells: int, *, progress: Callable[[str], None]) -> dict[str, float]:
    """plan_seconds, export_seconds, report_seconds and peak_memory_bytes over so many cells, donors and masks beside.

    The store takes 20 kB a cell in a temporary folder. Raises ValueError if a command fails, OSError if the disk is
    full.
    """
    with tempfile.TemporaryDirectory(prefix="subind-bench-") as name:
        folder = Path(name)
        grid = written_grid(folder / "cells.py", num_cells=num_cells)
        progress(f"writing the records of {num_cells:,} cells and of their donors and masks")
        fabricate(grid, folder / "store")
        _run(["-c", IMPORTS], folder)
        first = _run(_command("export", grid), folder)
        progress(f"the first export, which reads every record, took {first.seconds:.1f} s")
        found = {command: _run(_command(command, grid), folder) for command in ("plan", "export", "report")}
        progress("removing the store")
    return {
        **{f"{command}_seconds": measured.seconds for command, measured in found.items()},
        "peak_memory_bytes": max(measured.peak_bytes for measured in found.values()),
    }


def _command(name: str, grid: Path) -> list[str]:
    return ["-m", "sweeps.cli", name, grid.name]


def _run(arguments: list[str], folder: Path) -> Measured:
    """Run Python in the folder. Raises ValueError with what it said if it fails."""
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=_environment(folder), stdout=subprocess.DEVNULL, stderr=said
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode:
            told = said.read().decode(errors="replace").strip()
            raise ValueError(f"`python {' '.join(arguments)}` ended with {process.returncode}: {told[-2000:]}")
    return Measured(seconds=seconds, peak_bytes=used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def _environment(folder: Path) -> Mapping[str, str]:
    root = str(Path(sweeps.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
