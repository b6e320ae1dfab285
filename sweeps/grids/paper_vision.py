"""The paper's vision experiment on ImageNet: ResNet-18 and ViT-B/16, all starts, mixtures and variants, three seeds.

Protocol of "Instilling Inductive Biases with Subnetworks" (arXiv 2310.10899), where its numbers say nothing decided as:

- Products are in bfloat16, weights in float32. Rates of recipients and of masks are constant.
- How many images the rule of the balanced subset leaves depends on the tree, so the published 13,929 and the 213,555
  less evaluation images are rounded down; the published 1,549 evaluation images are half for validation, half for test.
- ResNet-18's head trains as the published one of ViT-B/16 does. Mixtures train with the recipients' optimiser, whole.
- Weights of seeds, orders and crops differ; the balanced subset is one, for its images are mean-pooled once.
"""

from dataclasses import dataclass, replace

from subind.specs.images import ImageNet16Task
from subind.specs.mask_methods import ContinuousSparsification
from subind.specs.networks import RESNET_18, VIT_B_16, ResNet, ViT
from subind.specs.optimizers import SGD, AdamW, NoClip, Precision, Schedule
from subind.specs.rows import AnyPart, Part, RepeatedPart
from subind.specs.runs import Discover, Train, Transfer
from subind.specs.starts import (
    ComplementSubnetwork,
    DataMixture,
    FullTransfer,
    NewHead,
    RandomInit,
    RandomSubnetwork,
    Start,
    Subnetwork,
    SubnetworkTrainable,
    SubnetworkTrainedAlone,
    UnmaskedOnly,
)
from subind.specs.temperature import TemperatureSchedule
from subind.specs.training import (
    FreshWeights,
    Held,
    LastEpoch,
    NoEarlyStop,
    PublishedWeights,
    UniformFanIn,
    highest,
    lowest,
)

SEEDS = (0, 1, 2)

NUM_TRANSFER, NUM_BALANCED = 211_800, 13_900
NUM_EVALUATION = 774
NUM_CONFLICT = 1200

TRANSFER = ImageNet16Task(
    part="transfer",
    num_images=213_555,
    num_per_class=1000,
    evaluation_share=0.1,
    segmenter="sam",
    shorter_side=256,
    image_size=224,
    data_seed=0,
    pooled=False,
    augmentation="crop_and_flip",
    class_weights="inverse_frequency",
    num_cue_conflict=NUM_CONFLICT,
)
BALANCED = replace(TRANSFER, part="balanced", class_weights="equal")
MEAN_POOLED = replace(BALANCED, pooled=True, augmentation="none")

SHARES = (0.0, NUM_BALANCED / (NUM_TRANSFER + NUM_BALANCED), 0.25, 0.5, 1.0)
"""Shares of mean-pooled images in mixtures: none, as in the released script; their natural share; a quarter; half;
all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The settings that differ between the two networks."""

    model: ResNet | ViT
    weights: PublishedWeights
    precision: Precision
    mask_epochs: int
    mask_batch: int
    beside: tuple[str, ...]
    transfer_epochs: int
    mixture_epochs: int
    held: Held

    @property
    def of_sixteen(self) -> ResNet | ViT:
        """The network with a head for the 16 classes."""
        return replace(self.model, num_classes=16)


RESNET = Setting(
    model=RESNET_18,
    weights=PublishedWeights(file="resnet18-f37072fd"),
    precision="bfloat16_channels_last",
    mask_epochs=100,
    mask_batch=32,
    beside=(),
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
    beside=("class_token", "encoder.pos_embedding"),
    transfer_epochs=40,
    mixture_epochs=1,
    held="norms",
)


def pretrained(of: Setting, *, seed: int) -> Train:
    """The published network with a new head for the 16 classes; only the head trains."""
    return Train(
        task=BALANCED,
        model=of.of_sixteen,
        rows=(Part(name="original", num_samples=NUM_BALANCED),),
        num_evaluation_samples=NUM_EVALUATION,
        weights=of.weights,
        held="all_but_head",
        optimizer=_adam(2e-3, schedule="linear_decay"),
        batch_size=64,
        num_epochs=5,
        kept_epoch=lowest("validation_loss"),
        stopping=NoEarlyStop(),
        seed=seed,
        precision=of.precision,
    )


def as_published(of: Setting) -> Train:
    """The published network with its own 1,000 classes, only evaluated."""
    return replace(pretrained(of, seed=0), model=of.model, num_epochs=0, held="nothing")


def untrained(of: Setting, *, seed: int) -> Train:
    """A network as it is initialised."""
    return replace(pretrained(of, seed=seed), num_epochs=0, held="nothing", weights=FreshWeights())


def mask(of: Setting, donor: Train) -> Discover:
    """The subnetwork of a donor for mean-pooled images."""
    return Discover(
        donor=donor,
        task=MEAN_POOLED,
        rows=(Part(name="mean_pooled", num_samples=NUM_BALANCED),),
        num_evaluation_samples=NUM_EVALUATION,
        method=ContinuousSparsification(
            initial_logit=-0.1, penalty=1e-8, temperature=TemperatureSchedule(name="exponential", final=100.0)
        ),
        beside=of.beside,
        statistics="donor",
        optimizer=_adam(1e-3, schedule="constant"),
        batch_size=of.mask_batch,
        num_epochs=of.mask_epochs,
        kept_epoch=highest("subtask_accuracy", ties="last"),
        seed=donor.seed,
        precision=of.precision,
    )


def transfer(of: Setting, start: Start, *, seed: int, held: Held) -> Transfer:
    """A recipient trained on original images."""
    return Transfer(
        start=start,
        task=TRANSFER,
        rows=(Part(name="original", num_samples=NUM_TRANSFER),),
        num_evaluation_samples=NUM_EVALUATION,
        fresh_weights=UniformFanIn(),
        held=held,
        optimizer=SGD(learning_rate=1e-3, momentum=0.9, weight_decay=1e-4, schedule="constant", clip=NoClip()),
        batch_size=128,
        num_epochs=of.transfer_epochs,
        kept_epoch=LastEpoch(),
        evaluations_per_epoch=5,
        stopping=NoEarlyStop(),
        seed=seed,
        precision=of.precision,
    )


def mixture(of: Setting, donor: Train, *, share: float) -> Transfer:
    """The whole donor, trained on original images and a share of mean-pooled ones."""
    recipient = transfer(of, DataMixture(donor=donor), seed=donor.seed, held="nothing")
    return replace(recipient, rows=_mixed(share), num_epochs=of.mixture_epochs)


def _mixed(share: float) -> tuple[AnyPart, ...]:
    originals = Part(name="original", num_samples=NUM_TRANSFER)
    if share == 1:
        return (Part(name="mean_pooled", num_samples=NUM_BALANCED),)
    num_pooled = round(NUM_TRANSFER * share / (1 - share))
    pooled = RepeatedPart(name="mean_pooled", num_distinct=NUM_BALANCED, num_samples=num_pooled)
    return (originals, pooled) if num_pooled else (originals,)


def recipients(of: Setting, *, seed: int) -> tuple[Transfer, ...]:
    """Every start: both released variants of the subnetwork, its controls, that of an untrained network, mixtures."""
    donor = pretrained(of, seed=seed)
    subnetwork = mask(of, donor)
    starts = (
        Subnetwork(mask=subnetwork),
        SubnetworkTrainedAlone(mask=subnetwork),
        SubnetworkTrainable(mask=subnetwork),
        RandomSubnetwork(mask=subnetwork),
        ComplementSubnetwork(mask=subnetwork),
        Subnetwork(mask=mask(of, untrained(of, seed=seed))),
        UnmaskedOnly(donor=donor),
        FullTransfer(donor=donor),
    )
    return (
        *(transfer(of, start, seed=seed, held=of.held) for start in starts),
        transfer(of, NewHead(donor=donor), seed=seed, held="all_but_head"),
        transfer(of, RandomInit(model=of.of_sixteen), seed=seed, held="nothing"),
        *(mixture(of, donor, share=share) for share in SHARES),
    )


def _adam(learning_rate: float, *, schedule: Schedule) -> AdamW:
    return AdamW(learning_rate=learning_rate, weight_decay=0.01, schedule=schedule, clip=NoClip())


def grid() -> tuple[Transfer | Train, ...]:
    """Every start of both networks at three seeds, and both networks as they are published."""
    cells = (cell for of in (RESNET, VIT) for seed in SEEDS for cell in recipients(of, seed=seed))
    return (*cells, as_published(RESNET), as_published(VIT))
