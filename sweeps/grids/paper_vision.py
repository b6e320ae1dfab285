"""The paper's vision experiment on ImageNet: ResNet-18 and ViT-B/16, all starts, mixtures and variants, three seeds.

Protocol of "Instilling Inductive Biases with Subnetworks" (arXiv 2310.10899), where its numbers say nothing decided as:

- Products are in bfloat16, weights in float32. Rates of recipients and of masks are constant.
- How many images the rule of the balanced subset leaves hangs on the tree, so the published 13,929 and the 213,555
  less evaluation images are rounded down; the published 1,549 evaluation images are half for validation, half for test.
- ResNet-18's head trains as the published one of ViT-B/16 does. Mixtures train with the recipients' optimiser, whole.
- Weights of seeds, orders and crops differ; the balanced subset is one, for its images are mean-pooled once.
"""

from dataclasses import dataclass, replace
from typing import Literal

from subind.specs.image_transfer import Held
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
    ImageNet16Task,
    ImagePrecision,
    ImageTransfer,
    NewHead,
    NoClip,
    PublishedWeights,
    RandomInit,
    RandomSubnetwork,
    Subnetwork,
    SubnetworkTrainable,
    SubnetworkTrainedAlone,
    TemperatureSchedule,
    UnmaskedOnly,
)
from subind.specs.vision import RESNET_18, VIT_B_16

SEEDS = (0, 1, 2)

TRANSFER = ImageNet16Task(
    part="transfer",
    num_images=213_555,
    num_per_class=1000,
    evaluation_share=0.1,
    segmenter="sam",
    shorter_side=256,
    image_size=224,
    data_seed=0,
)
BALANCED = replace(TRANSFER, part="balanced")

NUM_TRANSFER, NUM_BALANCED = 211_800, 13_900
NUM_EVALUATION = 774
NUM_CONFLICT = 1200

SHARES = (0.0, NUM_BALANCED / (NUM_TRANSFER + NUM_BALANCED), 0.25, 0.5, 1.0)
"""Of mean-pooled images in mixtures: none, which is what the released script trained on; as they are; a quarter; one to
one; and all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What differs between the two networks."""

    model: ImageModel
    weights: PublishedWeights
    precision: ImagePrecision
    mask_epochs: int
    mask_batch: int
    transfer_epochs: int
    mixture_epochs: int
    held: Held

    @property
    def of_sixteen(self) -> ImageModel:
        """The network with a head for the 16 classes."""
        return replace(self.model, num_classes=16)


RESNET = Setting(
    model=RESNET_18,
    weights=PublishedWeights(file="resnet18-f37072fd"),
    precision="bfloat16_channels_last",
    mask_epochs=100,
    mask_batch=32,
    transfer_epochs=20,
    mixture_epochs=5,
    held="norms_and_head",
)
VIT = Setting(
    model=VIT_B_16,
    weights=PublishedWeights(file="vit_b_16-c867db91"),
    precision="bfloat16",
    mask_epochs=200,
    mask_batch=128,
    transfer_epochs=40,
    mixture_epochs=1,
    held="norms",
)


def pretrained(of: Setting, *, seed: int) -> ImageDonor:
    """The published network with a new head for the 16 classes, which is all that trains."""
    return ImageDonor(
        task=BALANCED,
        model=of.of_sixteen,
        num_samples=NUM_BALANCED,
        num_evaluation_samples=NUM_EVALUATION,
        num_cue_conflict=NUM_CONFLICT,
        augmentation="crop_and_flip",
        class_weights="equal",
        optimizer=_adam(2e-3, schedule="linear_decay"),
        batch_size=64,
        num_epochs=5,
        kept_epoch="first_best",
        patience=5,
        seed=seed,
        precision=of.precision,
        trained="head",
        weights=of.weights,
    )


def as_published(of: Setting) -> ImageDonor:
    """The published network with its own 1,000 classes, only evaluated."""
    return replace(pretrained(of, seed=0), model=of.model, num_epochs=0, trained="everything")


def untrained(of: Setting, *, seed: int) -> ImageDonor:
    """A network as it is initialised."""
    return replace(pretrained(of, seed=seed), num_epochs=0, trained="everything", weights=FreshWeights())


def mask(of: Setting, donor: ImageDonor) -> ImageMask:
    """The subnetwork of a donor for mean-pooled images."""
    return ImageMask(
        donor=donor,
        subtask=BALANCED,
        num_samples=NUM_BALANCED,
        num_evaluation_samples=NUM_EVALUATION,
        initial_logit=-0.1,
        penalty=1e-8,
        temperature=TemperatureSchedule(name="exponential", final=100.0),
        beside="class_token_and_positions" if of is VIT else "nothing",
        statistics="donor",
        optimizer=_adam(1e-3, schedule="constant"),
        batch_size=of.mask_batch,
        num_epochs=of.mask_epochs,
        kept_epoch="last_best",
        seed=donor.seed,
        precision=of.precision,
    )


def transfer(of: Setting, control: ImageControl, *, seed: int) -> ImageTransfer:
    """A recipient, or the whole donor on a mixture of images."""
    mixed = isinstance(control, DataMixture)
    return ImageTransfer(
        control=control,
        task=TRANSFER,
        num_samples=NUM_TRANSFER,
        num_evaluation_samples=NUM_EVALUATION,
        num_cue_conflict=NUM_CONFLICT,
        evaluations_per_epoch=5,
        augmentation="crop_and_flip",
        class_weights="inverse_frequency",
        held=_held(of, control),
        optimizer=SGD(learning_rate=1e-3, momentum=0.9, weight_decay=1e-4, schedule="constant", clip=NoClip()),
        batch_size=128,
        num_epochs=of.mixture_epochs if mixed else of.transfer_epochs,
        seed=seed,
        precision=of.precision,
    )


def _held(of: Setting, control: ImageControl) -> Held:
    """What a recipient holds: what its network's do, or nothing of what it has not, or is to train."""
    match control:
        case RandomInit() | DataMixture():
            return "nothing"
        case NewHead():
            return "all_but_head"
        case _:
            return of.held


def controls(of: Setting, *, seed: int) -> tuple[ImageControl, ...]:
    """Every start: both released variants of the subnetwork, its controls, that of an untrained network, mixtures."""
    donor = pretrained(of, seed=seed)
    found = mask(of, donor)
    return (
        Subnetwork(mask=found),
        SubnetworkTrainedAlone(mask=found),
        SubnetworkTrainable(mask=found),
        RandomSubnetwork(mask=found),
        ComplementSubnetwork(mask=found),
        Subnetwork(mask=mask(of, untrained(of, seed=seed))),
        UnmaskedOnly(donor=donor),
        FullTransfer(donor=donor),
        NewHead(donor=donor),
        RandomInit(model=of.of_sixteen),
        *(DataMixture(donor=donor, num_mean_pooled=NUM_BALANCED, mean_pooled_share=share) for share in SHARES),
    )


def _adam(learning_rate: float, *, schedule: Literal["constant", "linear_decay"]) -> AdamW:
    return AdamW(learning_rate=learning_rate, weight_decay=0.01, schedule=schedule, clip=NoClip())


def grid() -> tuple[ImageTransfer | ImageDonor, ...]:
    """Every start of both networks at three seeds, and both networks as they are published."""
    recipients = (
        transfer(of, control, seed=seed)
        for of in (RESNET, VIT)
        for seed in SEEDS
        for control in controls(of, seed=seed)
    )
    return (*recipients, as_published(RESNET), as_published(VIT))
