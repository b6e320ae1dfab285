"""What runs of one shape ask of a worker: the terms of the cost model."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from subind.specs.network import Network
from subind.specs.network_sizes import NetworkSize
from subind.specs.run import Run, steps_per_epoch
from subind.specs.tasks import Task

ROWS_OF_AN_EVALUATION = 250
"""Rows that an evaluation takes at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What runs of one shape ask of a worker: operations and elements for each replica, passes for the whole pack.

    Unless `is_packed`, each replica has its own passes.
    """

    passes: float
    operations: float
    elements: float
    is_packed: bool = True


def size_of(run: Run) -> NetworkSize:
    """The size of the run's network on its task."""
    return _size(run.network, run.task, run.precision)


@lru_cache(maxsize=1000)
def _size(network: Network, task: Task, precision: str) -> NetworkSize:
    return network.size(task.signature(), precision)


def operations(run: Run) -> float:
    """Floating-point operations of a whole run, if it is not stopped early."""
    return work(run).operations


def work(run: Run) -> Work:
    """What the run asks of a worker, if it is not stopped early.

    A training step runs forward once and backward twice; an evaluation runs forward. A multiplication comes with an
    addition: both are operations. Multiplications are those with parameters, and in attention over images.
    """
    length, size = run.length(), size_of(run)
    judged, final = run.evaluated_rows()
    times = max(1, length.num_epochs * length.evaluations_per_epoch)
    rounds = times * ceil(judged / ROWS_OF_AN_EVALUATION) + ceil(final / ROWS_OF_AN_EVALUATION)
    steps = length.num_epochs * steps_per_epoch(run) if length.num_epochs else 0
    rows = length.num_epochs * run.num_training_samples + (times * judged + final) / 3
    return Work(
        passes=(steps + rounds / 3) * size.num_layers,
        operations=6 * rows * size.products,
        elements=rows * size.activations,
        is_packed=size.is_packed,
    )
