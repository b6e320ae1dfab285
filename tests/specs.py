"""Tiny specs for tests: one second of work, and the same shape as the paper's."""

from dataclasses import replace
from typing import Any

from subind.specs.runs import (
    GPT2,
    AdamW,
    ArithmeticTask,
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
    TemperatureSchedule,
    Transfer,
    UnmaskedOnly,
)

CONTROL_NAMES = (
    "subnetwork",
    "subnetwork_trainable",
    "full_transfer",
    "random_init",
    "random_subnetwork",
    "complement_subnetwork",
    "unmasked_only",
    "random_as_released",
    "complement_as_released",
)


def tiny_task(rule: str = "a + a*b", *, modulus: int = 7) -> ArithmeticTask:
    """A task on 12 integers."""
    return ArithmeticTask(rule=rule, modulus=modulus, num_integers=12)


def tiny_model(**changes: Any) -> GPT2:
    """Two layers, two heads, width 16, no dropout."""
    return replace(GPT2(num_layers=2, d_model=16, num_heads=2, dropout=0.0), **changes)


def tiny_optimizer(**changes: Any) -> AdamW:
    """AdamW at a constant learning rate without weight decay or clipping."""
    plain = AdamW(learning_rate=1e-3, weight_decay=0.0, schedule="constant", clip=NoClip())
    return replace(plain, **changes)


def tiny_donor(**changes: Any) -> Donor:
    """A donor of two epochs on 24 samples of a + ab mod 7."""
    tiny = Donor(
        task=tiny_task("a + a*b"),
        model=tiny_model(),
        num_samples=24,
        num_evaluation_samples=12,
        optimizer=tiny_optimizer(),
        batch_size=8,
        num_epochs=2,
        kept_epoch="first_best",
        patience=2,
        seed=0,
        precision="float32",
    )
    return replace(tiny, **changes)


def tiny_mask(**changes: Any) -> Mask:
    """A mask of three epochs on 24 samples of ab mod 7, over `tiny_donor()`."""
    tiny = Mask(
        donor=tiny_donor(),
        subtask=tiny_task("a*b"),
        num_samples=24,
        num_evaluation_samples=12,
        initial_logit=-0.1,
        penalty=1e-7,
        temperature=TemperatureSchedule(name="exponential", final=100.0),
        optimizer=tiny_optimizer(learning_rate=1e-1),
        batch_size=8,
        num_epochs=3,
        kept_epoch="last_best",
        seed=0,
        precision="float32",
    )
    return replace(tiny, **changes)


def tiny_control(name: str, *, mask: Mask | None = None) -> Control:
    """The control of that name, made from the mask, its donor or its architecture; `tiny_mask()` unless given."""
    mask = tiny_mask() if mask is None else mask
    match name:
        case "full_transfer":
            return FullTransfer(donor=mask.donor)
        case "unmasked_only":
            return UnmaskedOnly(donor=mask.donor)
        case "random_init":
            return RandomInit(model=mask.donor.model)
        case "subnetwork":
            return Subnetwork(mask=mask)
        case "subnetwork_trainable":
            return SubnetworkTrainable(mask=mask)
        case "random_subnetwork":
            return RandomSubnetwork(mask=mask)
        case "complement_subnetwork":
            return ComplementSubnetwork(mask=mask)
        case "random_as_released":
            return RandomAsReleased(mask=mask)
        case "complement_as_released":
            return ComplementAsReleased(mask=mask)
        case _:
            raise ValueError(f"control is {name!r}: give one of {', '.join(CONTROL_NAMES)}")


def tiny_transfer(control_name: str = "subnetwork", *, mask: Mask | None = None, **changes: Any) -> Transfer:
    """Two epochs on the 12 ambiguous samples and 6 others of a² + ab mod 7, from a control of `tiny_control`."""
    tiny = Transfer(
        control=tiny_control(control_name, mask=mask),
        task=tiny_task("a**2 + a*b"),
        num_ambiguous=12,
        num_disambiguation=6,
        num_evaluation_samples=12,
        optimizer=tiny_optimizer(),
        batch_size=6,
        num_epochs=2,
        kept_epoch="last_best",
        seed=0,
        precision="float32",
    )
    return replace(tiny, **changes)
