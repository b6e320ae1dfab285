"""Starts that are made of one mask and its donor: the subnetwork, and sets of weights like it.

Random sets are drawn from the run's stream "start" and have as many weights in every tensor as the mask.
"""

from subind.masks import hard as masks
from subind.masks.hard import HardMask
from subind.specs.starts import MaskedStart
from subind.starts.recipient import GivenMasks, Inheritance


class OfMask:
    """A base of these starts. A recipient starts from the network that the mask was discovered in."""

    def __init__(self, start: MaskedStart) -> None:
        self.start = start

    def mask(self, given: GivenMasks) -> HardMask:
        """The mask as it was discovered."""
        return given.masks[self.start.mask]


class Subnetwork(OfMask):
    """The mask is inherited and frozen."""

    def inheritance(self, given: GivenMasks) -> Inheritance:
        return frozen(self.mask(given))


class SubnetworkTrainable(OfMask):
    """The mask is inherited; nothing is frozen."""

    def inheritance(self, given: GivenMasks) -> Inheritance:
        return Inheritance(inherited=self.mask(given), kept=given.nothing())


class RandomSubnetwork(OfMask):
    """A random set is inherited and frozen."""

    def inheritance(self, given: GivenMasks) -> Inheritance:
        return frozen(masks.random_mask(self.mask(given), given.generator("start")))


class ComplementSubnetwork(OfMask):
    """A random set outside the mask is inherited and frozen."""

    def inheritance(self, given: GivenMasks) -> Inheritance:
        return frozen(masks.random_mask_outside(self.mask(given), given.generator("start")))


class RandomAsReleased(OfMask):
    """All but a random set is inherited and frozen."""

    def inheritance(self, given: GivenMasks) -> Inheritance:
        return frozen(masks.inverted(masks.random_mask(self.mask(given), given.generator("start"))))


class ComplementAsReleased(OfMask):
    """All but a random set outside the mask is inherited and frozen."""

    def inheritance(self, given: GivenMasks) -> Inheritance:
        return frozen(masks.inverted(masks.random_mask_outside(self.mask(given), given.generator("start"))))


class SubnetworkTrainedAlone(OfMask):
    """The mask is inherited and trained; the fresh weights outside it are frozen."""

    def inheritance(self, given: GivenMasks) -> Inheritance:
        mask = self.mask(given)
        return Inheritance(inherited=mask, kept=masks.inverted(mask))


def frozen(inherited: HardMask) -> Inheritance:
    """What is inherited is frozen."""
    return Inheritance(inherited=inherited, kept=inherited)
