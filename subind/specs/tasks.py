"""What a task is, as far as planning goes. What computes with it stands in `subind.tasks.task`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from subind.specs.base import Checked, Open, positive
from subind.specs.rows import AnyPart

BYTES_OF_A_ROW = 4096
"""Assumed where nothing is known of the inputs."""


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


def _bytes_of_a_row(inputs: Inputs) -> int:
    match inputs:
        case Tokens(length=length):
            return 8 * (length + 1)
        case Images(image_size=size, num_channels=channels):
            return 4 * channels * size**2
        case Features(num_features=number):
            return 4 * number
        case AnyInputs():
            return BYTES_OF_A_ROW
        case _:
            assert_never(inputs)


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

    def evaluated_rows(self, run: Any) -> tuple[int, int]:
        """Rows that a run (which trains) is evaluated on: each time that its epochs are judged, and in the end."""
        return run.num_evaluation_samples, run.num_evaluation_samples

    def bytes_of_rows(self, run: Any) -> int:
        """Memory that the rows of a run (which trains) take on the device, about."""
        num_rows: int = run.num_training_samples + run.num_evaluation_samples
        return _bytes_of_a_row(self.signature().inputs) * num_rows

    def needs_images(self) -> bool:
        """Whether rows are made from the folder of images that `--images` names."""
        return False

    def lacks_fingerprints(self) -> bool:
        """Whether it is on images of that folder, and does not say which these are."""
        return False

    def with_fingerprints(self, parts: Mapping[str, str]) -> "Task":
        """The task on the images of these fingerprints, which the folder's parts have; itself if it says which."""
        return self

    def files_needed(self, run: Any) -> tuple[tuple[str, int], ...]:
        """What a run takes from the folder of images: sets of images by name, with the number of images of each."""
        return ()

    def check_files(self, needed: Iterable[tuple[str, int]], folder: str) -> None:
        """Raise ValueError, with field, value and remedy, unless the folder has what runs need of it."""

    def chance_accuracy(self) -> float | None:
        """Accuracy of the best constant answer; None where it is not known."""
        return None

    def sheet_title(self) -> str:
        """What a contact sheet says of its images, whatever their seed; empty for a task that has none to show."""
        return ""

    def label(self) -> str:
        """What tables, folders and legends call the task."""
        return type(self).__name__
