"""What a recipient starts from, each with just the parents that its numbers depend on.

What makes the recipients stands in `subind.starts`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from subind.specs.base import Checked, Open
from subind.specs.network import Network
from subind.specs.quoting import name_of_parts
from subind.specs.run import MaskRun, NetworkRun, Run


class Start(Open):
    """A base of starts. `subind.starts.recipient` says what computes with one."""

    __slots__ = ()

    def parents(self) -> tuple[Run, ...]:
        """The runs whose files the start is made of: the donor's network of a mask as well as the mask."""
        raise NotImplementedError

    @property
    def network(self) -> Network:
        """The architecture of the recipient."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The start's name in columns, folders and figures: its class name in snake case and its parameters.

        Parameters are the fields but for runs and networks, so that two starts of one class that differ in them are
        two arms of a comparison: `rescaled_transfer_0.25`.
        """
        name = type(self).__name__
        snake = "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")
        values: list[Any] = [getattr(self, field.name) for field in fields(self)]  # type: ignore[arg-type]
        return name_of_parts([snake, *(text for value in values for text in _texts(value))])

    def columns(self) -> Mapping[str, Any]:
        """Columns of a result row from the fields of the start, besides its name."""
        return {}

    def check(self, held: str) -> None:
        """Raise ValueError for what a recipient of this start cannot hold."""


def _texts(value: Any) -> Iterator[str]:
    """A parameter in words; none of a run or a network, which have columns of their own."""
    match value:
        case Run() | Network():
            return
        case tuple():
            yield from (text for item in value for text in _texts(item))
        case Checked():
            yield type(value).__name__
            yield from (text for field in fields(value) for text in _texts(getattr(value, field.name)))  # type: ignore[arg-type]
        case float():
            yield repr(value).removesuffix(".0")
        case _:
            yield getattr(value, "__name__", str(value))


class MaskedStart(Start):
    """A base of starts that are made of one mask and its donor."""

    __slots__ = ()

    mask: MaskRun

    def parents(self) -> tuple[Run, ...]:
        return self.mask, self.mask.donor

    @property
    def network(self) -> Network:
        return self.mask.network


class DonorStart(Start):
    """A base of starts that are made of a donor."""

    __slots__ = ()

    donor: NetworkRun

    def parents(self) -> tuple[Run, ...]:
        return (self.donor,)

    @property
    def network(self) -> Network:
        return self.donor.network


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnetwork(MaskedStart):
    """Donor weights where the mask is 1, frozen; fresh weights elsewhere; the rest from the donor."""

    behaviour: ClassVar[str] = "subind.starts.subnetworks:Subnetwork"

    mask: MaskRun


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetworkTrainable(MaskedStart):
    """As Subnetwork, with nothing frozen."""

    behaviour: ClassVar[str] = "subind.starts.subnetworks:SubnetworkTrainable"

    mask: MaskRun


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSubnetwork(MaskedStart):
    """Donor weights, frozen, on a random mask of the subnetwork's density in every matrix."""

    behaviour: ClassVar[str] = "subind.starts.subnetworks:RandomSubnetwork"

    mask: MaskRun


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplementSubnetwork(MaskedStart):
    """Donor weights, frozen, on a random mask of the subnetwork's density, drawn from where the mask is 0."""

    behaviour: ClassVar[str] = "subind.starts.subnetworks:ComplementSubnetwork"

    mask: MaskRun


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomAsReleased(MaskedStart):
    """The released code's "sampled": the donor, frozen, everywhere but on a random set of the subnetwork's size."""

    behaviour: ClassVar[str] = "subind.starts.subnetworks:RandomAsReleased"

    mask: MaskRun


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplementAsReleased(MaskedStart):
    """The released code's "complement": as RandomAsReleased, the excepted set drawn from where the mask is 0."""

    behaviour: ClassVar[str] = "subind.starts.subnetworks:ComplementAsReleased"

    mask: MaskRun


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetworkTrainedAlone(MaskedStart):
    """Donor weights where the mask is 1, trained; fresh weights elsewhere, frozen.

    This is what the released vision code of September 2023 runs; that of February 2024 runs a Subnetwork.
    """

    behaviour: ClassVar[str] = "subind.starts.subnetworks:SubnetworkTrainedAlone"

    mask: MaskRun


@dataclass(frozen=True, slots=True, kw_only=True)
class FullTransfer(DonorStart):
    """The whole donor, nothing frozen."""

    behaviour: ClassVar[str] = "subind.starts.whole:FullTransfer"

    donor: NetworkRun


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmaskedOnly(DonorStart):
    """Fresh weights wherever a mask may be; the rest (embeddings, norms, biases) from the donor; nothing frozen."""

    behaviour: ClassVar[str] = "subind.starts.whole:UnmaskedOnly"

    donor: NetworkRun


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHead(DonorStart):
    """The whole donor, frozen, with a fresh head that is trained."""

    behaviour: ClassVar[str] = "subind.starts.whole:NewHead"

    donor: NetworkRun

    def check(self, held: str) -> None:
        if held != "all_but_head":
            raise ValueError(f"held is {held!r}: a new head trains on a frozen base; give 'all_but_head'")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMixture(DonorStart):
    """The whole donor, nothing frozen, trained on a mixture of parts of the data."""

    behaviour: ClassVar[str] = "subind.starts.whole:FullTransfer"

    donor: NetworkRun


@dataclass(frozen=True, slots=True, kw_only=True)
class LongerDonor(DonorStart):
    """Full transfer of a donor that was trained for as many more steps as a mask's discovery: equal training."""

    behaviour: ClassVar[str] = "subind.starts.whole:FullTransfer"

    donor: NetworkRun


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomInit(Start):
    """A fresh network. It has no parents."""

    behaviour: ClassVar[str] = "subind.starts.whole:RandomInit"

    model: Network

    def parents(self) -> tuple[Run, ...]:
        return ()

    @property
    def network(self) -> Network:
        return self.model

    def check(self, held: str) -> None:
        if held != "nothing":
            raise ValueError(f"held is {held!r}: a network that inherits nothing has nothing to hold; give 'nothing'")
