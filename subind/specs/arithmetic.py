"""The specs of arithmetic: the task, GPT-2, and the runs that train a donor and discover a mask."""

from dataclasses import dataclass, field
from operator import attrgetter

from subind.specs import rules
from subind.specs.base import LARGEST_COUNT, Checked, Identified, at_most, not_negative, positive, require
from subind.specs.optimizers import AdamW, KeptEpoch, Precision
from subind.specs.temperature import TemperatureSchedule
from subind.specs.tuning import OwnValidation, TuningValidation, Validation

MOST_LAYERS, WIDEST = 1000, 65_536
"""Of one network: larger ones have more weights than one device holds."""

MOST_EPOCHS = 100_000
"""A record has curves with a value for each epoch, and a limit to its size."""

STRONGEST = 1e6
"""Of penalties and logits; the paper's are 1e-7 and -0.1."""


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
        at_most(self, MOST_LAYERS, "num_layers")
        at_most(self, WIDEST, "d_model")
        require(self.d_model % self.num_heads == 0, self, "num_heads", f"give a divisor of d_model = {self.d_model}")
        require(0 <= self.dropout < 1, self, "dropout", "give a probability from 0 to below 1")


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
    """A network trained on unambiguous samples of a task; the epoch of the lowest evaluation loss is kept.

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
    kept_epoch: KeptEpoch = field(metadata={"neutral": "first_best"})
    patience: int
    seed: int
    precision: Precision
    weights: FreshWeights | ImportedWeights = field(default=FreshWeights(), metadata={"neutral": FreshWeights()})

    def _check(self) -> None:
        positive(self, "batch_size", "patience")
        not_negative(self, "num_epochs", "seed")
        check_size(self)
        at_least_every_integer(self, self.task, "num_samples", "num_evaluation_samples")

    @property
    def num_training_samples(self) -> int:
        """Rows of one epoch."""
        return self.num_samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask(Identified):
    """A binary mask over the frozen donor's projections that computes the subtask, by continuous sparsification.

    Loss = cross-entropy + penalty · Σσ(τ·s). The logits s of the epoch of the best hard-mask accuracy are kept,
    `kept_epoch` says of which where several are best; `validation` says on which samples that is judged.
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
    kept_epoch: KeptEpoch = field(metadata={"neutral": "last_best"})
    seed: int
    precision: Precision
    validation: Validation = field(default=OwnValidation(), metadata={"neutral": OwnValidation()})

    def _check(self) -> None:
        positive(self, "batch_size", "num_epochs")
        not_negative(self, "penalty", "seed")
        check_size(self)
        check_discovery(self)
        at_least_every_integer(self, self.subtask, "num_samples", "num_evaluation_samples")
        same_vocabulary(self, "subtask", self.donor)
        _check_tuning(self)

    @property
    def num_training_samples(self) -> int:
        """Rows of one epoch."""
        return self.num_samples


def check_size(made: object) -> None:
    """Raise ValueError for more rows or epochs than a run can have: the spec's fields and what follows from them."""
    for name in ("num_samples", "num_disambiguation", "num_training_samples", "num_evaluation_samples", "batch_size"):
        if hasattr(made, name):
            at_most(made, LARGEST_COUNT, name)
    at_most(made, MOST_EPOCHS, "num_epochs")


def check_discovery(made: object) -> None:
    """Raise ValueError for a penalty or a logit of a mask with which no gradient is left."""
    at_most(made, STRONGEST, "penalty", "initial_logit")
    logit: float = attrgetter("initial_logit")(made)
    require(logit >= -STRONGEST, made, "initial_logit", f"give at least {-STRONGEST:,}")


def at_least_every_integer(made: object, task: ArithmeticTask, *names: str) -> None:
    """Raise ValueError unless each of the fields is at least the task's number of integers."""
    remedy = f"give at least num_integers = {task.num_integers}, for an unambiguous set covers every integer"
    for name in names:
        require(getattr(made, name) >= task.num_integers, made, name, remedy)


def same_vocabulary(made: object, field: str, donor: Donor) -> None:
    """Raise ValueError unless the task in the field has the donor's integers."""
    remedy = f"the donor's vocabulary has {donor.task.num_integers} integers; both must be the same"
    require(getattr(made, field).num_integers == donor.task.num_integers, made, f"{field}.num_integers", remedy)


def _check_tuning(mask: Mask) -> None:
    if isinstance(mask.validation, TuningValidation):
        num_reported = mask.donor.num_evaluation_samples + mask.num_evaluation_samples
        mask.validation.check_room(mask.subtask.num_integers, num_reported)
        mask.validation.check_seeds(mask.seed, mask.donor.seed)
