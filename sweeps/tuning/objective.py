"""The objectives of a study: the front of accuracy and density, or the smallest mask above a floor of accuracy."""

from dataclasses import dataclass
from typing import Literal

from subind.specs.base import Checked, require

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pareto(Checked):
    """Accuracy of the hard mask up, density down."""

    @property
    def name(self) -> str:
        """What a study of it is called."""
        return "front"

    @property
    def directions(self) -> list[Direction]:
        """One for each objective."""
        return ["maximize", "minimize"]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the objectives."""
        return ("tuning_accuracy", "density")

    @property
    def in_words(self) -> str:
        """As it stands in the storage."""
        return "tuning_accuracy up, density down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor(Checked):
    """Density down, under the constraint that the hard mask's accuracy is at least `accuracy`."""

    accuracy: float

    def _check(self) -> None:
        require(0 < self.accuracy <= 1, self, "accuracy", "give an accuracy above 0, at most 1")

    @property
    def name(self) -> str:
        """What a study of it is called."""
        return f"floor-{self.accuracy:g}"

    @property
    def directions(self) -> list[Direction]:
        """One for each objective."""
        return ["minimize"]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the objectives."""
        return ("density",)

    @property
    def in_words(self) -> str:
        """As it stands in the storage."""
        return f"density down, tuning_accuracy at least {self.accuracy:g}"


Objective = Pareto | Floor
