"""What a run costs: its floating-point operations, and how many of them a worker does in a second."""

import time
from collections.abc import Iterable

import numpy as np

from subind import spec as specs
from subind.results import RunRecord
from subind.spec import Spec, Transfer

POSITIONS = 3
"""Positions of a row that the model reads."""

SHARE_OF_MATRIX_PRODUCT = 0.5
"""What a packed training step reaches of a CPU core's speed in a float32 matrix product, measured at depth 2."""


def operations(spec: Spec) -> float:
    """Floating-point operations of a whole run, if it is not stopped early: products of parameters only."""
    model, size = specs.model(spec), specs.task(spec).num_integers + 1
    body, head = 12 * model.num_layers * model.d_model**2, size * model.d_model
    training = 6 * POSITIONS * (body + head) * spec.num_training_samples
    evaluation = 2 * POSITIONS * (body + head) * spec.num_evaluation_samples
    if isinstance(spec, Transfer):
        evaluation += 2 * (POSITIONS * body + head) * spec.num_ambiguous
    return float(max(1, spec.num_epochs) * (training + evaluation))


def operations_done(spec: Spec, record: RunRecord) -> float:
    """Floating-point operations of a finished run, which may have stopped early."""
    return operations(spec) * len(record.curves["epoch"]) / max(1, spec.num_epochs)


def measured_speed(finished: Iterable[tuple[Spec, RunRecord]], *, device: str) -> float | None:
    """Operations a worker did in a second, over the runs finished on the kind of device; None if there are none."""
    done = [
        (operations_done(spec, record), record.provenance.seconds / record.provenance.pack_size)
        for spec, record in finished
        if (record.provenance.device == "cpu") == (device == "cpu")
    ]
    seconds = sum(each for _, each in done)
    return sum(each for each, _ in done) / seconds if seconds > 0 else None


def assumed_cpu_speed(num_cores: int) -> float:
    """Operations a worker of one core is expected to do in a second, from a matrix product timed now."""
    size = 1024
    left = np.ones((size, size), dtype=np.float32)
    left @ left
    times = []
    for _ in range(3):
        start = time.perf_counter()
        left @ left
        times.append(time.perf_counter() - start)
    return SHARE_OF_MATRIX_PRODUCT * 2 * size**3 / sorted(times)[1] / num_cores
