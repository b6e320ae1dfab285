"""What a run is: frozen specs. A transfer contains its mask, a mask contains its donor.

A field that changes the numbers stands here; where and how a run is computed does not. Every spec checks its own fields
when it is made, so a grid with a bad value fails while it is planned.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Literal, assert_never

from subind import rules
from subind.declared import Checked, Identified, not_negative, positive, require
from subind.temperature import TemperatureSchedule
from subind.tuning_spec import OwnValidation, TuningValidation, Validation

Stage = Literal["donor", "mask", "transfer"]
STAGES: tuple[Stage, ...] = ("donor", "mask", "transfer")
Precision = Literal["float32", "tf32", "bfloat16"]
"""Of the operands in products of parameters; all else is float32. TF32 exists on CUDA devices only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArithmeticTask(Checked):
    """The sequence [a, b, =, c] with c = rule(a, b) mod modulus and operands in 0 … num_integers - 1.

    Every integer is one token; the token "=" is num_integers.
    """

    rule: str
    modulus: int
    num_integers: int

    def _check(self) -> None:
        object.__setattr__(self, "rule", rules.canonical(self.rule))
        require(2 <= self.num_integers <= rules.LARGEST_MODULUS, self, "num_integers", "give 2 to 2**31")
        remedy = f"give 2 to num_integers = {self.num_integers}, for an answer is one of the integer tokens"
        require(2 <= self.modulus <= self.num_integers, self, "modulus", remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class GPT2(Checked):
    """GPT-2: pre-LN, gelu_new, MLP of four times the width, four positions, head tied to the token embedding."""

    num_layers: int
    d_model: int
    num_heads: int
    dropout: float

    def _check(self) -> None:
        positive(self, "num_layers", "d_model", "num_heads")
        require(self.d_model % self.num_heads == 0, self, "num_heads", f"give a divisor of d_model = {self.d_model}")
        require(0 <= self.dropout < 1, self, "dropout", "give a probability from 0 to below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoClip(Checked):
    """Gradients are used as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipNorm(Checked):
    """Gradients of one model are scaled down to the L2 norm `max_norm` where they exceed it."""

    max_norm: float

    def _check(self) -> None:
        positive(self, "max_norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW(Checked):
    """AdamW with betas (0.9, 0.999) and epsilon 1e-8; the schedule is over all planned steps."""

    learning_rate: float
    weight_decay: float
    schedule: Literal["constant", "linear_decay"]
    clip: NoClip | ClipNorm

    def _check(self) -> None:
        positive(self, "learning_rate")
        not_negative(self, "weight_decay")


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshWeights(Checked):
    """Training starts from weights drawn with the run's seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedWeights(Checked):
    """Training starts from a safetensors file of transformers' GPT2LMHeadModel, named by its SHA-256.

    `subind import FILE` puts it into the store and prints the checksum.
    """

    sha256: str

    def _check(self) -> None:
        right = len(self.sha256) == 64 and set(self.sha256) <= set("0123456789abcdef")
        require(right, self, "sha256", "give the 64 hexadecimal digits that `subind import FILE` prints")


@dataclass(frozen=True, slots=True, kw_only=True)
class Donor(Identified):
    """A network trained on unambiguous samples of a task; the checkpoint of lowest evaluation loss is kept.

    Training stops after `patience` epochs without a lower evaluation loss. With num_epochs = 0 the donor is what
    training would start from: a randomly initialised network, or imported weights as they are.
    """

    task: ArithmeticTask
    model: GPT2
    num_samples: int
    num_evaluation_samples: int
    optimizer: AdamW
    batch_size: int
    num_epochs: int
    patience: int
    seed: int
    precision: Precision
    weights: FreshWeights | ImportedWeights = field(default=FreshWeights(), metadata={"neutral": FreshWeights()})

    def _check(self) -> None:
        positive(self, "batch_size", "patience")
        not_negative(self, "num_epochs", "seed")
        _at_least_every_integer(self, "num_samples", "num_evaluation_samples")

    @property
    def num_training_samples(self) -> int:
        """Rows of one epoch."""
        return self.num_samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask(Identified):
    """A binary mask over the frozen donor's projections that computes the subtask, by continuous sparsification.

    Loss = cross-entropy + penalty · Σσ(τ·s). The logits s of the best hard-mask accuracy (the last among equals) are
    kept; `validation` says on which samples that is judged.
    """

    donor: Donor
    subtask: ArithmeticTask
    num_samples: int
    num_evaluation_samples: int
    initial_logit: float
    penalty: float
    temperature: TemperatureSchedule
    optimizer: AdamW
    batch_size: int
    num_epochs: int
    seed: int
    precision: Precision
    validation: Validation = field(default=OwnValidation(), metadata={"neutral": OwnValidation()})

    def _check(self) -> None:
        positive(self, "batch_size", "num_epochs")
        not_negative(self, "penalty", "seed")
        _at_least_every_integer(self, "num_samples", "num_evaluation_samples")
        _same_vocabulary(self, "subtask", self.donor)
        _check_tuning(self)

    @property
    def num_training_samples(self) -> int:
        """Rows of one epoch."""
        return self.num_samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnetwork(Checked):
    """Donor weights where the mask is 1, frozen; fresh weights elsewhere; the rest from the donor."""

    mask: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetworkTrainable(Checked):
    """As Subnetwork, with nothing frozen."""

    mask: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSubnetwork(Checked):
    """Donor weights, frozen, on a random mask of the subnetwork's density in every matrix."""

    mask: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplementSubnetwork(Checked):
    """Donor weights, frozen, on a random mask of the subnetwork's density, drawn from where the mask is 0."""

    mask: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomAsReleased(Checked):
    """The released code's "sampled": the donor, frozen, everywhere but on a random set of the subnetwork's size."""

    mask: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplementAsReleased(Checked):
    """The released code's "complement": as RandomAsReleased, the excepted set drawn from where the mask is 0."""

    mask: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class FullTransfer(Checked):
    """The whole donor, nothing frozen."""

    donor: Donor


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmaskedOnly(Checked):
    """Fresh projections; the rest (embeddings, positions, LayerNorm, biases) from the donor; nothing frozen."""

    donor: Donor


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomInit(Checked):
    """A fresh network. It has no parents."""

    model: GPT2


MaskedControl = (
    Subnetwork | SubnetworkTrainable | RandomSubnetwork | ComplementSubnetwork | RandomAsReleased | ComplementAsReleased
)
Control = MaskedControl | FullTransfer | UnmaskedOnly | RandomInit
"""What a recipient starts from. A control contains just the parents that its numbers depend on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Identified):
    """A recipient trained on ambiguous samples of a task and a few that disambiguate.

    `rivals` are other rules that fit the ambiguous samples; the agreement of the recipient with each is recorded.
    """

    control: Control
    task: ArithmeticTask
    num_ambiguous: int
    num_disambiguation: int
    num_evaluation_samples: int
    rivals: tuple[str, ...] = ("2*a**2", "2*b**2")
    optimizer: AdamW
    batch_size: int
    num_epochs: int
    seed: int
    precision: Precision

    def _check(self) -> None:
        object.__setattr__(self, "rivals", tuple(rules.canonical(rival) for rival in self.rivals))
        positive(self, "batch_size", "num_epochs")
        not_negative(self, "num_ambiguous", "num_disambiguation", "seed")
        positive(self, "num_training_samples")
        remedy = f"there are num_integers = {self.task.num_integers} pairs (a, a); give at most as many"
        require(self.num_ambiguous <= self.task.num_integers, self, "num_ambiguous", remedy)
        _at_least_every_integer(self, "num_evaluation_samples")
        for parent in parents(self):
            _same_vocabulary(self, "task", parent if isinstance(parent, Donor) else parent.donor)
        _check_reported(self)
        for rival in self.rivals:
            _check_rival(rival, self.task)

    @property
    def num_training_samples(self) -> int:
        """Rows of one epoch."""
        return self.num_ambiguous + self.num_disambiguation


Spec = Donor | Mask | Transfer


def stage(spec: Spec) -> Stage:
    """The stage that computes the run."""
    match spec:
        case Donor():
            return "donor"
        case Mask():
            return "mask"
        case Transfer():
            return "transfer"
        case _:
            assert_never(spec)


def parents(spec: Spec) -> tuple[Donor | Mask, ...]:
    """The runs whose artifacts this run reads: at most one."""
    match spec:
        case Donor() | Transfer(control=RandomInit()):
            return ()
        case Mask(donor=donor) | Transfer(control=FullTransfer(donor=donor) | UnmaskedOnly(donor=donor)):
            return (donor,)
        case Transfer(control=control):
            assert isinstance(control, MaskedControl)
            return (control.mask,)
        case _:
            assert_never(spec)


def lineage(spec: Spec) -> Iterator[Spec]:
    """The spec and all that it descends from, itself first."""
    yield spec
    for parent in parents(spec):
        yield from lineage(parent)


def model(spec: Spec) -> GPT2:
    """The architecture of the run's network."""
    match spec:
        case Donor(model=found) | Transfer(control=RandomInit(model=found)):
            return found
        case Mask() | Transfer():
            return model(parents(spec)[0])
        case _:
            assert_never(spec)


def task(spec: Spec) -> ArithmeticTask:
    """The task that the run is trained on: a mask's is its subtask."""
    match spec:
        case Donor(task=found) | Mask(subtask=found) | Transfer(task=found):
            return found
        case _:
            assert_never(spec)


def control_name(control: Control) -> str:
    """The control's name in columns, folders and figures: its class name in snake case."""
    name = type(control).__name__
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")


def steps_per_epoch(spec: Spec) -> int:
    """Optimiser steps of one epoch; the last batch of an epoch may be smaller."""
    return ceil(spec.num_training_samples / spec.batch_size)


def pack_shape(spec: Spec) -> tuple[object, ...]:
    """What replicas of one pack share.

    They may differ in seed, control, parents, rule, penalty, temperature, initial logit, learning rate and epochs.
    """
    optimizer = spec.optimizer
    common = (
        *(stage(spec), model(spec), task(spec).num_integers),
        *(optimizer.weight_decay, optimizer.schedule, optimizer.clip),
        spec.batch_size,
        spec.num_epochs > 0,
        spec.num_training_samples,
        spec.num_evaluation_samples,
        spec.precision,
    )
    if isinstance(spec, Donor):
        return common
    return (*common, spec.validation if isinstance(spec, Mask) else spec.num_ambiguous)


def _at_least_every_integer(spec: Donor | Mask | Transfer, *names: str) -> None:
    least = task(spec).num_integers
    remedy = f"give at least num_integers = {least}, for an unambiguous set covers every integer"
    for name in names:
        require(getattr(spec, name) >= least, spec, name, remedy)


def _same_vocabulary(spec: Mask | Transfer, field: str, donor: Donor) -> None:
    remedy = f"the donor's vocabulary has {donor.task.num_integers} integers; both must be the same"
    require(task(spec).num_integers == donor.task.num_integers, spec, f"{field}.num_integers", remedy)


def _check_rival(rival: str, of: ArithmeticTask) -> None:
    unlike = rules.first_unlike(rival, of.rule, modulus=of.modulus, num_integers=of.num_integers)
    if unlike is not None:
        found = f"Transfer.rivals has {rival!r}, which is not {of.rule} at a = b = {unlike}"
        raise ValueError(f"{found}: give rules that agree with yours on every pair (a, a)")


def _check_tuning(mask: Mask) -> None:
    if isinstance(mask.validation, TuningValidation):
        num_reported = mask.donor.num_evaluation_samples + mask.num_evaluation_samples
        mask.validation.check_room(mask.subtask.num_integers, num_reported)
        mask.validation.check_seeds(mask.seed, mask.donor.seed)


def _check_reported(spec: Transfer) -> None:
    if isinstance(spec.control, MaskedControl) and isinstance(spec.control.mask.validation, TuningValidation):
        spec.control.mask.validation.check_seeds(spec.seed)
        spec.control.mask.validation.check_transfer(spec.num_evaluation_samples)
