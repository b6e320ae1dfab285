"""Differences paired by seed: their mean, its interval, and the exact sign-flip test."""

from dataclasses import dataclass
from functools import cache
from itertools import product
from math import ceil, log2

import numpy as np
from scipy import special

from analysis.statistics.intervals import t_interval
from analysis.statistics.values import LEVEL, Array, Interval, Values, finite

MOST_EXACT_PAIRS = 24
"""Up to here every sign pattern is counted; above it the normal approximation of the same distribution serves."""

EXACT = "sign-flip, exact"
APPROXIMATE = "sign-flip, normal approximation"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """The mean difference of pairs, its t interval, the sign-flip p and the smallest p so many pairs can give."""

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
    return PairedDifference(
        num_pairs=given.size,
        mean=float(given.mean()),
        interval=t_interval(given, level=level),
        p=sign_flip_p(given),
        smallest_p=smallest_sign_flip_p(given.size),
        p_method=EXACT if given.size <= MOST_EXACT_PAIRS else APPROXIMATE,
    )


def sign_flip_p(differences: Values) -> float:
    """Two-sided p of the mean difference when every sign is a fair coin: the share of sign patterns as extreme.

    All 2^n patterns are counted, by pairing the sums of two halves; above MOST_EXACT_PAIRS the sum of signed
    differences is taken as normal, with mean 0 and variance Σd². Raises ValueError without differences.
    """
    given = finite(differences)
    if given.size == 0:
        raise ValueError("differences is empty: give at least one pair")
    observed = abs(float(given.sum()))
    if given.size > MOST_EXACT_PAIRS:
        scale = float(np.sqrt((given**2).sum()))
        return 1.0 if scale == 0 else float(2 * special.ndtr(-observed / scale))
    threshold = observed - 1e-9 * float(np.abs(given).sum())
    if threshold <= 0:
        return 1.0
    half = given.size // 2
    first, second = _signed_sums(given[:half]), np.sort(_signed_sums(given[half:]))
    above = second.size - np.searchsorted(second, threshold - first, side="left")
    return float(2 * above.sum() / 2**given.size)


def smallest_sign_flip_p(num_pairs: int) -> float:
    """The smallest two-sided p that so many pairs can give: all signs alike, in either direction."""
    if num_pairs < 1:
        raise ValueError(f"num_pairs is {num_pairs}: give 1 or more")
    return float(2.0 ** (1 - num_pairs))


def fewest_pairs(p: float) -> int:
    """The fewest pairs whose smallest sign-flip p is at most `p`. Raises ValueError unless 0 < p ≤ 1.

    >>> fewest_pairs(0.05)
    6
    """
    if not 0 < p <= 1:
        raise ValueError(f"p is {p}: give a probability above 0")
    return 1 + max(0, ceil(-log2(p)))


def _signed_sums(values: Array) -> Array:
    """Σ ±values for every pattern of signs; one 0 for no values."""
    return _signs(values.size) @ values


@cache
def _signs(num: int) -> Array:
    return np.array(list(product((-1.0, 1.0), repeat=num)), dtype=np.float64).reshape(2**num, num)
