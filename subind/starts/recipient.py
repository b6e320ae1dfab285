"""What a recipient starts from: one formula for every start.

For every maskable tensor `effective = where(kept, donor, own)`: `kept` is frozen, `own` is trained. A start says which
weights are inherited and which of these are kept; fresh values, drawn by the run's law, stand in the other places.
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
from subind.training import counters


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
class Given:
    """What a start is made from: the network, what the parents left, by run, the law of fresh weights, and the seed.

    A mask's `states` entry is its donor with what was trained beside the mask.
    """

    network: Network
    states: Mapping[Any, State]
    masks: Mapping[Any, HardMask]
    fresh_weights: FreshLaw
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

    def fresh(self) -> dict[str, Tensor]:
        """Fresh values of every maskable tensor, by the law."""
        if isinstance(self.fresh_weights, AsInitialised):
            made = self.network.initial(self.generator("initial")).parameters
            return {name: made[name] for name in self.network.maskable}
        draws = self.generator("initial")
        return {name: self.network.fresh(name, self.fresh_weights, draws) for name in self.network.maskable}

    def inheriting(self, donor: State, inherited: HardMask, *, kept: HardMask) -> Recipient:
        """The donor where `inherited`, fresh values elsewhere under the mask, and the rest from the donor."""
        fresh = self.fresh()
        own = {name: torch.where(bits, donor.parameters[name], fresh[name]) for name, bits in inherited.items()}
        state = State(parameters=donor.parameters | own, statistics=dict(donor.statistics))
        return Recipient(state=state, kept=kept, inherited=inherited)


class Start(Protocol):
    """What computes with a start."""

    def recipient(self, given: Given) -> Recipient:
        """The recipient. Raises ValueError if it does not exist, as a random mask of too high a density."""
        ...


def recipient(start: Any, given: Given) -> Recipient:
    """The recipient of a start."""
    made: Recipient = behaviour(start).recipient(given)
    return made
