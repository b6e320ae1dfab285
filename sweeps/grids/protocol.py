"""The arithmetic protocol of "Instilling Inductive Biases with Subnetworks" (arXiv 2310.10899), by depth and seed.

One decision: the temperature schedule is that of the released code, because the published numbers and our reference
measurements come from it. The paper's text describes the schedule named `exponential`.
"""

from functools import cache

from subind.specs.arithmetic import READINGS, ArithmeticTask
from subind.specs.mask_methods import ContinuousSparsification
from subind.specs.networks import GPT2
from subind.specs.optimizers import AdamW, ClipNorm, NoClip
from subind.specs.rows import Part
from subind.specs.runs import Discover, Train, Transfer
from subind.specs.starts import (
    ComplementAsReleased,
    ComplementSubnetwork,
    FullTransfer,
    RandomAsReleased,
    RandomInit,
    RandomSubnetwork,
    Start,
    Subnetwork,
    SubnetworkTrainable,
    UnmaskedOnly,
)
from subind.specs.temperature import TemperatureSchedule
from subind.specs.training import EarlyStop, FreshWeights, FrozenAlways, NoEarlyStop, Normal, highest, lowest
from subind.specs.tuning import OwnValidation

_TRANSFER_OPTIMIZER = AdamW(learning_rate=2e-4, weight_decay=0.01, schedule="constant", clip=NoClip())

DEPTHS = (2, 4, 6, 8, 10, 12)
DISAMBIGUATION_COUNTS = (0, 10, 16, 25, 40, 64, 100, 160, 250, 400, 640, 1000, 1600, 2500, 4000, 6400, 10000)
"""The numbers of disambiguation samples in the paper."""


@cache
def task(rule: str, *, rivals: tuple[str, ...] = ()) -> ArithmeticTask:
    """A rule modulo 7 on the integers 0 … 999, with the loss on all three predicted positions."""
    return ArithmeticTask(rule=rule, modulus=7, num_integers=1000, rivals=rivals, loss="all_predicted")


def network(num_layers: int) -> GPT2:
    """The paper's GPT-2 of a depth."""
    return GPT2(num_layers=num_layers, d_model=128, num_heads=4, dropout=0.1)


def donor(num_layers: int, *, seed: int) -> Train:
    """A network trained on a + ab: 4,000 steps an epoch, at depth 12 with a doubled batch 2,000."""
    return Train(
        task=task("a + a*b"),
        model=network(num_layers),
        rows=(Part(name="unambiguous", num_samples=200_000),),
        num_evaluation_samples=1000,
        weights=FreshWeights(),
        held="nothing",
        optimizer=AdamW(learning_rate=5e-4, weight_decay=0.0, schedule="linear_decay", clip=ClipNorm(max_norm=1.0)),
        batch_size=100 if num_layers == 12 else 50,
        num_epochs=50,
        kept_epoch=lowest("validation_loss"),
        stopping=EarlyStop(patience=10),
        seed=seed,
        precision="float32",
    )


def mask(num_layers: int, *, seed: int) -> Discover:
    """The subnetwork for ab in the donor of the same depth and seed; depth 8 has twice the learning rate."""
    learning_rate = 2e-3 if num_layers == 8 else 1e-3
    return Discover(
        donor=donor(num_layers, seed=seed),
        task=task("a*b"),
        rows=(Part(name="unambiguous", num_samples=50_000),),
        num_evaluation_samples=1000,
        method=ContinuousSparsification(
            initial_logit=-0.1, penalty=1e-7, temperature=TemperatureSchedule(name="as_released", final=100.0)
        ),
        beside=(),
        statistics="donor",
        optimizer=AdamW(learning_rate=learning_rate, weight_decay=0.01, schedule="constant", clip=NoClip()),
        batch_size=500,
        num_epochs=50,
        kept_epoch=highest("subtask_accuracy", ties="last"),
        seed=seed,
        precision="float32",
        validation=OwnValidation(),
    )


def transfer(start: Start, *, num_disambiguation: int, seed: int) -> Transfer:
    """A recipient trained on a² + ab: all 1,000 ambiguous samples and `num_disambiguation` others."""
    return Transfer(
        start=start,
        task=task("a**2 + a*b", rivals=READINGS),
        rows=(
            Part(name="ambiguous", num_samples=1000),
            Part(name="disambiguation", num_samples=num_disambiguation),
        ),
        num_evaluation_samples=1000,
        fresh_weights=Normal(std=0.02),
        frozen=FrozenAlways(),
        held="nothing",
        optimizer=_TRANSFER_OPTIMIZER,
        batch_size=50,
        num_epochs=100,
        kept_epoch=highest("validation_accuracy", ties="last"),
        stopping=NoEarlyStop(),
        seed=seed,
        precision="float32",
    )


def starts(of: Discover) -> tuple[Start, ...]:
    """All nine starts that a mask, its donor and its architecture allow."""
    return (
        Subnetwork(mask=of),
        SubnetworkTrainable(mask=of),
        FullTransfer(donor=of.donor),
        RandomInit(model=of.network),
        RandomSubnetwork(mask=of),
        ComplementSubnetwork(mask=of),
        UnmaskedOnly(donor=of.donor),
        RandomAsReleased(mask=of),
        ComplementAsReleased(mask=of),
    )


def cells(
    *, depths: tuple[int, ...], seeds: tuple[int, ...], disambiguation_counts: tuple[int, ...]
) -> tuple[Transfer, ...]:
    """Every start at every depth, seed and number of disambiguation samples.

    They are ordered by depth, seed, number and start, so that the runs of one pack are neighbours. Donor, mask and
    recipient of a cell have the same seed.
    """
    return tuple(
        transfer(start, num_disambiguation=count, seed=seed)
        for num_layers in depths
        for seed in seeds
        for several in [starts(mask(num_layers, seed=seed))]
        for count in disambiguation_counts
        for start in several
    )
