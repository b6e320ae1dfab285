"""Starts without a mask: the whole donor, what masks leave out, a new head, and a fresh network."""

from dataclasses import replace

import torch

from subind.networks.network import State
from subind.specs import starts as specs
from subind.specs.training import UniformFanIn
from subind.starts.recipient import Given, GivenMasks, Inheritance, Recipient


class OfDonor:
    """A base of these starts but the fresh network."""

    def __init__(self, start: specs.DonorStart) -> None:
        self.start = start


class FullTransfer(OfDonor):
    """Everything is inherited; nothing is frozen."""

    def inheritance(self, given: GivenMasks) -> Inheritance:
        return Inheritance(inherited=given.everything(), kept=given.nothing())


class UnmaskedOnly(OfDonor):
    """No maskable weight is inherited; nothing is frozen."""

    def inheritance(self, given: GivenMasks) -> Inheritance:
        return Inheritance(inherited=given.nothing(), kept=given.nothing())


class NewHead(OfDonor):
    """All but the head is inherited and frozen. The head is U(±1/√fan_in), weight and bias."""

    def inheritance(self, given: GivenMasks) -> Inheritance:
        head = given.network.head
        base = {name: torch.full_like(bits, name not in head) for name, bits in given.nothing().items()}
        return Inheritance(inherited=base, kept=base)

    def recipient(self, given: Given) -> Recipient:
        made = given.inheriting(given.states[self.start.donor], self.inheritance(given))
        draws = given.generator("head")
        head = {name: given.network.fresh(name, UniformFanIn(), draws) for name in given.network.head}
        state = State(parameters=made.state.parameters | head, statistics=made.state.statistics)
        return replace(made, state=state)


class RandomInit:
    """A network as it is initialised, whatever the law of fresh weights beside inherited ones."""

    def __init__(self, start: specs.RandomInit) -> None:
        self.start = start

    def inheritance(self, given: GivenMasks) -> Inheritance:
        return Inheritance(inherited=given.nothing(), kept=given.nothing())

    def recipient(self, given: Given) -> Recipient:
        found = self.inheritance(given)
        state = given.network.initial(given.generator("initial"))
        return Recipient(state=state, kept=found.kept, inherited=found.inherited)
