"""Differences paired by seed: their mean, its interval, and the sign-flip test."""

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from analysis.statistics.intervals import t_interval
from analysis.statistics.values import LEVEL, Array, Interval, Values, finite

MOST_EXACT_PAIRS = 24
"""Up to here every pattern of signs is counted; above it as many are drawn as NUM_PATTERNS says."""

NUM_PATTERNS = 9_999
"""With the signs that were found they are 10,000, so that p is a multiple of 1 / 10,000."""

TIED = 1e-9
"""A difference of less than this part of the largest is none: it is what adding floats leaves."""

EXACT = "sign-flip, exact"
DRAWN = f"sign-flip, {NUM_PATTERNS:,} patterns drawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """The mean difference of pairs, its t interval, the sign-flip p and the smallest p that these pairs can give.

    Pairs without a difference count in the mean and the interval; they tell nothing about signs, so p and the smallest
    p are those of the other pairs.
    """

    num_pairs: int
    mean: float
    interval: Interval | None
    p: float
    smallest_p: float
    p_method: str


def paired_difference(differences: Values, *, level: float = LEVEL) -> PairedDifference | None:
    """What the differences of pairs tell about their mean; None without pairs.

    >>> paired_difference([0.1, 0.2, 0.3]).p
    0.25
    """
    given = finite(differences)
    if given.size == 0:
        return None
    num_untied = _untied(given).size
    return PairedDifference(
        num_pairs=given.size,
        mean=float(given.mean()),
        interval=t_interval(given, level=level),
        p=sign_flip_p(given),
        smallest_p=smallest_sign_flip_p(num_untied),
        p_method=EXACT if num_untied <= MOST_EXACT_PAIRS else DRAWN,
    )


def sign_flip_p(differences: Values) -> float:
    """Two-sided p of the mean difference when every sign is a fair coin: the share of sign patterns as extreme.

    Differences of 0 are left out, for a sign changes nothing there; 1 if none is left. Of up to MOST_EXACT_PAIRS all
    2^n patterns are counted, by pairing the sums of two halves. Of more, NUM_PATTERNS are drawn, always the same, and
    the pattern that was found counts with them. Raises ValueError without differences.

    The test is exact if the differences are distributed alike above and below 0. It does not test a mean where they are
    not.
    """
    given = finite(differences)
    if given.size == 0:
        raise ValueError("differences is empty: give at least one pair")
    untied = _untied(given)
    threshold = abs(float(untied.sum())) - 1e-9 * float(np.abs(untied).sum())
    if threshold <= 0:
        return 1.0
    if untied.size > MOST_EXACT_PAIRS:
        return (1 + _num_extreme(untied, threshold)) / (1 + NUM_PATTERNS)
    half = untied.size // 2
    first, second = _signed_sums(untied[:half]), np.sort(_signed_sums(untied[half:]))
    above = second.size - np.searchsorted(second, threshold - first, side="left")
    return float(2 * above.sum() / 2**untied.size)


def smallest_sign_flip_p(num_untied: int) -> float:
    """The smallest two-sided p that this many differences other than 0 can give: all of one sign, in either direction.

    >>> smallest_sign_flip_p(4)
    0.125
    """
    if num_untied < 0:
        raise ValueError(f"num_untied is {num_untied}: give 0 or more")
    exact = float(2.0 ** min(0, 1 - num_untied))
    return exact if num_untied <= MOST_EXACT_PAIRS else 1 / (1 + NUM_PATTERNS)


def _untied(differences: Array) -> Array:
    sizes = np.abs(differences)
    untied: Array = differences[sizes > TIED * sizes.max(initial=0.0)]
    return untied


def _num_extreme(differences: Array, threshold: float) -> int:
    """How many of the drawn patterns have a sum at least as far from 0 as the threshold."""
    draws, found = np.random.default_rng(differences.size), 0
    at_once = max(1, 2_000_000 // differences.size)
    for start in range(0, NUM_PATTERNS, at_once):
        num = min(at_once, NUM_PATTERNS - start)
        signs = draws.integers(0, 2, (num, differences.size), dtype=np.int8) * 2.0 - 1
        found += int((np.abs(signs @ differences) >= threshold).sum())
    return found


def _signed_sums(values: Array) -> Array:
    """Σ ±values for every pattern of signs; one 0 for no values."""
    return _signs(values.size) @ values


@cache
def _signs(num: int) -> Array:
    return np.array(list(product((-1.0, 1.0), repeat=num)), dtype=np.float64).reshape(2**num, num)
