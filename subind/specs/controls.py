"""What a recipient starts from: the controls, each with just the parents that its numbers depend on."""

from dataclasses import dataclass, replace
from typing import assert_never

from subind.specs.arithmetic import GPT2, MOST_EPOCHS, Donor, Mask
from subind.specs.base import Checked, at_most, positive, require
from subind.specs.images import ImageDonor, ImageMask
from subind.specs.vision import MOST_IMAGES, ResNet, ViT


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnetwork(Checked):
    """Donor weights where the mask is 1, frozen; fresh weights elsewhere; the rest from the donor."""

    mask: Mask | ImageMask


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetworkTrainable(Checked):
    """As Subnetwork, with nothing frozen."""

    mask: Mask | ImageMask


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSubnetwork(Checked):
    """Donor weights, frozen, on a random mask of the subnetwork's density in every matrix."""

    mask: Mask | ImageMask


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplementSubnetwork(Checked):
    """Donor weights, frozen, on a random mask of the subnetwork's density, drawn from where the mask is 0."""

    mask: Mask | ImageMask


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomAsReleased(Checked):
    """The released code's "sampled": the donor, frozen, everywhere but on a random set of the subnetwork's size."""

    mask: Mask | ImageMask


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplementAsReleased(Checked):
    """The released code's "complement": as RandomAsReleased, the excepted set drawn from where the mask is 0."""

    mask: Mask | ImageMask


@dataclass(frozen=True, slots=True, kw_only=True)
class FullTransfer(Checked):
    """The whole donor, nothing frozen."""

    donor: Donor | ImageDonor


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmaskedOnly(Checked):
    """Fresh projections; the rest (embeddings, positions, LayerNorm, biases) from the donor; nothing frozen."""

    donor: Donor | ImageDonor


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomInit(Checked):
    """A fresh network. It has no parents."""

    model: GPT2 | ResNet | ViT


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetworkTrainedAlone(Checked):
    """Donor weights where the mask is 1, trained; fresh weights elsewhere, frozen.

    This is what the released vision code of September 2023 runs; that of February 2024 runs a Subnetwork.
    """

    mask: ImageMask


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHead(Checked):
    """The whole donor, frozen, with a fresh head that is trained."""

    donor: ImageDonor


@dataclass(frozen=True, slots=True, kw_only=True)
class LongerDonor(Checked):
    """Full transfer of the donor trained for `num_more_epochs` more, as many as the steps of a mask come to.

    It is the control of equal training: what discovery costs is spent on the donor. The longer donor is trained from
    the same initial weights on the same images; its learning rate falls over all of its epochs, and it does not stop
    early. Of these epochs it keeps the one of lowest validation loss, as every donor does.
    """

    donor: ImageDonor
    num_more_epochs: int

    def _check(self) -> None:
        positive(self, "num_more_epochs")
        at_most(self, MOST_EPOCHS, "num_more_epochs")

    def longer(self) -> ImageDonor:
        """The donor that the recipient starts from."""
        num_epochs = self.donor.num_epochs + self.num_more_epochs
        return replace(self.donor, num_epochs=num_epochs, patience=num_epochs)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMixture(Checked):
    """The whole donor, nothing frozen, trained on original images and `num_mean_pooled` mean-pooled ones.

    The mean-pooled images are repeated in turn until they are `mean_pooled_share` of all; with a share of 1 they are
    all, and each is taken once. At a share that leaves room for fewer than `num_mean_pooled`, an epoch has the first of
    them, the same in every epoch.
    """

    donor: ImageDonor
    num_mean_pooled: int
    mean_pooled_share: float

    def _check(self) -> None:
        positive(self, "num_mean_pooled")
        at_most(self, MOST_IMAGES, "num_mean_pooled")
        require(0 <= self.mean_pooled_share <= 1, self, "mean_pooled_share", "give a share from 0 to 1")

    def num_rows(self, num_original: int) -> tuple[int, int]:
        """Original and mean-pooled images of one epoch, where so many originals are there."""
        share = self.mean_pooled_share
        return (0, self.num_mean_pooled) if share == 1 else (num_original, round(num_original * share / (1 - share)))


MaskedControl = (
    Subnetwork | SubnetworkTrainable | RandomSubnetwork | ComplementSubnetwork | RandomAsReleased | ComplementAsReleased
)
Control = MaskedControl | FullTransfer | UnmaskedOnly | RandomInit
"""What a recipient of arithmetic starts from. A control contains just the parents that its numbers depend on."""

MaskedImageControl = Subnetwork | SubnetworkTrainable | RandomSubnetwork | ComplementSubnetwork | SubnetworkTrainedAlone
ImageControl = MaskedImageControl | FullTransfer | UnmaskedOnly | RandomInit | NewHead | DataMixture | LongerDonor
"""What a recipient that classifies images starts from."""

AnyControl = Control | ImageControl


def control_name(control: AnyControl) -> str:
    """The control's name in columns, folders and figures: its class name in snake case."""
    name = type(control).__name__
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")


def control_parent(control: AnyControl) -> Donor | Mask | ImageDonor | ImageMask | None:
    """The run whose artifacts the start is made of."""
    match control:
        case RandomInit():
            return None
        case FullTransfer(donor=donor) | UnmaskedOnly(donor=donor) | NewHead(donor=donor) | DataMixture(donor=donor):
            return donor
        case LongerDonor():
            return control.longer()
        case (
            Subnetwork(mask=mask)
            | SubnetworkTrainable(mask=mask)
            | RandomSubnetwork(mask=mask)
            | ComplementSubnetwork(mask=mask)
            | RandomAsReleased(mask=mask)
            | ComplementAsReleased(mask=mask)
            | SubnetworkTrainedAlone(mask=mask)
        ):
            return mask
        case _:
            assert_never(control)
