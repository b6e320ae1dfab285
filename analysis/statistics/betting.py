"""Tests and intervals of a mean of values from 0 to 1 that hold at any number of seeds, however often one looks.

Whoever doubts "the mean is at most m" bets on every value x: a fraction f of the stake turns into f·x / m, which is a
fair game at best where the doubt is wrong. Half of the capital bets whole (f = 1), half is spread evenly over all
fractions from 0 to 1:

    e = ½ Π (x / m) + ½ ∫ Π (1 + f·(x / m − 1)) df

Where the mean is at most m, e starts at 1 and is a nonnegative supermartingale, so it ever reaches 1 / α with a chance
of at most α (Ville 1939); no shape of the values is assumed, only that they are independent and of one distribution. It
is the same for every order of the values. A share is the mean of zeros and ones. Waudby-Smith and Ramdas (2024),
"Estimating means of bounded random variables by betting", describe the family.
"""

from functools import cache

import numpy as np
from scipy import optimize, special

from analysis.statistics.values import LEVEL, Array, Interval, Values, finite

NUM_FRACTIONS = 64
"""Gauss–Legendre nodes of the integral: exact up to 127 values, and a fair game at any number of them."""

NEAR = 1e-9
"""How near to 0 and to 1 the ends of an interval are looked for."""


def log_capital(values: Array, *, bound: float) -> Array:
    """The logarithm of e against "the mean is at most `bound`" after each value, along the last axis.

    Raises ValueError unless the values are from 0 to 1 and the bound is between.

    >>> log_capital(np.ones(2), bound=0.5).round(6).tolist()
    [0.559616, 1.15268]
    """
    _check(values, bound)
    fractions, shares = _bets()
    gains = values[..., None] / bound - 1
    with np.errstate(divide="ignore"):
        logs = np.cumsum(np.log1p(fractions * gains), axis=-2)
    return np.asarray(special.logsumexp(logs, b=shares, axis=-1), dtype=np.float64)


def betting_interval(values: Values, *, level: float = LEVEL) -> Interval | None:
    """The means that neither bet refutes at half of the error each; None without values.

    It covers the mean at all numbers of values at once.
    """
    given = finite(values)
    if given.size == 0:
        return None
    needed = np.log(2 / (1 - level))
    low = _refuted_up_to(given, needed)
    high = 1 - _refuted_up_to(1 - given, needed)
    return Interval(low=low, high=high, method=f"betting, {level:.0%} at any number of values")


def smallest_betting_p(num_values: int, *, bound: float) -> float:
    """The smallest p = 1 / e that this many values can give: all of them 1, or all 0.

    >>> round(smallest_betting_p(6, bound=0.5), 4)
    0.0243
    """
    if num_values == 0:
        return 1.0
    ones = np.ones(num_values)
    return float(np.exp(-max(log_capital(ones, bound=end)[-1] for end in (bound, 1 - bound))))


@cache
def _bets() -> tuple[Array, Array]:
    """The fractions that are bet, and the share of the capital on each."""
    nodes, weights = np.polynomial.legendre.leggauss(NUM_FRACTIONS)
    return np.append((nodes + 1) / 2, 1.0), np.append(weights / 4, 0.5)


def _refuted_up_to(values: Array, needed: float) -> float:
    """The largest bound that the bet on values above it refutes; 0 if it refutes none."""

    def excess(bound: float) -> float:
        return float(log_capital(values, bound=bound)[-1]) - needed

    if excess(NEAR) < 0:
        return 0.0
    return float(optimize.brentq(excess, NEAR, 1 - NEAR)) if excess(1 - NEAR) < 0 else 1.0


def _check(values: Array, bound: float) -> None:
    if not 0 < bound < 1:
        raise ValueError(f"bound is {bound}: give a number between 0 and 1")
    if values.size and (values.min() < 0 or values.max() > 1):
        raise ValueError(f"values are {values!r}: give numbers from 0 to 1")
