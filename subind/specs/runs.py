"""What a run is: frozen specs. A transfer contains its mask, a mask contains its donor.

A field that changes the numbers stands here; where and how a run is computed does not. Every spec checks its own fields
when it is made, so a grid with a bad value fails while it is planned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from subind.specs.base import LARGEST_COUNT, at_most, not_negative, positive, require
from subind.specs.loss_terms import (
    Distillation,
    NoSecondTask,
    NoTeacher,
    Second,
    SecondTask,
    Teacher,
    check_rows,
    second_shape,
    teacher_shape,
    teachers,
)
from subind.specs.mask_methods import MaskMethod
from subind.specs.measurements import Measurement
from subind.specs.network import Network
from subind.specs.optimizers import Optimizer, Precision, optimizer_shape
from subind.specs.rows import AnyPart, num_rows
from subind.specs.run import STAGES, Length, MaskRun, NetworkRun, Run, Stage, lineage, steps_per_epoch
from subind.specs.starts import Start
from subind.specs.tasks import Signature, Task
from subind.specs.training import (
    MOST_EPOCHS,
    BestEpoch,
    EarlyStop,
    FreshLaw,
    FreshWeights,
    Frozen,
    FrozenAlways,
    Held,
    ImportedWeights,
    KeptEpoch,
    PublishedWeights,
    Stopping,
    Weights,
)
from subind.specs.tuning import OwnValidation, TuningValidation, Validation

__all__ = [
    "STAGES", "Discover", "Distillation", "Measure", "NoSecondTask", "NoTeacher", "Run", "SecondTask", "Stage", "Train",
    "Transfer", "lineage", "steps_per_epoch",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Train(NetworkRun):
    """A donor: a network trained on a task from fresh or imported weights.

    With num_epochs = 0 it is what training would start from.
    """

    stage: ClassVar[Stage] = "donor"

    task: Task
    model: Network
    rows: tuple[AnyPart, ...]
    num_evaluation_samples: int
    weights: Weights = FreshWeights()
    held: Held = "nothing"
    optimizer: Optimizer
    batch_size: int
    num_epochs: int
    kept_epoch: KeptEpoch
    stopping: Stopping
    evaluations_per_epoch: int = 1
    teacher: Teacher = NoTeacher()
    second_task: Second = NoSecondTask()
    seed: int
    precision: Precision

    def _check(self) -> None:
        _check_training(self)
        is_as_imported = self.num_epochs == 0 and self.held == "nothing" and not isinstance(self.weights, FreshWeights)
        self.network.check(self.task.signature() if is_as_imported else _trained_signature(self.task))

    @property
    def network(self) -> Network:
        return self.model

    def parents(self) -> tuple[Run, ...]:
        return teachers(self.teacher)

    @property
    def num_training_samples(self) -> int:
        return num_rows(self.rows)

    def columns(self) -> Mapping[str, Any]:
        return {**_task_columns(self), **self.inherited_columns(), **_kept(self)}

    def inherited_columns(self) -> Mapping[str, Any]:
        trained = "trained" if self.num_epochs else "untrained"
        kind = trained if isinstance(self.weights, FreshWeights) else "imported"
        return {"donor_seed": self.seed, "donor_kind": kind}

    def pack_shape(self) -> tuple[object, ...]:
        return (*_training_shape(self), isinstance(self.weights, FreshWeights))

    def imported(self) -> ImportedWeights | PublishedWeights | None:
        return None if isinstance(self.weights, FreshWeights) else self.weights

    def imports_head(self) -> bool:
        return self.held != "all_but_head"

    def length(self) -> Length:
        return _length(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discover(MaskRun):
    """A binary mask over the frozen network of `donor` under which it computes `task`.

    `beside` are patterns of parameters that train along with the mask; recipients start from what they become.
    `statistics` says by what BatchNorm normalises: the donor's running statistics, or those of each batch, of which
    running statistics are kept for the hard mask. `validation` says on which rows the epochs are judged.
    """

    stage: ClassVar[Stage] = "mask"

    donor: NetworkRun
    task: Task
    rows: tuple[AnyPart, ...]
    num_evaluation_samples: int
    method: MaskMethod
    beside: tuple[str, ...] = ()
    statistics: Literal["donor", "batch"] = "donor"
    optimizer: Optimizer
    batch_size: int
    num_epochs: int
    kept_epoch: KeptEpoch
    seed: int
    precision: Precision
    validation: Validation = OwnValidation()

    def _check(self) -> None:
        _check_common(self)
        self.task.check_compatible(self.donor.task)
        self.network.check(_trained_signature(self.task))
        _check_tuning(self)

    @property
    def network(self) -> Network:
        return self.donor.network

    def parents(self) -> tuple[Run, ...]:
        return (self.donor,)

    @property
    def num_training_samples(self) -> int:
        return num_rows(self.rows)

    def columns(self) -> Mapping[str, Any]:
        return {**_task_columns(self), **self.inherited_columns(), **_kept(self)}

    def inherited_columns(self) -> Mapping[str, Any]:
        return {"mask_seed": self.seed, "subtask": self.task.label(), **self.method.columns()}

    def length(self) -> Length:
        return Length(num_epochs=self.num_epochs, fewest_epochs=self.num_epochs, evaluations_per_epoch=1)

    def pack_shape(self) -> tuple[object, ...]:
        return (*_common_shape(self), self.method.shape(), self.beside, self.statistics, self.validation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(NetworkRun):
    """A recipient: a network trained on a task from a start.

    `fresh_weights` is the law of maskable weights that the start does not inherit; `frozen` says for how long what the
    start freezes stays frozen; `held` what training holds besides that.
    """

    stage: ClassVar[Stage] = "transfer"

    start: Start
    task: Task
    rows: tuple[AnyPart, ...]
    num_evaluation_samples: int
    fresh_weights: FreshLaw
    frozen: Frozen = FrozenAlways()
    held: Held = "nothing"
    optimizer: Optimizer
    batch_size: int
    num_epochs: int
    kept_epoch: KeptEpoch
    evaluations_per_epoch: int = 1
    stopping: Stopping
    teacher: Teacher = NoTeacher()
    second_task: Second = NoSecondTask()
    seed: int
    precision: Precision

    def _check(self) -> None:
        _check_training(self)
        self.start.check(self.held)
        self.network.check(_trained_signature(self.task))
        for parent in self.start.parents():
            self.task.check_compatible(parent.task)
            _check_reported(self, parent)

    @property
    def network(self) -> Network:
        return self.start.network

    def parents(self) -> tuple[Run, ...]:
        parents, taught_by = self.start.parents(), teachers(self.teacher)
        return tuple(dict.fromkeys((*parents, *taught_by))) if taught_by else parents

    @property
    def num_training_samples(self) -> int:
        return num_rows(self.rows)

    @property
    def arm(self) -> str:
        """What the recipient is compared as: the name of its start, and when that is unfrozen if it is."""
        return self.start.name + self.frozen.ending

    def label(self) -> str:
        own = f"{self.arm}-{self.network.name}"
        varied = f"-n{self.rows[-1].num_samples}" if self.rows else ""
        return f"{own}{varied}-seed{self.seed}"

    def columns(self) -> Mapping[str, Any]:
        own = {
            "control": self.arm,
            **self.start.columns(),
            "held": self.held,
            "evaluations_per_epoch": self.evaluations_per_epoch,
        }
        return {**_task_columns(self), **own, **_kept(self)}

    def pack_shape(self) -> tuple[object, ...]:
        return (*_training_shape(self), self.frozen)

    @property
    def kept_name(self) -> str:
        return self.start.name

    def length(self) -> Length:
        return _length(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure(Run):
    """What is asked of the finished network of a run, without training; of a mask's run, of its network under the mask.

    `seed` is of the measurement's own draws, such as random masks. Test rows are those of the run that is asked.
    """

    stage: ClassVar[Stage] = "measurement"

    of: NetworkRun | MaskRun
    measurement: Measurement
    seed: int
    precision: Precision

    def _check(self) -> None:
        not_negative(self, "seed")
        _check_precision(self)
        self.measurement.check(self.of)

    @property
    def task(self) -> Task:  # type: ignore[override]
        """The task of the network that is asked."""
        return self.of.task

    @property
    def network(self) -> Network:
        return self.of.network

    def parents(self) -> tuple[Run, ...]:
        asked = (self.of, self.of.donor) if isinstance(self.of, MaskRun) else (self.of,)
        return tuple(dict.fromkeys((*asked, *self.measurement.parents())))

    def label(self) -> str:
        return f"{self.measurement.name}-{self.of.label()}"

    def columns(self) -> Mapping[str, Any]:
        own = {"measurement": self.measurement.name, **self.measurement.columns()}
        return {**self.of.columns(), **own}

    def pack_shape(self) -> tuple[object, ...]:
        """Each is a pack of its own: nothing is trained."""
        return (self,)

    def evaluated_rows(self) -> tuple[int, int]:
        return 0, self.of.evaluated_rows()[1]

    def bytes_of_rows(self) -> int:
        return self.of.bytes_of_rows()

    def files_needed(self) -> tuple[tuple[str, int], ...]:
        return self.of.files_needed()


TrainingRun = Train | Discover | Transfer


def _length(run: Train | Transfer) -> Length:
    fewest = run.num_epochs
    if isinstance(run.stopping, EarlyStop):
        fewest = min(fewest, run.stopping.patience + 1)
    return Length(num_epochs=run.num_epochs, fewest_epochs=fewest, evaluations_per_epoch=run.evaluations_per_epoch)


def _trained_signature(task: Task) -> Signature:
    """What a network that is trained fits: `other_outputs` are of finished networks that are only asked."""
    return replace(task.signature(), other_outputs=())


def _task_columns(run: TrainingRun) -> dict[str, Any]:
    chance = run.task.chance_accuracy()
    known = {} if chance is None else {"chance_accuracy": chance}
    return {**known, **run.task.columns(), **run.task.part_columns(run.rows)}


def _kept(run: TrainingRun) -> dict[str, Any]:
    kept = run.kept_epoch
    return {"kept_epoch": f"{kept.ties}_best" if isinstance(kept, BestEpoch) else "last"}


def _check_common(made: TrainingRun) -> None:
    positive(made, "batch_size", "num_evaluation_samples")
    not_negative(made, "num_epochs", "seed")
    at_most(made, LARGEST_COUNT, "batch_size", "num_evaluation_samples")
    at_most(made, MOST_EPOCHS, "num_epochs")
    check_rows(made, made.task)
    made.task.check_evaluation(made.num_evaluation_samples)
    _check_precision(made)


def _check_precision(made: TrainingRun | Measure) -> None:
    allowed = made.network.precisions()
    require(made.precision in allowed, made, "precision", f"a {made.network.name} has {', '.join(allowed)}")


def _check_training(made: Train | Transfer) -> None:
    _check_common(made)
    positive(made, "evaluations_per_epoch")
    steps = steps_per_epoch(made)
    remedy = f"an epoch has {steps} steps; give at most as many"
    require(made.evaluations_per_epoch <= steps, made, "evaluations_per_epoch", remedy)
    if isinstance(made.stopping, EarlyStop):
        remedy = "give a BestEpoch, whose curve says what better is, or NoEarlyStop()"
        require(isinstance(made.kept_epoch, BestEpoch), made, "kept_epoch", remedy)
    if isinstance(made.teacher, Distillation):
        made.task.check_compatible(made.teacher.network.task)
        _check_teacher(made, made.teacher)
    if isinstance(made.second_task, SecondTask):
        made.second_task.task.check_compatible(made.task)


def _check_teacher(made: Train | Transfer, teacher: Distillation) -> None:
    """Raise ValueError unless the teacher's network gives the outputs that the student has, which both are compared."""
    try:
        teacher.network.network.check(_trained_signature(made.task))
    except ValueError as error:
        raise ValueError(
            f"teacher.network is a {teacher.network.network.name} whose outputs are not those of the student, a "
            f"{made.network.name}: {error}"
        ) from None


def _check_tuning(mask: Discover) -> None:
    judged = "tuning_accuracy" if isinstance(mask.validation, TuningValidation) else "subtask_accuracy"
    kept = mask.kept_epoch
    if isinstance(kept, BestEpoch) and kept.curve in {"tuning_accuracy", "subtask_accuracy"} - {judged}:
        remedy = f"a mask with {type(mask.validation).__name__} is judged by {judged}; give that curve"
        require(False, mask, "kept_epoch.curve", remedy)
    if isinstance(mask.validation, TuningValidation):
        mask.task.check_tuning(mask)


def _check_reported(spec: Transfer, parent: Run) -> None:
    if isinstance(parent, Discover) and isinstance(parent.validation, TuningValidation):
        parent.validation.check_seeds(spec.seed)
        parent.validation.check_transfer(spec.num_evaluation_samples)


def _common_shape(run: TrainingRun) -> tuple[object, ...]:
    """The replicas may differ in seed, parents, penalty, temperature, initial logit, learning rate and epochs."""
    rows = tuple((part.name, part.num_samples) for part in run.rows)
    own = (run.stage, *optimizer_shape(run.optimizer), run.batch_size, run.num_epochs > 0, rows)
    return (*own, run.num_evaluation_samples, run.precision, run.network, run.task.pack_shape())


def _training_shape(run: Train | Transfer) -> tuple[object, ...]:
    several = (run.held, run.evaluations_per_epoch, type(run.kept_epoch))
    return (*_common_shape(run), *several, teacher_shape(run.teacher), second_shape(run.second_task))
