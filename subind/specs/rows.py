"""Which rows of a task a run is trained on: parts of the task's data by name, with their numbers of rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from subind.specs.base import LARGEST_COUNT, Checked, at_most, not_negative, positive, require

LONGEST_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Checked):
    """`num_samples` rows of the part of a task's data with that name, each once an epoch."""

    name: str
    num_samples: int

    def _check(self) -> None:
        _check_name(self)
        not_negative(self, "num_samples")
        at_most(self, LARGEST_COUNT, "num_samples")

    @property
    def num_distinct(self) -> int:
        """Different rows among them."""
        return self.num_samples


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedPart(Checked):
    """The first `num_distinct` rows of a part, repeated in turn until they are `num_samples`."""

    name: str
    num_distinct: int
    num_samples: int

    def _check(self) -> None:
        _check_name(self)
        positive(self, "num_distinct")
        not_negative(self, "num_samples")
        at_most(self, LARGEST_COUNT, "num_samples", "num_distinct")


AnyPart = Part | RepeatedPart


def _check_name(part: AnyPart) -> None:
    right = part.name.isidentifier() and len(part.name) <= LONGEST_NAME
    require(right, part, "name", f"give a name of letters, digits and _, at most {LONGEST_NAME} long")


def num_rows(parts: Sequence[AnyPart]) -> int:
    """Rows of one epoch."""
    return sum(part.num_samples for part in parts)


def num_of(parts: Sequence[AnyPart], name: str) -> int:
    """Rows of the parts with that name."""
    return sum(part.num_samples for part in parts if part.name == name)
