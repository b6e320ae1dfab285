"""Statistics of few seeds: intervals of a mean, of a share, of a paired difference, and the exact sign-flip test.

Pure functions over arrays of finite numbers. One value has no spread, so it has no interval: None, never a width of 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy import special

LEVEL = 0.95
"""The nominal coverage of every interval in a report."""

MOST_EXACT_PAIRS = 24
"""Up to here every sign pattern is counted; above it the normal approximation of the same distribution serves."""

EXACT = "sign-flip, exact"
APPROXIMATE = "sign-flip, normal approximation"

Values = Sequence[float] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A closed interval and the method, with its nominal coverage, that it comes from."""

    low: float
    high: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """The mean difference of pairs, its t interval, the sign-flip p and the smallest p so many pairs can give."""

    num_pairs: int
    mean: float
    interval: Interval | None
    p: float
    smallest_p: float
    p_method: str


def t_interval(values: Values, *, level: float = LEVEL) -> Interval | None:
    """Student's t interval of the mean of independent values; None for fewer than two."""
    given = _finite(values)
    if given.size < 2:
        return None
    half = _t_quantile(given.size - 1, level) * float(given.std(ddof=1)) / sqrt(given.size)
    mean = float(given.mean())
    return Interval(low=mean - half, high=mean + half, method=f"t, {level:.0%}")


def bca_interval(
    values: Values, *, generator: np.random.Generator, level: float = LEVEL, num_resamples: int = 10_000
) -> Interval | None:
    """Bias-corrected and accelerated bootstrap interval of the mean (Efron 1987); None for fewer than two values."""
    given = _finite(values)
    if given.size < 2:
        return None
    method = f"BCa bootstrap, {level:.0%}"
    if np.ptp(given) == 0:
        return Interval(low=float(given[0]), high=float(given[0]), method=method)
    means = given[generator.integers(0, given.size, (num_resamples, given.size))].mean(axis=1)
    bias = special.ndtri(((means < given.mean()).mean() + (means <= given.mean()).mean()) / 2)
    left_out = (given.sum() - given) / (given.size - 1)
    deviations = left_out.mean() - left_out
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    normal = bias + special.ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(means, special.ndtr(bias + normal / (1 - acceleration * normal)))
    return Interval(low=float(low), high=float(high), method=method)


def wilson_interval(num_successes: int, num_trials: int, *, level: float = LEVEL) -> Interval | None:
    """Wilson's score interval of a share; None without trials. Raises ValueError unless 0 ≤ successes ≤ trials."""
    if not 0 <= num_successes <= num_trials:
        raise ValueError(f"num_successes is {num_successes}: give 0 to num_trials = {num_trials}")
    if num_trials == 0:
        return None
    quantile = float(special.ndtri((1 + level) / 2))
    share, weight = num_successes / num_trials, quantile**2 / num_trials
    centre = share + weight / 2
    half = quantile * sqrt(share * (1 - share) / num_trials + weight / (4 * num_trials))
    low = 0.0 if num_successes == 0 else (centre - half) / (1 + weight)
    high = 1.0 if num_successes == num_trials else (centre + half) / (1 + weight)
    return Interval(low=low, high=high, method=f"Wilson, {level:.0%}")


def paired_difference(differences: Values, *, level: float = LEVEL) -> PairedDifference | None:
    """What the differences of pairs tell about their mean; None without pairs."""
    given = _finite(differences)
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
    given = _finite(differences)
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


def _signed_sums(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Σ ±values for every pattern of signs; one 0 for no values."""
    return _signs(values.size) @ values


@cache
def _signs(num: int) -> npt.NDArray[np.float64]:
    return np.array(list(product((-1.0, 1.0), repeat=num)), dtype=np.float64).reshape(2**num, num)


@cache
def _t_quantile(degrees: int, level: float) -> float:
    return float(special.stdtrit(degrees, (1 + level) / 2))


def _finite(values: Values) -> npt.NDArray[np.float64]:
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1 or not np.isfinite(given).all():
        raise ValueError(f"values are {given!r}: give one row of finite numbers, missing ones left out")
    return given
