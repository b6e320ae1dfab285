"""How many replicas fit into memory: what one of them needs, and what a worker may take."""

from collections.abc import Iterable

from subind.specs.network_sizes import FLOAT
from subind.specs.quoting import quoted
from subind.specs.run import Run, Stage
from sweeps.costs.work import ROWS_OF_AN_EVALUATION, size_of

INDEX = 8
"""Bytes of a row's number in the order of an epoch."""

COPIES: dict[Stage, tuple[int, int]] = {"donor": (6, 0), "mask": (1, 8), "transfer": (5, 3), "measurement": (2, 0)}
"""Floats for each parameter, and for each that a mask covers: parameters, gradients, both moments and the best epoch;
donors that are read; masked weights and their products."""

NETWORKS_READ = 2
"""Parents that these copies stand for; each further one is another network."""

WORKER_BYTES = 1_000_000_000
"""What a worker's process takes before any replica: PyTorch, Ray, the allocator's reserve."""

CERTAIN = 0.5
"""A part of the estimate that a replica needs in any case: what was measured is 0.7 to 1.15 times the estimate."""

LARGEST_DEVICE = 8e12
"""Bytes: more than a card has, or a usual host whose cores train."""

SHARE_OF_FREE = 0.8
"""The part of free memory that packs may take."""


def bytes_per_replica(run: Run) -> int:
    """The memory of one replica of the run's shape at its peak: state, activations of a step, and rows."""
    return sum(_parts(run).values())


def _parts(run: Run) -> dict[str, int]:
    """The bytes of one replica by the field that they grow with most."""
    size = size_of(run)
    whole, maskable = COPIES[run.stage]
    whole += max(0, len(run.parents()) - NETWORKS_READ)
    state = FLOAT * (whole * size.num_parameters + maskable * size.num_maskable)
    trained, evaluated = run.num_training_samples, max(run.evaluated_rows())
    step = size.step_bytes * min(getattr(run, "batch_size", 0), trained)
    evaluation = size.evaluation_bytes * min(ROWS_OF_AN_EVALUATION, evaluated)
    field = "batch_size" if step >= evaluation else "task"
    rows = "rows" if trained >= evaluated else "num_evaluation_samples"
    network = "model" if hasattr(run, "model") else "network"
    return {network: state, field: max(step, evaluation), rows: run.bytes_of_rows() + 2 * INDEX * trained}


def check_fits(several: Iterable[Run], *, device_bytes: float, device: str) -> None:
    """Refuse runs of which not one replica has a place in so many bytes, whatever the estimate's error.

    Raises ValueError naming the field that takes most, with its value. `device` says in words whose memory it is.
    """
    for run in {each.pack_shape(): each for each in several}.values():
        parts = _parts(run)
        needed = sum(parts.values())
        if CERTAIN * needed <= device_bytes:
            continue
        field = max(parts, key=lambda name: parts[name])
        raise ValueError(
            f"{type(run).__name__}.{field} is {quoted(getattr(run, field, run))}: "
            f"one replica needs about {needed / 1e9:,.0f} GB, {parts[field] / needed:.0%} of it for this, "
            f"and {device} {device_bytes / 1e9:,.0f} GB: give less"
        )


def most_replicas(run: Run, *, free_bytes: float) -> int:
    """How many replicas of the run's shape a worker with so much free memory holds; at least one is tried."""
    return max(1, int(min((SHARE_OF_FREE * free_bytes - WORKER_BYTES) / bytes_per_replica(run), 10**6)))


def num_parameters(run: Run) -> int:
    """The parameters of the run's network."""
    return size_of(run).num_parameters
