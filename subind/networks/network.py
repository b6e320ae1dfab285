"""What the stages need of a network: the protocol that every network fulfils.

A network's behaviour is made from its spec (`subind.specs.networks`) and bound to the signature of a task, which gives
the sizes that the spec leaves open. Tensors of a pack carry a leading replica axis.

An example: `bound(GPT2(num_layers=2, ...), task.signature())` has `shapes["wte.weight"] == (1001, 128)`, and
`outputs(state, Tokens(tokens, read="last"), draws=None, training=False, precision="float32")` gives the scores
[replica, batch, 1, 1001] of the answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

import torch
from torch import Tensor

from subind.specs.base import behaviour
from subind.specs.networks import Network as Spec
from subind.specs.tasks import Signature
from subind.specs.training import FreshLaw, Normal, UniformFanIn
from subind.training.counters import Draws
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
        """Fresh values of one parameter by a law that is not AsInitialised."""
        ...

    def outputs(self, state: State, inputs: Inputs, *, draws: Draws | None, training: bool, precision: str) -> Tensor:
        """Outputs [replica batch ...] of a pack, in float32.

        `draws` are the replicas' own draws of this step, for dropout; without them there is none. While `training`,
        batches are normalised by their own statistics, and those of `state` are brought up to date in place.
        """
        ...

    def to_library(self, state: State) -> Parameters:
        """One network as the state dict of its library, on the CPU and contiguous: the layout of weight files."""
        ...

    def from_library(self, tensors: Mapping[str, Tensor]) -> State:
        """One network from such a state dict, in float32.

        Raises ValueError naming what is absent, unknown or of another shape.
        """
        ...


def bound(spec: Spec, signature: Signature) -> Network:
    """What computes with a network on the inputs of a task. Its class is made from the spec and the signature."""
    made: Network = behaviour(spec).bound(signature)
    return made


def replica(state: State, index: int) -> State:
    """One network of a pack as a pack of one, without copies."""
    place = slice(index, index + 1)
    return State(
        parameters={name: tensor[place] for name, tensor in state.parameters.items()},
        statistics={name: tensor[place] for name, tensor in state.statistics.items()},
    )


def fresh_values(shape: tuple[int, ...], law: FreshLaw, *, fan_in: int, generator: torch.Generator) -> Tensor:
    """Values of a law: N(0, std), or U(±1/√fan_in)."""
    match law:
        case Normal(std=std):
            return torch.randn(shape, generator=generator) * std
        case UniformFanIn():
            return (2 * torch.rand(shape, generator=generator) - 1) / fan_in**0.5
        case _:
            raise AssertionError(f"{law} is drawn by `initial`")


def patterns_match(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a parameter's name fits one of the patterns, such as "*.weight"."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
