"""Nested randomness: training seeds within mask draws. Whole groups are resampled first, then runs within each.

The bootstrap of few groups is too narrow, for it takes their spread with n in the place of n - 1 and normal tails for
those of Student's t. Its percentiles are moved outwards by both (Hesterberg 2015, "expanded percentile interval").
"""

from collections.abc import Sequence

import numpy as np
from scipy import special

from analysis.statistics.intervals import t_quantile
from analysis.statistics.values import LEVEL, Array, Interval, Values, finite


def hierarchical_interval(
    groups: Sequence[Values], *, generator: np.random.Generator, level: float = LEVEL, num_resamples: int = 4_000
) -> Interval | None:
    """Interval of the mean of the groups' means, groups and runs both being random; None for fewer than two groups.

    Raises ValueError for an empty group.
    """
    given = [finite(group) for group in groups]
    if any(group.size == 0 for group in given):
        raise ValueError("groups has an empty one: leave out the groups without a finished run")
    if len(given) < 2:
        return None
    means = _resampled_means(given, generator, num_resamples)
    low, high = np.quantile(means, expanded(len(given), level=level))
    return Interval(low=float(low), high=float(high), method=f"hierarchical bootstrap, {level:.0%}")


def expanded(num_groups: int, *, level: float = LEVEL) -> tuple[float, float]:
    """The two shares of a bootstrap distribution over so many groups between which an interval of the level lies."""
    wider = t_quantile(num_groups - 1, level) * np.sqrt(num_groups / (num_groups - 1))
    tail = float(special.ndtr(-wider))
    return tail, 1 - tail


def _resampled_means(groups: Sequence[Array], generator: np.random.Generator, num_resamples: int) -> Array:
    sizes = np.array([group.size for group in groups])
    padded = np.zeros((len(groups), sizes.max()))
    for place, group in enumerate(groups):
        padded[place, : group.size] = group
    chosen = generator.integers(0, len(groups), (num_resamples, len(groups)))
    within = np.floor(generator.random((num_resamples, len(groups), sizes.max())) * sizes[chosen][..., None])
    drawn = padded[chosen[..., None], within.astype(np.int64)]
    counted = np.arange(sizes.max()) < sizes[chosen][..., None]
    means: Array = (np.where(counted, drawn, 0.0).sum(axis=2) / sizes[chosen]).mean(axis=1)
    return means
