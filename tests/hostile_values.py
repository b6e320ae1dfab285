"""Every field of every spec with hostile values: for tests of what is refused, and of what accepted specs survive."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from subind.measurements.additivity import Additivity
from subind.measurements.agreement import Agreement
from subind.specs.any_module import AnyModule
from subind.specs.arithmetic import Operation, SeveralOperations
from subind.specs.digits import DigitsTask
from subind.specs.mask_methods import StraightThrough
from subind.specs.networks import MLP
from subind.specs.optimizers import SGD, ClipNorm
from subind.specs.rows import Part, RepeatedPart
from subind.specs.run import Run
from subind.specs.runs import Distillation, Measure, SecondTask, Train
from subind.specs.temperature import TemperatureSchedule
from subind.specs.training import (
    EarlyStop,
    FreshWeights,
    FrozenFor,
    ImportedWeights,
    LastEpoch,
    NoEarlyStop,
    Normal,
    PublishedWeights,
    lowest,
)
from subind.specs.tuning import TuningValidation
from subind.starts.rescaled import RescaledTransfer
from subind.starts.union import Union
from tests.photograph_specs import TASK as PHOTOGRAPHS
from tests.specs import (
    CONTROL_NAMES,
    RIVALS,
    recipient_rows,
    tiny_donor,
    tiny_mask,
    tiny_model,
    tiny_optimizer,
    tiny_start,
    tiny_task,
    tiny_transfer,
    unambiguous,
)
from tests.subind.modules import tagger
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


AGREEMENT = Agreement(task=tiny_task(), rules=("a*b",), num_evaluation_samples=12)
MEASURED = Measure(of=tiny_donor(), measurement=AGREEMENT, seed=0, precision="float32")
DIGITS = Train(
    task=DigitsTask(label_of="digit", num_outputs=10, evaluation_share=0.2, data_seed=0),
    model=MLP(widths=(16, 8)),
    rows=(Part(name="digits", num_samples=40),),
    num_evaluation_samples=20,
    optimizer=tiny_optimizer(),
    batch_size=8,
    num_epochs=1,
    kept_epoch=LastEpoch(),
    stopping=NoEarlyStop(),
    seed=0,
    precision="float32",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A good part of a spec, and the run that has it."""

    name: str
    part: Any
    run: Callable[[Any], Run]


def holders() -> Iterator[Holder]:
    """Every class of which specs are made, each within a run."""
    for run in (tiny_donor(), tiny_mask(), tiny_transfer(), image_donor(), image_mask(), image_transfer(), MEASURED):
        yield Holder(name=f"{type(run).__name__} on {type(run.task).__name__}", part=run, run=lambda part: part)
    yield from _of_networks()
    yield from _of_tasks()
    yield from _of_training()
    for name in CONTROL_NAMES:
        yield Holder(name=name, part=tiny_start(name), run=tiny_transfer)
    for name in CONTROLS:
        made = image_transfer(image_start(name, image_mask()))
        yield Holder(name=f"image {name}", part=made.start, run=lambda part, made=made: replace(made, start=part))
    yield Holder(name="Union", part=Union(masks=(tiny_mask(), tiny_mask(seed=1))), run=tiny_transfer)
    yield Holder(name="RescaledTransfer", part=RescaledTransfer(donor=tiny_donor(), scale=0.5), run=tiny_transfer)
    additive = Additivity(task=tiny_task(), num_inputs=20)
    for asked in (AGREEMENT, additive):
        yield Holder(name=type(asked).__name__, part=asked, run=lambda part: replace(MEASURED, measurement=part))


def _of_networks() -> Iterator[Holder]:
    yield Holder(name="GPT2", part=tiny_model(), run=lambda part: tiny_donor(model=part))
    yield Holder(name="ResNet", part=RESNET, run=image_donor)
    yield Holder(name="ViT", part=VIT, run=image_donor)
    yield Holder(name="MLP", part=MLP(widths=(16, 8)), run=lambda part: replace(DIGITS, model=part))
    module = AnyModule(make=tagger, arguments=(("vocabulary", 13), ("width", 8)), maskable=("*.weight",))
    yield Holder(name="AnyModule", part=module, run=lambda part: tiny_donor(model=part))


def _of_tasks() -> Iterator[Holder]:
    yield Holder(name="ArithmeticTask", part=tiny_donor().task, run=lambda part: tiny_donor(task=part))
    of_two = (Operation(task=tiny_task(operation=place, num_operations=2), share=0.5) for place in range(2))
    several = SeveralOperations(operations=tuple(of_two))
    yield Holder(name="SeveralOperations", part=several, run=lambda part: tiny_donor(task=part))
    task = tiny_task("a**2 + a*b", rivals=RIVALS)
    yield Holder(name="task of a transfer", part=task, run=lambda part: tiny_transfer("random_init", task=part))
    yield Holder(name="ShapesTask", part=shapes_task(), run=lambda part: image_donor(task=part))
    yield Holder(name="ImageNet16Task", part=PHOTOGRAPHS, run=lambda part: image_donor(task=part))
    yield Holder(name="DigitsTask", part=DIGITS.task, run=lambda part: replace(DIGITS, task=part))
    yield Holder(name="Part", part=Part(name="ambiguous", num_samples=6), run=_with_part)
    repeated = RepeatedPart(name="mean_pooled", num_distinct=7, num_samples=20)
    yield Holder(name="RepeatedPart", part=repeated, run=lambda part: image_transfer("data_mixture", rows=(part,)))


def _of_training() -> Iterator[Holder]:
    adam = tiny_donor().optimizer
    yield Holder(name="AdamW", part=adam, run=lambda part: tiny_donor(optimizer=part))
    sgd = SGD(learning_rate=0.05, momentum=0.9, weight_decay=0.1, schedule="constant", clip=ClipNorm(max_norm=1.0))
    yield Holder(name="SGD", part=sgd, run=lambda part: image_donor(optimizer=part))
    clip = ClipNorm(max_norm=1.0)
    yield Holder(name="ClipNorm", part=clip, run=lambda part: tiny_donor(optimizer=replace(adam, clip=part)))
    yield Holder(name="BestEpoch", part=lowest("validation_loss"), run=lambda part: tiny_donor(kept_epoch=part))
    yield Holder(name="EarlyStop", part=EarlyStop(patience=2), run=lambda part: tiny_donor(stopping=part))
    yield Holder(name="Normal", part=Normal(std=0.02), run=lambda part: tiny_transfer(fresh_weights=part))
    yield Holder(name="FrozenFor", part=FrozenFor(num_epochs=1), run=lambda part: tiny_transfer(frozen=part))
    teacher = Distillation(network=tiny_donor(), masks=(tiny_mask(),), temperature=2.0, weight=0.5)
    yield Holder(name="Distillation", part=teacher, run=lambda part: tiny_donor(teacher=part))
    second = SecondTask(task=tiny_task("a*b"), rows=unambiguous(24), batch_size=4, weight=0.5)
    yield Holder(name="SecondTask", part=second, run=lambda part: tiny_donor(second_task=part))
    yield Holder(name="method", part=tiny_mask().method, run=lambda part: tiny_mask(method=part))
    sampled = StraightThrough(initial_logit=2.0, penalty=1e-4, num_masks=2)
    yield Holder(name="StraightThrough", part=sampled, run=lambda part: tiny_mask(method=part))
    schedule = TemperatureSchedule(name="as_released", final=100.0)
    yield Holder(name="TemperatureSchedule", part=schedule, run=lambda part: tiny_mask(temperature=part))
    tuned = TuningValidation(num_samples=1, num_seeds=1, num_transfer_samples=12)
    yield Holder(name="TuningValidation", part=tuned, run=lambda part: tiny_mask(validation=part))
    imported = ImportedWeights(sha256="a" * 64)
    yield Holder(name="ImportedWeights", part=imported, run=lambda part: tiny_donor(weights=part))
    published = PublishedWeights(file="resnet18-f37072fd")
    yield Holder(name="PublishedWeights", part=published, run=lambda part: image_donor(weights=part))


def _with_part(part: Any) -> Run:
    return tiny_transfer(rows=(part, *recipient_rows(num_ambiguous=0, num_disambiguation=6)[1:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A hostile value in a field."""

    holder: Holder
    field: str
    value: str

    def made(self) -> Run:
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
