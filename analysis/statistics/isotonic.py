"""How many samples reach an accuracy: isotonic regression over the sample counts, and where it crosses a threshold.

Between two counts the curve is a straight line over log10(1 + n). A curve that never reaches the threshold has no such
number: infinity here, "more than the most samples" in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.statistics.hierarchical import expanded
from analysis.statistics.values import LEVEL, Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """The number of samples at which a curve reaches a threshold, and its interval over seeds.

    `samples` is at most the first count where the curve starts above the threshold, and infinite where it never gets
    there. `low` and `high` are None for one seed.
    """

    samples: float
    low: float | None
    high: float | None
    num_seeds: int


def isotonic(values: Array, weights: Array) -> Array:
    """The nondecreasing curves nearest to `values` in weighted squares, row by row (curves × counts, weights > 0).

    By the max-min formula: the i-th value is the maximum over a ≤ i of the minimum over b ≥ i of the mean from a to b.
    """
    sums = np.cumsum(np.pad(values * weights, ((0, 0), (1, 0))), axis=1)
    totals = np.cumsum(np.pad(weights, ((0, 0), (1, 0))), axis=1)
    fitted = np.full_like(values, -np.inf)
    for first in range(values.shape[1]):
        means = (sums[:, first + 1 :] - sums[:, [first]]) / (totals[:, first + 1 :] - totals[:, [first]])
        lowest = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        fitted[:, first:] = np.maximum(fitted[:, first:], lowest)
    return fitted


def crossings(fitted: Array, counts: Array, *, threshold: float) -> Array:
    """Of each nondecreasing curve (curves × counts) the number of samples at which it reaches the threshold."""
    reached = fitted >= threshold
    place = reached.argmax(axis=1)
    before, rows = np.maximum(place - 1, 0), np.arange(len(fitted))
    low, high = fitted[rows, before], fitted[rows, place]
    position = np.log10(1 + counts)
    rise = np.where(high > low, high - low, 1.0)
    share = np.where(place > 0, (threshold - low) / rise, 1.0)
    between = 10 ** (position[before] + share * (position[place] - position[before])) - 1
    samples = np.where(share < 1, between, counts[place])  # powers and logarithms round differently by CPU
    return np.where(reached.any(axis=1), samples, np.inf)


def samples_to_reach(
    accuracies: Array,
    counts: Array,
    *,
    thresholds: Sequence[float],
    generator: np.random.Generator,
    level: float = LEVEL,
    num_resamples: int = 1_000,
) -> list[Crossing]:
    """Where the mean over seeds of `accuracies` (seeds × counts, NaN where a run is missing) crosses each threshold.

    Counts without a run are left out; there is no crossing at all if none is left. The interval resamples whole seeds,
    the same for every threshold, and its percentiles are expanded as those of a hierarchical interval are. `counts`
    rise.
    """
    present = np.isfinite(accuracies)
    some, seeds = present.any(axis=0), present.any(axis=1)
    if not some.any():
        return []
    given, marks = np.nan_to_num(accuracies[np.ix_(seeds, some)]), present[np.ix_(seeds, some)].astype(float)
    num_seeds, kept = len(given), counts[some]
    curve = _fitted(np.ones((1, num_seeds)), given, marks)
    found = [float(crossings(curve, kept, threshold=threshold)[0]) for threshold in thresholds]
    if num_seeds < 2:
        return [Crossing(samples=samples, low=None, high=None, num_seeds=num_seeds) for samples in found]
    draws = generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), num_resamples).astype(float)
    curves, tails = _fitted(draws, given, marks), expanded(num_seeds, level=level)
    ends = [
        np.quantile(crossings(curves, kept, threshold=threshold), tails, method="inverted_cdf")
        for threshold in thresholds
    ]
    return [
        Crossing(samples=samples, low=float(low), high=float(high), num_seeds=num_seeds)
        for samples, (low, high) in zip(found, ends, strict=True)
    ]


def _fitted(draws: Array, given: Array, marks: Array) -> Array:
    """The isotonic curves of the means under each weighting of the seeds (draws × seeds).

    A count that none of the drawn seeds has takes the mean over all seeds, with next to no weight.
    """
    weights = draws @ marks
    overall = (given * marks).sum(axis=0) / marks.sum(axis=0)
    means = np.where(weights > 0, draws @ (given * marks) / np.maximum(weights, 1), overall)
    return isotonic(means, np.maximum(weights, 1e-6))
