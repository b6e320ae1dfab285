"""The experiment of shape against texture on drawn images, by network and seed, with all controls and mixtures.

Two decisions differ from the published protocol, which does not train a small ResNet on drawn images: in discovery
BatchNorm normalises by each batch, and recipients hold nothing but the subnetwork. Under the donor's running statistics
discovery ends near chance, and recipients that hold the norms diverge at this rate (docs/vision.md has the figures).
"""

from dataclasses import dataclass, replace
from math import ceil

from subind.specs.runs import (
    SGD,
    AdamW,
    ComplementSubnetwork,
    DataMixture,
    FreshWeights,
    FullTransfer,
    ImageControl,
    ImageDonor,
    ImageMask,
    ImageModel,
    ImagePrecision,
    ImageTransfer,
    LongerDonor,
    NewHead,
    NoClip,
    RandomInit,
    RandomSubnetwork,
    ResNet,
    ShapesTask,
    Subnetwork,
    SubnetworkTrainable,
    TemperatureSchedule,
    UnmaskedOnly,
    steps_per_epoch,
)

NUM_EVALUATION = 500
NUM_CONFLICT = 960
"""Four of each of the 240 pairs of classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a network for drawn images needs: its size, and how long and how fast each stage trains."""

    model: ImageModel
    precision: ImagePrecision
    task: ShapesTask
    num_images: int
    batch_size: int
    donor_epochs: int
    donor_rate: float
    mask_epochs: int
    mask_rate: float
    penalty: float
    transfer_epochs: int
    transfer_optimizer: AdamW | SGD


def donor(setting: Setting, *, seed: int) -> ImageDonor:
    """A network trained on original images; the images, too, are drawn by the seed."""
    return ImageDonor(
        task=replace(setting.task, data_seed=seed),
        model=setting.model,
        num_samples=setting.num_images,
        num_evaluation_samples=NUM_EVALUATION,
        num_cue_conflict=NUM_CONFLICT,
        augmentation="none",
        class_weights="equal",
        optimizer=AdamW(learning_rate=setting.donor_rate, weight_decay=0.01, schedule="linear_decay", clip=NoClip()),
        batch_size=setting.batch_size,
        num_epochs=setting.donor_epochs,
        kept_epoch="first_best",
        patience=setting.donor_epochs,
        seed=seed,
        precision=setting.precision,
        trained="everything",
        weights=FreshWeights(),
    )


def mask(setting: Setting, of: ImageDonor) -> ImageMask:
    """The subnetwork of a donor for the same images mean-pooled."""
    return ImageMask(
        donor=of,
        subtask=of.task,
        num_samples=setting.num_images,
        num_evaluation_samples=NUM_EVALUATION,
        initial_logit=-0.1,
        penalty=setting.penalty,
        temperature=TemperatureSchedule(name="exponential", final=100.0),
        beside="nothing" if isinstance(of.model, ResNet) else "class_token_and_positions",
        statistics="batch" if isinstance(of.model, ResNet) else "donor",
        optimizer=AdamW(learning_rate=setting.mask_rate, weight_decay=0.01, schedule="constant", clip=NoClip()),
        batch_size=setting.batch_size,
        num_epochs=setting.mask_epochs,
        kept_epoch="last_best",
        seed=of.seed,
        precision=setting.precision,
    )


def transfer(setting: Setting, control: ImageControl, *, seed: int) -> ImageTransfer:
    """A recipient trained on the original images of the seed."""
    return ImageTransfer(
        control=control,
        task=replace(setting.task, data_seed=seed),
        num_samples=setting.num_images,
        num_evaluation_samples=NUM_EVALUATION,
        num_cue_conflict=NUM_CONFLICT,
        evaluations_per_epoch=1,
        augmentation="none",
        class_weights="equal",
        held="all_but_head" if isinstance(control, NewHead) else "nothing",
        optimizer=setting.transfer_optimizer,
        batch_size=setting.batch_size,
        num_epochs=setting.transfer_epochs,
        seed=seed,
        precision=setting.precision,
    )


def untrained(of: ImageDonor) -> ImageDonor:
    """The donor as it was initialised."""
    return replace(of, num_epochs=0)


def controls(setting: Setting, *, seed: int) -> tuple[ImageControl, ...]:
    """Every start: the subnetwork with its controls, the control of equal training, and data mixtures.

    A mixture has as many distinct mean-pooled images as discovery: each once beside the originals, each three times, or
    no originals.
    """
    own = donor(setting, seed=seed)
    found = mask(setting, own)
    return (
        Subnetwork(mask=found),
        SubnetworkTrainable(mask=found),
        RandomSubnetwork(mask=found),
        ComplementSubnetwork(mask=found),
        UnmaskedOnly(donor=own),
        FullTransfer(donor=own),
        longer_donor(found),
        RandomInit(model=setting.model),
        NewHead(donor=own),
        Subnetwork(mask=mask(setting, untrained(own))),
        *(mixture(found, share=share) for share in (0.5, 0.75, 1.0)),
    )


def mixture(of: ImageMask, *, share: float) -> DataMixture:
    """The mask's donor on originals and as many distinct mean-pooled images as the mask is discovered on."""
    return DataMixture(donor=of.donor, num_mean_pooled=of.num_samples, mean_pooled_share=share)


def longer_donor(of: ImageMask) -> LongerDonor:
    """The mask's donor, trained for as many more steps as the mask is, rounded up to whole epochs."""
    num_steps = of.num_epochs * steps_per_epoch(of)
    return LongerDonor(donor=of.donor, num_more_epochs=ceil(num_steps / steps_per_epoch(of.donor)))


def cells(setting: Setting, seeds: tuple[int, ...]) -> tuple[ImageTransfer, ...]:
    """Every control at every seed."""
    return tuple(transfer(setting, control, seed=seed) for seed in seeds for control in controls(setting, seed=seed))


def momentum(learning_rate: float) -> SGD:
    """The published optimiser of recipients, but for its rate."""
    return SGD(learning_rate=learning_rate, momentum=0.9, weight_decay=1e-4, schedule="constant", clip=NoClip())
