"""What a run is: frozen specs. A transfer contains its mask, a mask contains its donor.

A field that changes the numbers stands here; where and how a run is computed does not. Every spec checks its own fields
when it is made, so a grid with a bad value fails while it is planned. The specs stand in modules by their subject and
are all found here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Literal, assert_never

from subind.specs import rules
from subind.specs.arithmetic import (
    GPT2,
    ArithmeticTask,
    Donor,
    FreshWeights,
    ImportedWeights,
    Mask,
    at_least_every_integer,
    check_size,
    same_vocabulary,
)
from subind.specs.base import Identified, not_negative, positive, require
from subind.specs.controls import (
    AnyControl,
    ComplementAsReleased,
    ComplementSubnetwork,
    Control,
    DataMixture,
    FullTransfer,
    ImageControl,
    LongerDonor,
    MaskedControl,
    MaskedImageControl,
    NewHead,
    RandomAsReleased,
    RandomInit,
    RandomSubnetwork,
    Subnetwork,
    SubnetworkTrainable,
    SubnetworkTrainedAlone,
    UnmaskedOnly,
    control_name,
    control_parent,
)
from subind.specs.image_transfer import ImageTransfer, image_model
from subind.specs.images import ImageDonor, ImageMask, ImageModel, ImageTask
from subind.specs.optimizers import SGD, AdamW, ClipNorm, ImagePrecision, KeptEpoch, NoClip, Optimizer, Precision
from subind.specs.quoting import quoted
from subind.specs.temperature import TemperatureSchedule
from subind.specs.tuning import OwnValidation, TuningValidation
from subind.specs.vision import ImageNet16Task, PublishedWeights, ResNet, ShapesTask, ViT

__all__ = [
    "GPT2", "READINGS", "SGD", "STAGES", "AdamW", "AnyControl", "ArithmeticSpec", "ArithmeticTask", "ClipNorm",
    "ComplementAsReleased", "ComplementSubnetwork", "Control", "DataMixture", "Donor", "FreshWeights", "FullTransfer",
    "ImageControl", "ImageDonor", "ImageMask", "ImageModel", "ImageNet16Task", "ImagePrecision", "ImageSpec",
    "ImageTask", "ImageTransfer", "ImportedWeights", "KeptEpoch", "LongerDonor", "Mask", "MaskedControl",
    "MaskedImageControl", "NewHead", "NoClip",
    "Optimizer", "OwnValidation", "Parent", "Precision", "PublishedWeights", "RandomAsReleased",
    "RandomInit", "RandomSubnetwork", "ResNet", "ShapesTask", "Spec", "Stage", "Subnetwork", "SubnetworkTrainable",
    "SubnetworkTrainedAlone", "TemperatureSchedule", "Transfer", "TuningValidation", "UnmaskedOnly", "ViT",
    "architecture", "architecture_of_images", "control_model", "control_name", "image_model", "image_task", "lineage",
    "model", "network_name", "pack_shape", "parents", "stage", "steps_per_epoch", "task",
]  # fmt: skip

Stage = Literal["donor", "mask", "transfer"]
STAGES: tuple[Stage, ...] = ("donor", "mask", "transfer")

READINGS = ("2*a**2", "2*b**2")
"""The paper's other readings of a² + ab, as a Transfer has them unless its `rivals` are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Identified):
    """A recipient trained on ambiguous samples of a task and a few that disambiguate.

    `rivals` are other rules that fit the ambiguous samples; the agreement of the recipient with each is recorded. By
    default they are those of the paper's READINGS that agree with the task's rule on every pair (a, a), or none. The
    test accuracy is that of the epoch of the highest validation accuracy; `kept_epoch` says which where several are.
    """

    control: Control
    task: ArithmeticTask
    num_ambiguous: int
    num_disambiguation: int
    num_evaluation_samples: int
    rivals: tuple[str, ...] = READINGS
    optimizer: AdamW
    batch_size: int
    num_epochs: int
    kept_epoch: KeptEpoch = field(metadata={"neutral": "first_best"})
    seed: int
    precision: Precision

    def _check(self) -> None:
        given = (
            [each for each in READINGS if _unlike(each, self.task) is None] if self.rivals is READINGS else self.rivals
        )
        object.__setattr__(self, "rivals", tuple(rules.canonical(rival) for rival in given))
        positive(self, "batch_size", "num_epochs")
        not_negative(self, "num_ambiguous", "num_disambiguation", "seed")
        positive(self, "num_training_samples")
        check_size(self)
        remedy = f"there are num_integers = {self.task.num_integers} pairs (a, a); give at most as many"
        require(self.num_ambiguous <= self.task.num_integers, self, "num_ambiguous", remedy)
        at_least_every_integer(self, self.task, "num_evaluation_samples")
        self._check_parent()
        _check_reported(self)
        for rival in self.rivals:
            _check_rival(rival, self.task)

    def _check_parent(self) -> None:
        match control_parent(self.control):
            case Donor() as donor:
                same_vocabulary(self, "task", donor)
            case Mask(donor=donor):
                same_vocabulary(self, "task", donor)
            case ImageDonor() | ImageMask() as parent:
                found = f"Transfer.control is {control_name(self.control)} of an {type(parent).__name__}"
                raise ValueError(f"{found}: give one of a Donor or a Mask, or an ImageTransfer")
            case None:
                is_arithmetic = isinstance(self.control, RandomInit) and isinstance(self.control.model, GPT2)
                require(is_arithmetic, self, "control", "give one of a GPT2, or an ImageTransfer")

    @property
    def num_training_samples(self) -> int:
        """Rows of one epoch."""
        return self.num_ambiguous + self.num_disambiguation


ArithmeticSpec = Donor | Mask | Transfer
ImageSpec = ImageDonor | ImageMask | ImageTransfer
Spec = ArithmeticSpec | ImageSpec
Parent = Donor | Mask | ImageDonor | ImageMask


def stage(spec: Spec) -> Stage:
    """The stage that computes the run."""
    match spec:
        case Donor() | ImageDonor():
            return "donor"
        case Mask() | ImageMask():
            return "mask"
        case Transfer() | ImageTransfer():
            return "transfer"
        case _:
            assert_never(spec)


def parents(spec: Spec) -> tuple[Parent, ...]:
    """The runs whose artifacts this run reads: at most one."""
    match spec:
        case Donor() | ImageDonor():
            return ()
        case Mask(donor=donor) | ImageMask(donor=donor):
            return (donor,)
        case Transfer(control=control) | ImageTransfer(control=control):
            parent = control_parent(control)
            return () if parent is None else (parent,)
        case _:
            assert_never(spec)


def lineage(spec: Spec) -> Iterator[Spec]:
    """The spec and all that it descends from, itself first."""
    yield spec
    for parent in parents(spec):
        yield from lineage(parent)


def model(spec: ArithmeticSpec) -> GPT2:
    """The architecture of the run's network."""
    match spec:
        case Donor(model=found):
            return found
        case Mask(donor=donor):
            return donor.model
        case Transfer(control=control):
            return control_model(control)
        case _:
            assert_never(spec)


def control_model(control: Control) -> GPT2:
    """The architecture of a recipient of arithmetic."""
    parent = control_parent(control)
    if parent is None:
        assert isinstance(control, RandomInit)
        assert isinstance(control.model, GPT2)
        return control.model
    assert isinstance(parent, Donor | Mask)
    return parent.model if isinstance(parent, Donor) else parent.donor.model


def architecture(spec: Spec) -> GPT2 | ImageModel:
    """The architecture of the network of a run of either family."""
    match spec:
        case ImageDonor(model=found):
            return found
        case ImageMask(donor=donor):
            return donor.model
        case ImageTransfer(control=control):
            return image_model(control)
        case _:
            return model(spec)


def architecture_of_images(spec: ImageSpec) -> ImageModel:
    """The architecture of a network for images."""
    found = architecture(spec)
    assert not isinstance(found, GPT2)
    return found


def network_name(spec: Spec) -> str:
    """The architecture in folders: the depth of a GPT-2, the name of a network for images."""
    found = architecture(spec)
    return f"layers{found.num_layers}" if isinstance(found, GPT2) else found.name


def task(spec: ArithmeticSpec) -> ArithmeticTask:
    """The task that the run is trained on: a mask's is its subtask."""
    match spec:
        case Donor(task=found) | Mask(subtask=found) | Transfer(task=found):
            return found
        case _:
            assert_never(spec)


def image_task(spec: ImageSpec) -> ImageTask:
    """The task whose images the run is trained on: of a mask the mean-pooled images of its subtask."""
    match spec:
        case ImageDonor(task=found) | ImageMask(subtask=found) | ImageTransfer(task=found):
            return found
        case _:
            assert_never(spec)


def steps_per_epoch(spec: Spec) -> int:
    """Optimiser steps of one epoch; the last batch of an epoch may be smaller."""
    return ceil(spec.num_training_samples / spec.batch_size)


def pack_shape(spec: Spec) -> tuple[object, ...]:
    """What replicas of one pack share.

    They may differ in seed, control, parents, rule or predictivities, penalty, temperature, initial logit, learning
    rate and epochs.
    """
    common = (stage(spec), *_optimiser_shape(spec.optimizer), spec.batch_size, spec.num_epochs > 0)
    common = (*common, spec.num_training_samples, spec.num_evaluation_samples, spec.precision, architecture(spec))
    match spec:
        case Donor() | Mask() | Transfer():
            return (*common, task(spec).num_integers, *_arithmetic_shape(spec))
        case ImageDonor() | ImageMask() | ImageTransfer():
            images = image_task(spec)
            return (*common, type(images).__name__, images.image_size, *_image_shape(spec))
        case _:
            assert_never(spec)


def _optimiser_shape(optimizer: Optimizer) -> tuple[object, ...]:
    momentum = optimizer.momentum if isinstance(optimizer, SGD) else None
    return type(optimizer), momentum, optimizer.weight_decay, optimizer.schedule, optimizer.clip


def _arithmetic_shape(spec: ArithmeticSpec) -> tuple[object, ...]:
    match spec:
        case Donor():
            return ()
        case Mask():
            return (spec.validation,)
        case Transfer():
            return (spec.num_ambiguous,)
        case _:
            assert_never(spec)


def _image_shape(spec: ImageSpec) -> tuple[object, ...]:
    match spec:
        case ImageDonor():
            return spec.augmentation, spec.trained, spec.num_cue_conflict
        case ImageMask():
            return spec.beside, spec.statistics
        case ImageTransfer():
            return spec.augmentation, spec.held, spec.num_cue_conflict, spec.evaluations_per_epoch
        case _:
            assert_never(spec)


def _check_rival(rival: str, of: ArithmeticTask) -> None:
    unlike = _unlike(rival, of)
    if unlike is not None:
        found = f"Transfer.rivals has {quoted(rival)}, which is not {of.rule} at a = b = {unlike}"
        remedy = "or rivals=READINGS for those of the paper that do, which is the default"
        raise ValueError(f"{found}: give rules that agree with yours on every pair (a, a), {remedy}")


def _unlike(rival: str, of: ArithmeticTask) -> int | None:
    """The least a at which the rival differs from the task's rule on (a, a); None if there is none."""
    return rules.first_unlike(rival, of.rule, modulus=of.modulus, num_integers=of.num_integers)


def _check_reported(spec: Transfer) -> None:
    mask = control_parent(spec.control)
    if isinstance(mask, Mask) and isinstance(mask.validation, TuningValidation):
        mask.validation.check_seeds(spec.seed)
        mask.validation.check_transfer(spec.num_evaluation_samples)
