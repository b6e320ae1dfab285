"""Intervals of a mean or a median over seeds, and of a share of seeds.

One value has no spread, so it has no interval: None, never a width of 0.
"""

from functools import cache
from math import sqrt
from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.statistics.values import LEVEL, Array, Interval, Values, finite

Statistic = Literal["mean", "median"]


def t_interval(values: Values, *, level: float = LEVEL) -> Interval | None:
    """Student's t interval of the mean of independent values; None for fewer than two.

    >>> t_interval([0.5, 0.6, 0.7]).low
    0.351...
    """
    given = finite(values)
    if given.size < 2:
        return None
    half = t_quantile(given.size - 1, level) * float(given.std(ddof=1)) / sqrt(given.size)
    mean = float(given.mean())
    return Interval(low=mean - half, high=mean + half, method=f"t, {level:.0%}")


def bca_interval(
    values: Values,
    *,
    generator: np.random.Generator,
    statistic: Statistic = "mean",
    level: float = LEVEL,
    num_resamples: int = 10_000,
) -> Interval | None:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987); None for fewer than two values."""
    given = finite(values)
    (found,) = bca_intervals(
        given[None], generator=generator, statistic=statistic, level=level, num_resamples=num_resamples
    )
    return found


def bca_intervals(
    samples: Array,
    *,
    generator: np.random.Generator,
    statistic: Statistic = "mean",
    level: float = LEVEL,
    num_resamples: int = 10_000,
) -> list[Interval | None]:
    """The BCa interval of every row of `samples` (samples × values), all from the same resampled places.

    With so few values a resample often has the same statistic as the sample itself; that counts half on either side.
    """
    num_values = samples.shape[1]
    if num_values < 2:
        return [None] * len(samples)
    places = generator.integers(0, num_values, (num_resamples, num_values))
    tails = special.ndtri([(1 - level) / 2, (1 + level) / 2])
    method = f"BCa bootstrap of the {statistic}, {level:.0%}"
    return [_bca(sample, places, statistic=statistic, tails=tails, method=method) for sample in samples]


def _bca(sample: Array, places: npt.NDArray[np.int64], *, statistic: Statistic, tails: Array, method: str) -> Interval:
    if np.ptp(sample) == 0:
        return Interval(low=float(sample[0]), high=float(sample[0]), method=method)
    resampled = np.sort(_statistic(sample[places], statistic))
    slack = 1e-12 * float(np.abs(sample).max())
    observed = float(_statistic(sample[None], statistic)[0])
    below, up_to = np.searchsorted(resampled, [observed - slack, observed + slack]) / resampled.size
    bias = special.ndtri((below + up_to) / 2)
    probabilities = special.ndtr(bias + (bias + tails) / (1 - _acceleration(sample, statistic) * (bias + tails)))
    low, high = np.interp(probabilities * (resampled.size - 1), np.arange(resampled.size), resampled)
    return Interval(low=float(low), high=float(high), method=method)


def _statistic(samples: Array, statistic: Statistic) -> Array:
    """The statistic of every row."""
    match statistic:
        case "mean":
            means: Array = samples.mean(axis=1)
            return means
        case "median":
            medians: Array = np.median(samples, axis=1)
            return medians
        case _:
            assert_never(statistic)


def _acceleration(sample: Array, statistic: Statistic) -> float:
    """From the jackknife; 0 where leaving a value out never moves the statistic."""
    others = sample[np.nonzero(~np.eye(sample.size, dtype=bool))[1].reshape(sample.size, -1)]
    left_out = _statistic(others, statistic)
    deviations = left_out.mean() - left_out
    scale = float((deviations**2).sum()) ** 1.5
    return float((deviations**3).sum()) / (6 * scale) if scale else 0.0


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


@cache
def t_quantile(degrees: int, level: float) -> float:
    """The two-sided quantile of Student's t."""
    return float(special.stdtrit(degrees, (1 + level) / 2))
