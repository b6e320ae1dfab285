"""The probability that a run of one arm beats a run of another: P(X > Y) + P(X = Y)/2 over all pairs of runs.

It is the area under the ROC curve, and Mann and Whitney's U over the number of pairs. Its interval is Newcombe's method
5 (Newcombe 2006), which inverts a score test as Wilson's does and so stays inside 0 and 1 where one arm wins always.
"""

from dataclasses import dataclass
from math import sqrt

from scipy import optimize, special

from analysis.statistics.values import LEVEL, Interval, Values, finite

NEAR = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """The probability of improvement and its interval, None where an arm has fewer than two runs."""

    probability: float
    interval: Interval | None


def probability_of_improvement(first: Values, second: Values, *, level: float = LEVEL) -> Improvement | None:
    """The probability that a run of `first` beats one of `second`; None if either is empty.

    The interval takes the arms as independent: for runs paired by seed it is too wide rather than too narrow.

    >>> probability_of_improvement([0.9, 0.8], [0.5, 0.8]).probability
    0.875
    """
    left, right = finite(first), finite(second)
    if not left.size or not right.size:
        return None
    wins = (left[:, None] > right).mean() + (left[:, None] == right).mean() / 2
    interval = None
    if min(left.size, right.size) > 1:
        low, high = _newcombe(float(wins), left.size, right.size, level=level)
        interval = Interval(low=low, high=high, method=f"Newcombe 5, {level:.0%}")
    return Improvement(probability=float(wins), interval=interval)


def _newcombe(found: float, num_first: int, num_second: int, *, level: float) -> tuple[float, float]:
    quantile = float(special.ndtri((1 + level) / 2))

    def excess(theta: float) -> float:
        return abs(theta - found) - quantile * _standard_error(theta, num_first, num_second)

    inside = min(max(found, NEAR), 1 - NEAR)  # at 0 and at 1 the standard error is 0: a root that is none
    low = 0.0 if found == 0 else float(optimize.brentq(excess, 0.0, inside))
    high = 1.0 if found == 1 else float(optimize.brentq(excess, inside, 1.0))
    return low, high


def _standard_error(theta: float, num_first: int, num_second: int) -> float:
    others = (num_first + num_second) / 2 - 1
    spread = 1 + others * (1 - theta) / (2 - theta) + others * theta / (1 + theta)
    return sqrt(theta * (1 - theta) * spread / (num_first * num_second))
