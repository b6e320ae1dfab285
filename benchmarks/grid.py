"""A small real grid, forecast and then swept by the service as a user has it; and once more with what that taught."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import sweeps
from subind.specs.arithmetic import READINGS, ArithmeticTask
from subind.specs.mask_methods import ContinuousSparsification
from subind.specs.networks import GPT2
from subind.specs.optimizers import AdamW, NoClip
from subind.specs.quoting import quoted
from subind.specs.rows import Part
from subind.specs.runs import Discover, Train, Transfer
from subind.specs.starts import FullTransfer, RandomInit, RandomSubnetwork, Start, Subnetwork
from subind.specs.temperature import TemperatureSchedule
from subind.specs.training import EarlyStop, NoEarlyStop, Normal, highest, lowest
from sweeps.grids import read_grid
from sweeps.hosts.workers import available_workers
from sweeps.planning.preparation import prepared
from sweeps.planning.request import Request
from sweeps.planning.store_checks import opened_store

DEPTHS = (1, 2)
DISAMBIGUATION_COUNTS = (50, 200, 800)
SEEDS_OF_ROUNDS = ((0, 1), (2, 3))

_OPTIMIZER = AdamW(learning_rate=1e-3, weight_decay=0.0, schedule="constant", clip=NoClip())


def cells(*, seeds: tuple[int, ...], num_epochs: int = 40) -> tuple[Transfer, ...]:
    """48 transfers of six lengths over four donors and four masks; about 80 core-seconds. No donor stops early."""
    return tuple(
        _transfer(start, num_disambiguation=count, seed=seed, num_epochs=num_epochs)
        for num_layers in DEPTHS
        for seed in seeds
        for starts in [_starts(_mask(num_layers, seed=seed, num_epochs=num_epochs // 2))]
        for count in DISAMBIGUATION_COUNTS
        for start in starts
    )


def _task(rule: str) -> ArithmeticTask:
    return ArithmeticTask(rule=rule, modulus=5, num_integers=100)


def _mask(num_layers: int, *, seed: int, num_epochs: int) -> Discover:
    donor = Train(
        task=_task("a + a*b"),
        model=GPT2(num_layers=num_layers, d_model=64, num_heads=4, dropout=0.1),
        rows=(Part(name="unambiguous", num_samples=2000),),
        num_evaluation_samples=200,
        optimizer=_OPTIMIZER,
        batch_size=50,
        num_epochs=num_epochs,
        kept_epoch=lowest("validation_loss"),
        stopping=EarlyStop(patience=num_epochs),
        seed=seed,
        precision="float32",
    )
    return Discover(
        donor=donor,
        task=_task("a*b"),
        rows=(Part(name="unambiguous", num_samples=2000),),
        num_evaluation_samples=200,
        method=ContinuousSparsification(
            initial_logit=0.1, penalty=1e-7, temperature=TemperatureSchedule(name="exponential", final=100.0)
        ),
        optimizer=_OPTIMIZER,
        batch_size=250,
        num_epochs=num_epochs,
        kept_epoch=highest("subtask_accuracy", ties="last"),
        seed=seed,
        precision="float32",
    )


def _starts(mask: Discover) -> tuple[Start, ...]:
    return (
        Subnetwork(mask=mask),
        FullTransfer(donor=mask.donor),
        RandomInit(model=mask.network),
        RandomSubnetwork(mask=mask),
    )


def _transfer(start: Start, *, num_disambiguation: int, seed: int, num_epochs: int) -> Transfer:
    return Transfer(
        start=start,
        task=replace(_task("a**2 + a*b"), rivals=READINGS),
        rows=(
            Part(name="ambiguous", num_samples=100),
            Part(name="disambiguation", num_samples=num_disambiguation),
        ),
        num_evaluation_samples=200,
        fresh_weights=Normal(std=0.02),
        optimizer=_OPTIMIZER,
        batch_size=32,
        num_epochs=num_epochs,
        kept_epoch=highest("validation_accuracy", ties="last"),
        stopping=NoEarlyStop(),
        seed=seed,
        precision="float32",
    )


def grid_benchmark(
    *, progress: Callable[[str], None], device: str = "auto", num_epochs: int = 40
) -> dict[str, list[dict[str, Any]]]:
    """Forecast and measured seconds of two sweeps in one store, the second forecast from what the first has left.

    `gain_of_packing` is the makespan of the naive rule over that of the packs, both simulated. Raises OSError if a
    sweep fails.
    """
    with tempfile.TemporaryDirectory(prefix="subind-bench-") as folder:
        return {
            "rounds": [
                _round(Path(folder), seeds=seeds, num_epochs=num_epochs, device=device, progress=progress)
                for seeds in SEEDS_OF_ROUNDS
            ]
        }


def _round(
    folder: Path, *, seeds: tuple[int, ...], num_epochs: int, device: str, progress: Callable[[str], None]
) -> dict[str, Any]:
    grid = folder / f"seeds_{'_'.join(map(str, seeds))}.py"
    grid.write_text(
        "from benchmarks.grid import cells\n\n\n"
        f"def grid():\n    return cells(seeds={seeds}, num_epochs={num_epochs})\n"
    )
    request = Request(grid=read_grid(str(grid)), where=(), store=str(folder / "store"))
    made = prepared(request, opened_store(request.store), available_workers(device))
    if made.forecast is None:
        raise ValueError(
            f"--device is {quoted(device)}: nothing is known of {made.workers.name}; run a grid on it first"
        )
    times = made.forecast
    progress(f"{len(made.plan.missing)} runs in {len(made.plan.packs)} packs; forecast {times.seconds:.0f} s")
    seconds = _swept(request, folder, device)
    return {
        "cells": len(made.plan.missing),
        "packs": len(made.plan.packs),
        "basis": times.basis,
        "forecast_seconds": times.seconds,
        "measured_seconds": seconds,
        "ratio": seconds / times.seconds,
        "gain_of_packing": times.gain_of_packing,
    }


def _swept(request: Request, folder: Path, device: str) -> float:
    """The seconds of `subind run` on the request, from its start to its end."""
    found = str(Path(sweeps.__file__).parent.parent)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RAY_"))}
    environment["PYTHONPATH"] = os.pathsep.join([found, os.environ.get("PYTHONPATH", "")])
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "sweeps.cli", "run", request.grid.name, "--store", request.store, "--device", device],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise OSError(f"the sweep ended with status {ended.returncode}: {ended.stderr or ended.stdout}")
    return time.perf_counter() - start
