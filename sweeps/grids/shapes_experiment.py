"""The experiment of shape against texture on drawn images, by network and seed, with all starts and mixtures.

Two decisions differ from the published protocol, which does not train a small ResNet on drawn images: in discovery
BatchNorm normalises by each batch, and recipients hold nothing but the subnetwork. Under the donor's running statistics
discovery ends near chance, and recipients that hold the norms diverge at this rate (docs/vision.md has the figures).
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

from subind.specs.images import ShapesTask
from subind.specs.mask_methods import ContinuousSparsification
from subind.specs.network import Network
from subind.specs.optimizers import SGD, AdamW, NoClip, Precision
from subind.specs.rows import Part, RepeatedPart, num_rows
from subind.specs.runs import Discover, Train, Transfer, steps_per_epoch
from subind.specs.starts import (
    ComplementSubnetwork,
    DataMixture,
    FullTransfer,
    LongerDonor,
    NewHead,
    RandomInit,
    RandomSubnetwork,
    Start,
    Subnetwork,
    SubnetworkTrainable,
    UnmaskedOnly,
)
from subind.specs.temperature import TemperatureSchedule
from subind.specs.training import Held, LastEpoch, NoEarlyStop, UniformFanIn, highest, lowest

NUM_EVALUATION = 500
NUM_CONFLICT = 960
"""Four images of each of the 240 pairs of classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The settings of a network for drawn images: its size, and epochs and learning rate of each stage.

    `beside` names the parameters that train along with a mask, `statistics` the BatchNorm statistics of discovery.
    """

    network: Network
    precision: Precision
    task: ShapesTask
    num_images: int
    batch_size: int
    donor_epochs: int
    donor_rate: float
    mask_epochs: int
    mask_rate: float
    penalty: float
    beside: tuple[str, ...]
    statistics: Literal["donor", "batch"]
    transfer_epochs: int
    transfer_optimizer: AdamW | SGD


def task(setting: Setting, *, seed: int) -> ShapesTask:
    """The images, which are drawn by the seed."""
    return replace(setting.task, data_seed=seed)


def donor(setting: Setting, *, seed: int) -> Train:
    """A network trained on original images."""
    return Train(
        task=task(setting, seed=seed),
        model=setting.network,
        rows=(Part(name="original", num_samples=setting.num_images),),
        num_evaluation_samples=NUM_EVALUATION,
        optimizer=AdamW(learning_rate=setting.donor_rate, weight_decay=0.01, schedule="linear_decay", clip=NoClip()),
        batch_size=setting.batch_size,
        num_epochs=setting.donor_epochs,
        kept_epoch=lowest("validation_loss"),
        stopping=NoEarlyStop(),
        seed=seed,
        precision=setting.precision,
    )


def mask(setting: Setting, of: Train) -> Discover:
    """The subnetwork of a donor for the same images mean-pooled."""
    return Discover(
        donor=of,
        task=replace(task(setting, seed=of.seed), pooled=True),
        rows=(Part(name="mean_pooled", num_samples=setting.num_images),),
        num_evaluation_samples=NUM_EVALUATION,
        method=ContinuousSparsification(
            initial_logit=-0.1,
            penalty=setting.penalty,
            temperature=TemperatureSchedule(name="exponential", final=100.0),
        ),
        beside=setting.beside,
        statistics=setting.statistics,
        optimizer=AdamW(learning_rate=setting.mask_rate, weight_decay=0.01, schedule="constant", clip=NoClip()),
        batch_size=setting.batch_size,
        num_epochs=setting.mask_epochs,
        kept_epoch=highest("subtask_accuracy", ties="last"),
        seed=of.seed,
        precision=setting.precision,
    )


def transfer(setting: Setting, start: Start, *, seed: int, held: Held = "nothing") -> Transfer:
    """A recipient trained on the original images of the seed."""
    return Transfer(
        start=start,
        task=task(setting, seed=seed),
        rows=(Part(name="original", num_samples=setting.num_images),),
        num_evaluation_samples=NUM_EVALUATION,
        fresh_weights=UniformFanIn(),
        held=held,
        optimizer=setting.transfer_optimizer,
        batch_size=setting.batch_size,
        num_epochs=setting.transfer_epochs,
        kept_epoch=LastEpoch(),
        stopping=NoEarlyStop(),
        seed=seed,
        precision=setting.precision,
    )


def untrained(of: Train) -> Train:
    """The donor as initialised."""
    return replace(of, num_epochs=0)


def recipients(setting: Setting, *, seed: int) -> tuple[Transfer, ...]:
    """Every start: the subnetwork with its controls, the control of equal training, and data mixtures.

    A mixture has as many distinct mean-pooled images as discovery: each once along with the originals, each three
    times, or no originals.
    """
    own = donor(setting, seed=seed)
    subnetwork = mask(setting, own)
    starts = (
        Subnetwork(mask=subnetwork),
        SubnetworkTrainable(mask=subnetwork),
        RandomSubnetwork(mask=subnetwork),
        ComplementSubnetwork(mask=subnetwork),
        UnmaskedOnly(donor=own),
        FullTransfer(donor=own),
        longer_donor(subnetwork, own),
        RandomInit(model=setting.network),
        Subnetwork(mask=mask(setting, untrained(own))),
    )
    return (
        *(transfer(setting, start, seed=seed) for start in starts),
        transfer(setting, NewHead(donor=own), seed=seed, held="all_but_head"),
        *(mixture(setting, subnetwork, share=share) for share in (0.5, 0.75, 1.0)),
    )


def mixture(setting: Setting, of: Discover, *, share: float) -> Transfer:
    """The mask's donor on originals and as many distinct mean-pooled images as the mask is discovered on.

    The mean-pooled images are repeated in turn until they are `share` of all; with a share of 1 they are all.
    """
    number = num_rows(of.rows)
    num_pooled = number if share == 1 else round(setting.num_images * share / (1 - share))
    pooled = RepeatedPart(name="mean_pooled", num_distinct=number, num_samples=num_pooled)
    originals = () if share == 1 else (Part(name="original", num_samples=setting.num_images),)
    recipient = transfer(setting, DataMixture(donor=of.donor), seed=of.seed)
    return replace(recipient, rows=(*originals, pooled))


def longer_donor(of: Discover, own: Train) -> LongerDonor:
    """The mask's donor, trained for as many more steps as the mask is, rounded up to whole epochs."""
    num_more = ceil(of.num_epochs * steps_per_epoch(of) / steps_per_epoch(own))
    return LongerDonor(donor=replace(own, num_epochs=own.num_epochs + num_more))


def cells(setting: Setting, seeds: tuple[int, ...]) -> tuple[Transfer, ...]:
    """Every start at every seed."""
    return tuple(cell for seed in seeds for cell in recipients(setting, seed=seed))


def momentum(learning_rate: float) -> SGD:
    """The published optimiser of recipients, but for its rate."""
    return SGD(learning_rate=learning_rate, momentum=0.9, weight_decay=1e-4, schedule="constant", clip=NoClip())
