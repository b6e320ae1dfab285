"""The arithmetic protocol of "Instilling Inductive Biases with Subnetworks" (arXiv 2310.10899), by depth and seed.

One decision: the temperature schedule is the released code's, for the published numbers and our reference measurements
are of that code; the paper's text describes the schedule named `exponential`.
"""

from functools import cache

from subind.specs.runs import (
    GPT2,
    READINGS,
    AdamW,
    ArithmeticTask,
    ClipNorm,
    ComplementAsReleased,
    ComplementSubnetwork,
    Control,
    Donor,
    FullTransfer,
    Mask,
    NoClip,
    RandomAsReleased,
    RandomInit,
    RandomSubnetwork,
    Subnetwork,
    SubnetworkTrainable,
    Transfer,
    UnmaskedOnly,
)
from subind.specs.temperature import TemperatureSchedule

_TRANSFER_OPTIMIZER = AdamW(learning_rate=2e-4, weight_decay=0.01, schedule="constant", clip=NoClip())

DEPTHS = (2, 4, 6, 8, 10, 12)
DISAMBIGUATION_COUNTS = (0, 10, 16, 25, 40, 64, 100, 160, 250, 400, 640, 1000, 1600, 2500, 4000, 6400, 10000)
"""The published numbers of disambiguation samples."""


@cache
def task(rule: str) -> ArithmeticTask:
    """A rule modulo 7 on the integers 0 … 999."""
    return ArithmeticTask(rule=rule, modulus=7, num_integers=1000)


def model(num_layers: int) -> GPT2:
    """The paper's GPT-2 of a depth."""
    return GPT2(num_layers=num_layers, d_model=128, num_heads=4, dropout=0.1)


def donor(num_layers: int, *, seed: int) -> Donor:
    """A network trained on a + ab: 4,000 steps an epoch, at depth 12 with a doubled batch 2,000."""
    return Donor(
        task=task("a + a*b"),
        model=model(num_layers),
        num_samples=200_000,
        num_evaluation_samples=1000,
        optimizer=AdamW(learning_rate=5e-4, weight_decay=0.0, schedule="linear_decay", clip=ClipNorm(max_norm=1.0)),
        batch_size=100 if num_layers == 12 else 50,
        num_epochs=50,
        kept_epoch="first_best",
        patience=10,
        seed=seed,
        precision="float32",
    )


def mask(num_layers: int, *, seed: int) -> Mask:
    """The subnetwork for ab in the donor of the same depth and seed; depth 8 has twice the learning rate."""
    learning_rate = 2e-3 if num_layers == 8 else 1e-3
    return Mask(
        donor=donor(num_layers, seed=seed),
        subtask=task("a*b"),
        num_samples=50_000,
        num_evaluation_samples=1000,
        initial_logit=-0.1,
        penalty=1e-7,
        temperature=TemperatureSchedule(name="as_released", final=100.0),
        optimizer=AdamW(learning_rate=learning_rate, weight_decay=0.01, schedule="constant", clip=NoClip()),
        batch_size=500,
        num_epochs=50,
        kept_epoch="last_best",
        seed=seed,
        precision="float32",
    )


def transfer(control: Control, *, num_disambiguation: int, seed: int) -> Transfer:
    """A recipient trained on a² + ab: all 1,000 ambiguous samples and `num_disambiguation` others."""
    return Transfer(
        control=control,
        task=task("a**2 + a*b"),
        num_ambiguous=1000,
        num_disambiguation=num_disambiguation,
        num_evaluation_samples=1000,
        rivals=READINGS,
        optimizer=_TRANSFER_OPTIMIZER,
        batch_size=50,
        num_epochs=100,
        kept_epoch="last_best",
        seed=seed,
        precision="float32",
    )


def controls(of: Mask) -> tuple[Control, ...]:
    """All nine starts that a mask, its donor and its architecture allow."""
    return (
        Subnetwork(mask=of),
        SubnetworkTrainable(mask=of),
        FullTransfer(donor=of.donor),
        RandomInit(model=of.donor.model),
        RandomSubnetwork(mask=of),
        ComplementSubnetwork(mask=of),
        UnmaskedOnly(donor=of.donor),
        RandomAsReleased(mask=of),
        ComplementAsReleased(mask=of),
    )


def cells(
    *, depths: tuple[int, ...], seeds: tuple[int, ...], disambiguation_counts: tuple[int, ...]
) -> tuple[Transfer, ...]:
    """Every control at every depth, seed and number of disambiguation samples.

    They are ordered by depth, seed, number and control, so that what is trained as one pack stands together. Donor,
    mask and recipient of a cell have the same seed.
    """
    return tuple(
        transfer(control, num_disambiguation=count, seed=seed)
        for num_layers in depths
        for seed in seeds
        for starts in [controls(mask(num_layers, seed=seed))]
        for count in disambiguation_counts
        for control in starts
    )
