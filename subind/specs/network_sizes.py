"""What planning knows of a network: the terms by which time and memory of a run are forecast."""

from dataclasses import dataclass
from functools import cache
from math import prod

from subind.specs.base import Open, behaviour
from subind.specs.tasks import Signature, Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSize:
    """What planning knows of a network on a task's inputs.

    `num_parameters` and `num_maskable` are numbers of all and of those under a mask, which are in `num_masks` tensors;
    `num_layers` the layers that a step runs one after another. Of one row, `products` are the multiplications of a
    forward pass, `activations` the numbers that its layers give, `step_bytes` the memory of a training step, and
    `evaluation_bytes` that of an evaluation. `is_packed` says whether a layer of all replicas runs as one.
    """

    num_parameters: int
    num_maskable: int
    num_masks: int
    num_layers: int
    products: int
    activations: int
    step_bytes: int
    evaluation_bytes: int
    is_packed: bool


FLOAT = 4
"""Bytes of a float32."""

BYTES_OF_AN_ACTIVATION = 32
"""Assumed of networks of which nothing else is known: what a training step keeps for each number that a layer gives."""


@cache
def size_of_parameters(network: Open, signature: Signature) -> NetworkSize:
    """The size of a network of which only the parameters are known, as what computes with it has them.

    Each parameter is taken to multiply once for every position of a row.
    """
    bound = behaviour(network).bound(signature)
    numbers = {name: prod(shape) for name, shape in bound.shapes.items()}
    total, length = sum(numbers.values()), signature.inputs.length if isinstance(signature.inputs, Tokens) else 1
    activations = length * sum(shape[0] for shape in bound.shapes.values() if shape)
    return NetworkSize(
        num_parameters=total,
        num_maskable=sum(numbers[name] for name in bound.maskable),
        num_masks=len(bound.maskable),
        num_layers=length * len(numbers),
        products=length * total,
        activations=activations,
        step_bytes=BYTES_OF_AN_ACTIVATION * activations,
        evaluation_bytes=BYTES_OF_AN_ACTIVATION // 4 * activations,
        is_packed=False,
    )
