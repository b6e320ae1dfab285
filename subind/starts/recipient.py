"""What a recipient starts from: one formula for every start.

For every maskable tensor `effective = where(kept, donor, own)`: `kept` is frozen, `own` is trained. A start says which
weights are inherited and which of these are kept; fresh values, drawn by the run's law, stand in the other places.

To add a start, write a frozen dataclass on `subind.specs.starts.Start` with the method `inheritance`, as in
`subind.starts.union`, and `recipient` if its weights are not simply those of its first parent, as in
`subind.starts.rescaled`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from subind.masks.hard import HardMask
from subind.networks.network import Network, State
from subind.specs.base import behaviour
from subind.specs.training import AsInitialised, FreshLaw
from subind.training import draws as counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One network before training.

    `state` holds every parameter as training starts. Per maskable tensor, `kept` says which of its weights are frozen
    there, `inherited` which start at the donor's value, frozen or not. Any parameter may be in `kept`.
    """

    state: State
    kept: HardMask
    inherited: HardMask


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """Per maskable tensor, which weights start at the donor's value, and which weights are frozen."""

    inherited: HardMask
    kept: HardMask


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenMasks:
    """What an inheritance is decided from: the network's shapes, the parents' masks, by run, and the seed."""

    network: Network
    masks: Mapping[Any, HardMask]
    seed: int
    stage: str = "transfer"

    def generator(self, purpose: str, *more: str | int) -> torch.Generator:
        """A fresh CPU generator of the run for a purpose such as "start"."""
        return counters.generator(f"{self.stage}/{purpose}", self.seed, *more)

    def nothing(self) -> HardMask:
        """No maskable weight."""
        shapes = self.network.shapes
        return {name: torch.zeros(shapes[name], dtype=torch.bool) for name in self.network.maskable}

    def everything(self) -> HardMask:
        """All maskable weights."""
        return {name: ~bits for name, bits in self.nothing().items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given(GivenMasks):
    """What a recipient is made from: also the parents' networks, by run, and the law of fresh weights.

    A mask's `states` entry is its donor with what was trained along with the mask.
    """

    states: Mapping[Any, State]
    fresh_weights: FreshLaw

    def fresh(self) -> dict[str, Tensor]:
        """Fresh values of every maskable tensor, by the law."""
        if isinstance(self.fresh_weights, AsInitialised):
            made = self.network.initial(self.generator("initial")).parameters
            return {name: made[name] for name in self.network.maskable}
        draws = self.generator("initial")
        return {name: self.network.fresh(name, self.fresh_weights, draws) for name in self.network.maskable}

    def inheriting(self, donor: State, inheritance: Inheritance) -> Recipient:
        """The donor where weights are inherited, fresh values elsewhere under the mask, and the rest from the donor."""
        fresh, inherited = self.fresh(), inheritance.inherited
        own = {name: torch.where(bits, donor.parameters[name], fresh[name]) for name, bits in inherited.items()}
        state = State(parameters=donor.parameters | own, statistics=dict(donor.statistics))
        return Recipient(state=state, kept=inheritance.kept, inherited=inherited)


class Start(Protocol):
    """What computes with a start.

    It may also have `recipient(given: Given) -> Recipient`. Without that, weights are inherited from the network of its
    first parent: a donor, or a mask's donor with what was trained along with the mask.
    """

    def parents(self) -> tuple[Any, ...]:
        """The runs that the start is made of."""
        ...

    def inheritance(self, given: GivenMasks) -> Inheritance:
        """Which weights are inherited and which are frozen.

        Raises ValueError if they do not exist, as a random mask outside a mask of too high a density.
        """
        ...


def inheritance(start: Any, given: GivenMasks) -> Inheritance:
    """Which weights a recipient of a start inherits, and which are frozen; needs no weights of a donor."""
    made: Inheritance = behaviour(start).inheritance(given)
    return made


def recipient(start: Any, given: Given) -> Recipient:
    """The recipient of a start. Raises ValueError if it does not exist."""
    own = behaviour(start)
    special = getattr(own, "recipient", None)
    if special is not None:
        made: Recipient = special(given)
        return made
    return given.inheriting(given.states[start.parents()[0]], own.inheritance(given))
