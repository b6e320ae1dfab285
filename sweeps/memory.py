"""How many replicas fit into memory: what one of them needs, and what a worker may take."""

from collections.abc import Iterable

from subind.specs import runs as specs
from subind.specs.quoting import quoted
from subind.specs.runs import ArithmeticSpec, Donor, Mask, Spec, Transfer
from sweeps.image_work import image_bytes_by_field, num_image_parameters

FLOAT, INDEX = 4, 8
"""Bytes of a float32 and of a token."""

POSITIONS, SEQUENCE_LENGTH = 3, 4

ELEMENTS_OF_A_LAYER = 32
"""Floats kept per token and unit of d_model for the gradient of a layer: inputs of its eight products and norms,
the MLP's at four times the width before and after gelu, dropout factors, gradients under way."""

ELEMENTS_OF_THE_HEAD = 4
"""Floats per token and word: scores, their log-softmax, and the gradients of both."""

ROWS_OF_AN_EVALUATION = 250

WORKER_BYTES = 1_000_000_000
"""What a worker's process takes before any replica: PyTorch, Ray, the allocator's reserve."""

CERTAIN = 0.5
"""A part of the estimate that a replica needs in any case: what was measured is 0.7 to 1.15 times the estimate."""

LARGEST_DEVICE = 8e12
"""Bytes: more than a card has, or a usual host whose cores train."""

SHARE_OF_FREE = 0.8
"""The part of free memory that packs may take."""


def bytes_per_replica(spec: Spec) -> int:
    """The memory of one replica of the run's shape at its peak: state, activations of a step, and samples.

    Measured on a CPU in every stage, at depths 1, 2 and 6 and batches from 32 to 500: 0.7 to 1.15 times this.
    """
    return sum(_parts(spec).values())


def _parts(spec: Spec) -> dict[str, int]:
    """The bytes of one replica by the field that they grow with most."""
    if not isinstance(spec, ArithmeticSpec):
        return image_bytes_by_field(spec)
    step = {"batch_size": _training(spec), "task.num_integers": _evaluation(spec)}
    field = max(step, key=lambda name: step[name])
    samples = "num_samples" if not isinstance(spec, Transfer) else "num_disambiguation"
    rows = samples if spec.num_training_samples >= spec.num_evaluation_samples else "num_evaluation_samples"
    return {"model": FLOAT * _state(spec), field: FLOAT * step[field], rows: _samples(spec)}


def check_fits(several: Iterable[Spec], *, device_bytes: float, device: str) -> None:
    """Refuse runs of which not one replica has a place in so many bytes, whatever the estimate's error.

    Raises ValueError naming the field that takes most, with its value. `device` says in words whose memory it is.
    """
    for spec in {specs.pack_shape(each): each for each in several}.values():
        parts = _parts(spec)
        needed = sum(parts.values())
        if CERTAIN * needed <= device_bytes:
            continue
        field = max(parts, key=lambda name: parts[name])
        value = specs.architecture(spec) if field == "model" else _value(spec, field)
        raise ValueError(
            f"{type(spec).__name__}.{field} is {quoted(value)}: one replica needs about {needed / 1e9:,.0f} GB, "
            f"{parts[field] / needed:.0%} of it for this, and {device} {device_bytes / 1e9:,.0f} GB: give less"
        )


def _value(spec: Spec, field: str) -> object:
    """The value of a field; of a donor, a mask and a transfer `task` is what they train on."""
    if field == "task.num_integers":
        assert isinstance(spec, ArithmeticSpec)
        return specs.task(spec).num_integers
    return getattr(spec, field)


def most_replicas(spec: Spec, *, free_bytes: float) -> int:
    """How many replicas of the run's shape a worker with so much free memory holds; at least one is tried."""
    return max(1, int(min((SHARE_OF_FREE * free_bytes - WORKER_BYTES) / bytes_per_replica(spec), 10**6)))


def num_parameters(spec: Spec) -> int:
    """The parameters of the run's network."""
    if not isinstance(spec, ArithmeticSpec):
        return num_image_parameters(specs.architecture_of_images(spec))
    model = specs.model(spec)
    return 12 * model.num_layers * model.d_model**2 + 2 * specs.task(spec).num_integers * model.d_model


def _state(spec: ArithmeticSpec) -> int:
    """Floats of parameters, gradients, both moments and the best epoch; of donors that are read; of their products."""
    model = specs.model(spec)
    matrices = 12 * model.num_layers * model.d_model**2
    whole = matrices + (_vocabulary(spec) + SEQUENCE_LENGTH) * model.d_model
    match spec:
        case Donor():
            return 6 * whole
        case Mask():
            return whole + 5 * matrices + 3 * matrices
        case Transfer():
            return 5 * whole + 3 * matrices


def _training(spec: ArithmeticSpec) -> int:
    model, tokens = specs.model(spec), min(spec.batch_size, spec.num_training_samples) * POSITIONS
    layers = ELEMENTS_OF_A_LAYER * model.num_layers * model.d_model
    return tokens * (layers + ELEMENTS_OF_THE_HEAD * _vocabulary(spec))


def _evaluation(spec: ArithmeticSpec) -> int:
    """One layer at a time, and the scores of all positions."""
    model = specs.model(spec)
    tokens = min(ROWS_OF_AN_EVALUATION, spec.num_evaluation_samples) * POSITIONS
    return tokens * (12 * model.d_model + 3 * _vocabulary(spec))


def _samples(spec: ArithmeticSpec) -> int:
    """Training rows, their order twice, and validation rows."""
    rows = spec.num_training_samples + spec.num_evaluation_samples
    return INDEX * (SEQUENCE_LENGTH * rows + 2 * spec.num_training_samples)


def _vocabulary(spec: ArithmeticSpec) -> int:
    return specs.task(spec).num_integers + 1
