"""What a run's loss has besides its task: a teacher, and a second task in the batch."""

from dataclasses import dataclass
from typing import Any

from subind.specs.base import LARGEST_COUNT, Checked, at_most, positive, require
from subind.specs.rows import AnyPart, num_rows
from subind.specs.run import MaskRun, NetworkRun, Run
from subind.specs.tasks import Task

EVALUATED = ("validation", "test", "tuning")
"""Sets of rows that no run trains on, whatever its task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoTeacher(Checked):
    """The loss is the task's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation(Checked):
    """A finished network teaches: loss = (1 - weight)·task + weight·T²·KL(teacher ‖ student) at temperature T.

    The teacher is `network`, under a mask where one is given (Hinton et al. 2015).
    """

    network: NetworkRun
    masks: tuple[MaskRun, ...]
    temperature: float
    weight: float

    def _check(self) -> None:
        require(1e-3 <= self.temperature <= 1e3, self, "temperature", "give 0.001 to 1000")
        require(0 < self.weight <= 1, self, "weight", "give a share from above 0 to 1")
        require(len(self.masks) <= 1, self, "masks", "give one mask at most")
        for mask in self.masks:
            require(mask.donor == self.network, self, "masks", "give a mask of the teaching network")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSecondTask(Checked):
    """Batches hold rows of the run's task alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondTask(Checked):
    """Each step also takes `batch_size` rows of another task: loss = task + weight · second task."""

    task: Task
    rows: tuple[AnyPart, ...]
    batch_size: int
    weight: float

    def _check(self) -> None:
        positive(self, "batch_size", "weight")
        at_most(self, LARGEST_COUNT, "batch_size")
        check_rows(self, self.task)
        require(self.batch_size <= num_rows(self.rows), self, "batch_size", "give at most as many as there are rows")


Teacher = NoTeacher | Distillation
Second = NoSecondTask | SecondTask


def teachers(teacher: Teacher) -> tuple[Run, ...]:
    """The runs whose files the teacher is made of."""
    return (teacher.network, *teacher.masks) if isinstance(teacher, Distillation) else ()


def teacher_shape(teacher: Teacher) -> tuple[object, ...]:
    """What the teachers of the replicas of one pack share."""
    if isinstance(teacher, NoTeacher):
        return (type(teacher),)
    return type(teacher), teacher.network.network, teacher.network.task.signature()


def second_shape(second: Second) -> tuple[object, ...]:
    """What the second tasks of the replicas of one pack share."""
    if isinstance(second, NoSecondTask):
        return (type(second),)
    rows = tuple((part.name, part.num_samples) for part in second.rows)
    return type(second), second.task.pack_shape(), rows, second.batch_size


def check_rows(made: Any, task: Task) -> None:
    """Raise ValueError unless a run's rows are parts of its task, each once, and at least one row."""
    names = [part.name for part in made.rows]
    require(len(set(names)) == len(names) > 0, made, "rows", "give at least one part, and each once")
    require(num_rows(made.rows) > 0, made, "rows", "give at least one row")
    evaluated = ", ".join(EVALUATED)
    require(not set(names) & set(EVALUATED), made, "rows", f"name no part {evaluated}: these are what is evaluated on")
    at_most(made, LARGEST_COUNT, *(["num_training_samples"] if hasattr(made, "num_training_samples") else []))
    task.check_parts(made.rows)
