"""Tiny specs for tests: one second of work, and the same shape as the paper's.

Helpers take the fields of their spec, and short names for what tests vary often: `num_samples`, `num_ambiguous` and
`num_disambiguation` for parts of the rows, `patience` for early stopping, `first_best` or `last_best` for the kept
epoch, the fields of a mask's method, and `rivals` of a task.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Literal

from subind.specs.arithmetic import ArithmeticTask
from subind.specs.mask_methods import ContinuousSparsification
from subind.specs.networks import GPT2
from subind.specs.optimizers import AdamW, NoClip
from subind.specs.rows import Part
from subind.specs.run import MaskRun
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
from subind.specs.training import BestEpoch, EarlyStop, NoEarlyStop, Normal, highest, lowest
from subind.specs.tuning import TuningValidation

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
"""Of the starts of a recipient, first the subnetwork."""

OF_A_MASK: dict[str, Any] = {
    "subnetwork": Subnetwork,
    "subnetwork_trainable": SubnetworkTrainable,
    "random_subnetwork": RandomSubnetwork,
    "complement_subnetwork": ComplementSubnetwork,
    "random_as_released": RandomAsReleased,
    "complement_as_released": ComplementAsReleased,
}

RIVALS = ("2*a**2", "2*b**2")
"""Other rules that agree with a² + ab where a = b."""


def tiny_task(rule: str = "a + a*b", *, modulus: int = 7, **changes: Any) -> ArithmeticTask:
    """A task on 12 integers."""
    return ArithmeticTask(rule=rule, modulus=modulus, num_integers=12, **changes)


def tiny_model(**changes: Any) -> GPT2:
    """Two layers, two heads, width 16, no dropout."""
    return replace(GPT2(num_layers=2, d_model=16, num_heads=2, dropout=0.0), **changes)


def tiny_optimizer(**changes: Any) -> AdamW:
    """AdamW at a constant learning rate without weight decay or clipping."""
    plain = AdamW(learning_rate=1e-3, weight_decay=0.0, schedule="constant", clip=NoClip())
    return replace(plain, **changes)


def tiny_donor(**changes: Any) -> Train:
    """A donor of two epochs on 24 samples of a + ab mod 7."""
    tiny = Train(
        task=tiny_task("a + a*b"),
        model=tiny_model(),
        rows=unambiguous(24),
        num_evaluation_samples=12,
        optimizer=tiny_optimizer(),
        batch_size=8,
        num_epochs=2,
        kept_epoch=lowest("validation_loss"),
        stopping=EarlyStop(patience=2),
        seed=0,
        precision="float32",
    )
    if "num_samples" in changes:
        changes["rows"] = unambiguous(changes.pop("num_samples"))
    return replace(tiny, **with_stopping(changes, kept=lowest("validation_loss")))


def tiny_mask(**changes: Any) -> Discover:
    """A mask of three epochs on 24 samples of ab mod 7, over `tiny_donor()`."""
    tiny = Discover(
        donor=tiny_donor(),
        task=tiny_task("a*b"),
        rows=unambiguous(24),
        num_evaluation_samples=12,
        method=ContinuousSparsification(
            initial_logit=-0.1, penalty=1e-7, temperature=TemperatureSchedule(name="exponential", final=100.0)
        ),
        optimizer=tiny_optimizer(learning_rate=1e-1),
        batch_size=8,
        num_epochs=3,
        kept_epoch=highest("subtask_accuracy", ties="last"),
        seed=0,
        precision="float32",
    )
    if "num_samples" in changes:
        changes["rows"] = unambiguous(changes.pop("num_samples"))
    return with_method(tiny, changes)


def with_method(mask: Discover, changes: dict[str, Any]) -> Discover:
    """The mask with changes of its own fields and, by their names, of the fields of its method."""
    changes = dict(changes)
    method = changes.pop("method", mask.method)
    names = [field.name for field in fields(method) if field.name in changes]
    method = replace(method, **{name: changes.pop(name) for name in names})
    if "subtask" in changes:
        changes["task"] = changes.pop("subtask")
    tuned = isinstance(changes.get("validation", mask.validation), TuningValidation)
    curve = "tuning_accuracy" if tuned else "subtask_accuracy"
    kept = highest(curve, ties="last")
    return replace(mask, **{"kept_epoch": kept, **with_stopping(changes, kept=kept), "method": method})


def unambiguous(num_samples: int) -> tuple[Part, ...]:
    """The rows of a donor or a mask."""
    return (Part(name="unambiguous", num_samples=num_samples),)


def recipient_rows(*, num_ambiguous: int, num_disambiguation: int) -> tuple[Part, ...]:
    """The rows of a recipient: ambiguous samples, and those that tell the rule from its rivals."""
    counts = {"ambiguous": num_ambiguous, "disambiguation": num_disambiguation}
    return tuple(Part(name=name, num_samples=count) for name, count in counts.items())


def with_stopping(changes: dict[str, Any], *, kept: BestEpoch) -> dict[str, Any]:
    """The changes with a patience and the name of a kept epoch, of the curve of `kept`, as the specs of these."""
    changes = dict(changes)
    if "patience" in changes:
        changes["stopping"] = EarlyStop(patience=changes.pop("patience"))
    if isinstance(changes.get("kept_epoch"), str):
        ties: Literal["first", "last"] = {"first_best": "first", "last_best": "last"}[changes["kept_epoch"]]  # type: ignore[assignment]
        changes["kept_epoch"] = replace(kept, ties=ties)
    return changes


def tiny_start(name: str, *, mask: MaskRun | None = None) -> Start:
    """The start of that name, made from the mask, its donor or its architecture; `tiny_mask()` unless given."""
    mask = tiny_mask() if mask is None else mask
    match name:
        case "full_transfer":
            return FullTransfer(donor=mask.donor)
        case "unmasked_only":
            return UnmaskedOnly(donor=mask.donor)
        case "random_init":
            return RandomInit(model=mask.network)
        case _ if name in OF_A_MASK:
            made: Start = OF_A_MASK[name](mask=mask)
            return made
        case _:
            raise ValueError(f"start is {name!r}: give one of {', '.join(CONTROL_NAMES)}")


def tiny_transfer(start: str | Start = "subnetwork", *, mask: MaskRun | None = None, **changes: Any) -> Transfer:
    """Two epochs on the 12 ambiguous samples and 6 others of a² + ab mod 7, from a start of `tiny_start`."""
    task = changes.pop("task", tiny_task("a**2 + a*b", rivals=RIVALS))
    if "rivals" in changes:
        task = replace(task, rivals=changes.pop("rivals"))
    counts = {"num_ambiguous": 12, "num_disambiguation": 6}
    own: dict[str, int] = {name: changes.pop(name, count) for name, count in counts.items()}
    tiny = Transfer(
        start=tiny_start(start, mask=mask) if isinstance(start, str) else start,
        task=task,
        rows=recipient_rows(**own),
        num_evaluation_samples=12,
        fresh_weights=Normal(std=0.02),
        optimizer=tiny_optimizer(),
        batch_size=6,
        num_epochs=2,
        kept_epoch=highest("validation_accuracy", ties="last"),
        stopping=NoEarlyStop(),
        seed=0,
        precision="float32",
    )
    return replace(tiny, **with_stopping(changes, kept=highest("validation_accuracy", ties="last")))


def tiny_transfers(names: Sequence[str] = CONTROL_NAMES, **changes: Any) -> list[Transfer]:
    """A recipient of each of the starts."""
    return [tiny_transfer(name, **changes) for name in names]
