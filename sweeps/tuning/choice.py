"""The choice of a trial: the knee of the front, or the smallest mask above a floor of accuracy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from subind.specs.quoting import quoted
from sweeps.tuning.objective import Floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Knee:
    """The member of the front farthest from the line between its ends, densities on a log scale."""


Rule = Knee | Floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A finished trial by its objectives."""

    number: int
    accuracy: float
    density: float

    def dominates(self, other: "Point") -> bool:
        """Whether it is no worse in both objectives and better in one."""
        no_worse = self.accuracy >= other.accuracy and self.density <= other.density
        return no_worse and (self.accuracy, self.density) != (other.accuracy, other.density)


def rule(text: str) -> Rule:
    """The rule that `knee` or `floor=0.99` says. Raises ValueError for anything else."""
    name, sign, value = text.partition("=")
    try:
        match name, sign:
            case "knee", "":
                return Knee()
            case "floor", "=":
                return Floor(accuracy=float(value))
            case _:
                raise ValueError
    except ValueError:
        raise ValueError(
            f"--choose is {quoted(text)}: give knee, or floor= and an accuracy, such as floor=0.99"
        ) from None


def in_words(given: Rule) -> str:
    """The text that gives the rule."""
    match given:
        case Knee():
            return "knee"
        case Floor(accuracy=accuracy):
            return f"floor={accuracy:g}"
        case _:
            assert_never(given)


def front(points: Sequence[Point]) -> list[Point]:
    """The points that none dominates, by density; of equal ones the first."""
    distinct = {(point.accuracy, point.density): point for point in sorted(points, key=lambda each: -each.number)}
    kept = [each for each in distinct.values() if not any(other.dominates(each) for other in distinct.values())]
    return sorted(kept, key=lambda each: each.density)


def chosen(points: Sequence[Point], given: Rule) -> Point:
    """The point that the rule chooses among the masks that keep a weight. Raises ValueError if there is none."""
    if not points:
        raise ValueError("no trial of the study is finished: give --trials")
    members = front([each for each in points if each.density > 0])
    if not members:
        raise ValueError("the mask of every finished trial is empty: lower the penalty of the study, or try more")
    match given:
        case Knee():
            return _knee(members)
        case Floor(accuracy=floor):
            above = [each for each in members if each.accuracy >= floor]
            if not above:
                best = max(each.accuracy for each in members)
                raise ValueError(f"--choose floor={floor:g}: the best trial has {best:g}; lower the floor, or try more")
            return above[0]
        case _:
            assert_never(given)


def _knee(members: Sequence[Point]) -> Point:
    low, high = members[0], members[-1]
    width = math.log(high.density / low.density)
    height = high.accuracy - low.accuracy

    def above_the_line(point: Point) -> float:
        across = math.log(point.density / low.density) / width if width > 0 else 0.0
        return (point.accuracy - low.accuracy) / height - across if height > 0 else 0.0

    return max(members, key=above_the_line)
