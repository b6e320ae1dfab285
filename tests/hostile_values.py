"""Every field of every spec with hostile values: for tests of what is refused, and of what accepted specs survive."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from subind.specs.runs import (
    SGD,
    ArithmeticTask,
    ClipNorm,
    FreshWeights,
    ImportedWeights,
    OwnValidation,
    PublishedWeights,
    Spec,
    TemperatureSchedule,
    TuningValidation,
)
from tests.photograph_specs import TASK as PHOTOGRAPHS
from tests.specs import CONTROL_NAMES, tiny_donor, tiny_mask, tiny_model, tiny_start, tiny_transfer
from tests.vision_specs import (
    CONTROLS,
    RESNET,
    VIT,
    image_donor,
    image_mask,
    image_start,
    image_transfer,
    shapes_task,
)


class Whole(int):
    """An int that is none."""


class Text(str):
    """A str that is none."""

    __slots__ = ()


class Unspeakable:
    """What cannot be spelled."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


VALUES: dict[str, Any] = {
    "None": None, "True": True, "False": False, "0": 0, "-1": -1, "1": 1, "7": 7, "2**31": 2**31,
    "2**31-1": 2**31 - 1,
    "2**53+1": 2**53 + 1,
    "2**62": 2**62, "2**63-1": 2**63 - 1, "2**63": 2**63, "-2**63": -(2**63), "10**5000": 10**5000,
    "0.0": 0.0, "-0.0": -0.0, "5e-324": 5e-324, "1e-30": 1e-30, "0.5": 0.5, "1.0": 1.0, "1e6": 1e6, "1e30": 1e30,
    "1e38": 1e38, "1e308": 1e308, "-1e308": -1e308, "inf": float("inf"), "-inf": float("-inf"), "nan": float("nan"),
    "1-eps": 1 - 2**-53, "empty": "", "blank": " ", "megabyte": "x" * 10**6, "null": "\0", "surrogate": "\ud800",
    "rule": "a*b", "code": "__import__('os').system('true')", "degree": "((a**64)**64)**64", "path": "../../etc/passwd",
    "bytes": b"x", "list": [], "tuple": (), "zeros": (0,), "ones": (1, 1), "huge": (2**40, 2**40), "long": (1,) * 10**4,
    "texts": ("a", "b*b"), "nested": ((),), "dict": {}, "set": frozenset(), "object": object(), "type": int,
    "unspeakable": Unspeakable(), "function": len, "complex": 1j, "decimal": Decimal(1), "fraction": Fraction(1, 2),
    "np.float64": np.float64(0.5), "np.int64": np.int64(3), "int like": Whole(3), "text like": Text("float32"),
    "donor": tiny_donor(), "mask": tiny_mask(), "image donor": image_donor(), "task": tiny_donor().task,
    "fresh": FreshWeights(), "model": tiny_model(num_layers=1),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A good part of a spec, and the run that has it."""

    name: str
    part: Any
    run: Callable[[Any], Spec]


def holders() -> Iterator[Holder]:
    """Every class of which specs are made, each within a run."""
    yield Holder(name="Donor", part=tiny_donor(), run=lambda part: part)
    yield Holder(name="Mask", part=tiny_mask(), run=lambda part: part)
    yield Holder(name="Transfer", part=tiny_transfer(), run=lambda part: part)
    yield Holder(name="ImageDonor", part=image_donor(), run=lambda part: part)
    yield Holder(name="ImageMask", part=image_mask(), run=lambda part: part)
    yield Holder(name="ImageTransfer", part=image_transfer(), run=lambda part: part)
    yield Holder(name="GPT2", part=tiny_model(), run=lambda part: tiny_donor(model=part))
    yield Holder(name="ArithmeticTask", part=tiny_donor().task, run=lambda part: tiny_donor(task=part))
    yield Holder(name="task of a transfer", part=tiny_transfer().task, run=_transfer_of)
    yield Holder(name="AdamW", part=tiny_donor().optimizer, run=lambda part: tiny_donor(optimizer=part))
    sgd = SGD(learning_rate=0.05, momentum=0.9, weight_decay=0.1, schedule="constant", clip=ClipNorm(max_norm=1.0))
    yield Holder(name="SGD", part=sgd, run=lambda part: image_donor(optimizer=part))
    clip = ClipNorm(max_norm=1.0)
    yield Holder(
        name="ClipNorm",
        part=clip,
        run=lambda part: tiny_donor(optimizer=replace(tiny_donor().optimizer, clip=part)),
    )
    schedule = TemperatureSchedule(name="as_released", final=100.0)
    yield Holder(name="TemperatureSchedule", part=schedule, run=lambda part: tiny_mask(temperature=part))
    tuned = TuningValidation(num_samples=1, num_seeds=1, num_transfer_samples=12)
    yield Holder(name="TuningValidation", part=tuned, run=lambda part: tiny_mask(validation=part))
    yield Holder(name="OwnValidation", part=OwnValidation(), run=lambda part: tiny_mask(validation=part))
    imported = ImportedWeights(sha256="a" * 64)
    yield Holder(name="ImportedWeights", part=imported, run=lambda part: tiny_donor(weights=part))
    published = PublishedWeights(file="resnet18-f37072fd")
    yield Holder(name="PublishedWeights", part=published, run=lambda part: image_donor(weights=part))
    yield Holder(name="ShapesTask", part=shapes_task(), run=lambda part: image_donor(task=part))
    yield Holder(name="ImageNet16Task", part=PHOTOGRAPHS, run=lambda part: image_donor(task=part))
    yield Holder(name="ResNet", part=RESNET, run=image_donor)
    yield Holder(name="ViT", part=VIT, run=image_donor)
    for name in CONTROL_NAMES:
        yield Holder(name=name, part=tiny_start(name), run=lambda part: tiny_transfer(control=part))
    for name in CONTROLS:
        made = image_transfer(image_start(name, image_mask()))
        yield Holder(name=f"image {name}", part=made.control, run=lambda part, made=made: replace(made, control=part))


def _transfer_of(part: Any) -> Spec:
    """A transfer to the task that has whatever the part is; rivals follow the task."""
    if not isinstance(part, ArithmeticTask):
        return tiny_transfer(task=part)
    from subind.specs.runs import READINGS

    return tiny_transfer("random_init", task=part, rivals=READINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A hostile value in a field."""

    holder: Holder
    field: str
    value: str

    def made(self) -> Spec:
        """The run with the value. Raises ValueError if it is refused."""
        return self.holder.run(replace(self.holder.part, **{self.field: VALUES[self.value]}))

    def __str__(self) -> str:
        return f"{self.holder.name}.{self.field} = {self.value}"


def cases() -> list[Case]:
    """Every field of every class with every value."""
    return [
        Case(holder=holder, field=field.name, value=value)
        for holder in holders()
        for field in fields(holder.part)
        for value in VALUES
    ]
