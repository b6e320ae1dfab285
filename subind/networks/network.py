"""What the stages need of a network: the protocol that every network fulfils.

A network's behaviour is made from its spec (`subind.specs.networks`) and bound to the signature of a task, which gives
the sizes that the spec leaves open. Tensors of a pack carry a leading replica axis.

An example: `bound(GPT2(num_layers=2, ...), task.signature())` has `shapes["wte.weight"] == (1001, 128)`, and
`outputs(state, Tokens(tokens, read="last"), draws=None, training=False, precision="float32")` gives the scores
[replica, batch, 1, 1001] of the answer.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod, sqrt
from typing import Protocol

import torch
from torch import Tensor

from subind.specs.base import behaviour
from subind.specs.network import Network as Spec
from subind.specs.quoting import shortened
from subind.specs.tasks import Signature
from subind.specs.training import FreshLaw, Normal, UniformFanIn
from subind.training.draws import Draws
from subind.training.tensors import Inputs, Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Parameters, and what training changes without gradients (running statistics), by name.

    Of one network, or with a leading replica axis of a pack.
    """

    parameters: Parameters
    statistics: Parameters


class Network(Protocol):
    """The tensors of one architecture and the outputs of a pack of them.

    `shapes` are those of the parameters of one network, by name. `maskable` are the parameters that masks cover; `head`
    and `norms` those of the last layer and of the normalisations, empty where there are none. `can_be_captured` says
    whether a step may be captured as a CUDA graph.
    """

    shapes: Mapping[str, tuple[int, ...]]
    maskable: tuple[str, ...]
    head: tuple[str, ...]
    norms: tuple[str, ...]
    can_be_captured: bool

    def initial(self, generator: torch.Generator) -> State:
        """One fresh network, drawn on the CPU."""
        ...

    def fresh(self, name: str, law: FreshLaw, generator: torch.Generator) -> Tensor:
        """Fresh values of one parameter by a law that is not AsInitialised; a bias has the fan_in of its weight."""
        ...

    def outputs(self, state: State, inputs: Inputs, *, draws: Draws | None, training: bool, precision: str) -> Tensor:
        """Outputs [replica batch ...] of a pack, in float32.

        `draws` are the replicas' own draws of this step, for dropout; without them there is none. While `training`,
        batches are normalised by their own statistics, and those of `state` are brought up to date in place. The two
        are independent: training with statistics held has draws and is not `training`.
        """
        ...

    def to_library(self, state: State) -> Parameters:
        """One network as the state dict of its library, on the CPU and contiguous: the layout of weight files."""
        ...

    def from_library(self, tensors: Mapping[str, Tensor], *, without: Collection[str] = ()) -> State:
        """One network from such a state dict, in float32.

        The parameters `without` are left out whatever the file has of them: the caller gives them. Tensors on the meta
        device, made of a file's header, are checked by name and shape alone. Raises ValueError naming what is absent,
        unknown or of another shape.
        """
        ...


def bound(spec: Spec, signature: Signature) -> Network:
    """What computes with a network on the inputs of a task. Its class is made from the spec and the signature."""
    made: Network = behaviour(spec).bound(signature)
    return made


def apart(state: State) -> Iterator[State]:
    """The networks of a pack one by one, each a pack of one.

    Gradients of all are collected at once; statistics are views, so what is changed in place changes in the pack.
    """
    num = len(next(iter(state.parameters.values())))
    cut = {name: tensor.unbind() for name, tensor in state.parameters.items()}
    for index in range(num):
        yield State(
            parameters={name: tensors[index].unsqueeze(0) for name, tensors in cut.items()},
            statistics={name: tensor[index : index + 1] for name, tensor in state.statistics.items()},
        )


def fresh_values(shape: tuple[int, ...], law: FreshLaw, *, fan_in: int, generator: torch.Generator) -> Tensor:
    """Values of a law: N(0, std), or U(±1/√fan_in)."""
    match law:
        case Normal(std=std):
            return torch.randn(shape, generator=generator) * std
        case UniformFanIn():
            return (2 * torch.rand(shape, generator=generator) - 1) / sqrt(fan_in)
        case _:
            raise AssertionError(f"{law} is drawn by `initial`")


def fan_in(name: str, shapes: Mapping[str, tuple[int, ...]], *, inputs_first: bool = False) -> int:
    """How many inputs a weight (out, in, ...), or the weight of a bias, sums; (in, out) with `inputs_first`.

    A vector without such a weight has its own length.
    """
    shape = shapes[name]
    if len(shape) < 2:
        shape = shapes.get(f"{name.removesuffix('bias')}weight", shape)
    if len(shape) < 2:
        return prod(shape)
    return shape[0] if inputs_first else prod(shape[1:])


def library_tensors(state: State) -> Parameters:
    """Parameters and statistics of one network under their own names, on the CPU and contiguous."""
    tensors = {**state.parameters, **state.statistics}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def checked_state(
    tensors: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    statistics: Mapping[str, Tensor],
    *,
    without: Collection[str] = (),
) -> State:
    """Copies of the tensors as the state of one network; `statistics` are those of a fresh one.

    Whole numbers stay whole, and all else is float32. Raises ValueError naming what is absent, unknown or of another
    shape.
    """
    wanted = {name: shape for name, shape in shapes.items() if name not in without}
    running = {name: tuple(tensor.shape) for name, tensor in statistics.items()}
    given = {name: tensor for name, tensor in tensors.items() if name not in without}
    if absent := [name for name in (*wanted, *running) if name not in given]:
        raise ValueError(f"the weights lack {_listed(absent)}: give weights of the same network")
    if unknown := [name for name in given if name not in wanted and name not in running]:
        raise ValueError(f"the weights have {_listed(unknown)}, which the network lacks: give weights of the same one")
    for name, shape in (wanted | running).items():
        if tuple(given[name].shape) != shape:
            has = tuple(given[name].shape)
            raise ValueError(f"{name} has the shape {has}, not {shape}: give weights of the same network")
    return State(
        parameters={name: given[name].to(torch.float32, copy=True) for name in wanted},
        statistics={name: given[name].to(statistics[name].dtype, copy=True) for name in running},
    )


MOST_NAMES = 3
"""In a message."""


def _listed(names: Collection[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(shortened(name) for name in list(names)[:MOST_NAMES]) + more


def patterns_match(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a parameter's name fits one of the patterns, such as "*.weight"."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
