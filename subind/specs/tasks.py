"""What a task is, as far as planning goes. What computes with it stands in `subind.tasks.task`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from subind.specs.base import Checked, Open, positive
from subind.specs.rows import AnyPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens(Checked):
    """Inputs are sequences of `length` integers below `vocabulary_size`."""

    vocabulary_size: int
    length: int

    def _check(self) -> None:
        positive(self, "vocabulary_size", "length")


@dataclass(frozen=True, slots=True, kw_only=True)
class Images(Checked):
    """Inputs are square images of `image_size` pixels with `num_channels` channels."""

    image_size: int
    num_channels: int

    def _check(self) -> None:
        positive(self, "image_size", "num_channels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Features(Checked):
    """Inputs are vectors of `num_features` numbers."""

    num_features: int

    def _check(self) -> None:
        positive(self, "num_features")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyInputs(Checked):
    """Inputs that only the network of the same author knows."""


Inputs = Tokens | Images | Features | AnyInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature(Checked):
    """What a task gives a network, and the number of outputs it wants, 0 where only the network knows it.

    `other_outputs` are numbers of outputs that it can also read, such as those of a network as it is published.
    """

    inputs: Inputs
    num_outputs: int
    other_outputs: tuple[int, ...] = ()


class Task(Open):
    """A base of tasks: rows, a loss, and what is measured.

    A subclass is a frozen dataclass. It says what networks fit it (`signature`) and which columns a result row has
    because of it (`columns`), and it computes as `subind.tasks.task.Task` describes.
    """

    __slots__ = ()

    def signature(self) -> Signature:
        """What the task gives a network."""
        return Signature(inputs=AnyInputs(), num_outputs=0)

    def check_parts(self, parts: tuple[AnyPart, ...]) -> None:
        """Raise ValueError for parts that the task does not have, or too few or many rows of one."""

    def check_evaluation(self, num_samples: int) -> None:
        """Raise ValueError for a number of evaluation rows that the task cannot give."""

    def check_compatible(self, other: "Task") -> None:
        """Raise ValueError unless a network of the other task can compute this one: the same inputs and outputs."""
        if self.signature() != other.signature():
            raise ValueError(
                f"{type(self).__name__} gives {self.signature()}, and the parent's task {other.signature()}"
            )

    def check_tuning(self, mask: Any) -> None:
        """Raise ValueError unless a mask (a Discover) can be judged on rows that no reported evaluation has."""
        raise ValueError(f"{type(self).__name__} has no rows for a TuningValidation: give OwnValidation()")

    def pack_shape(self) -> tuple[object, ...]:
        """What the tasks of the replicas of one pack share; by default everything."""
        return (self,)

    def columns(self) -> Mapping[str, Any]:
        """Columns of a result row, from the fields of the task: text, numbers and lists of them."""
        return {}

    def part_columns(self, parts: tuple[AnyPart, ...]) -> Mapping[str, Any]:
        """Columns of a result row, from the parts that a run is trained on."""
        return {f"num_{part.name}": part.num_samples for part in parts}

    def chance_accuracy(self) -> float | None:
        """Accuracy of the best constant answer; None where it is not known."""
        return None

    def label(self) -> str:
        """What tables, folders and legends call the task."""
        return type(self).__name__
