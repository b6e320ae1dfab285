"""Many p values: Holm inside a declared family, Benjamini and Hochberg where one explores."""

import numpy as np

from analysis.statistics.values import Array, Values, finite


def holm(p_values: Values) -> Array:
    """Holm's adjusted p of each (Holm 1979): at most α wherever the family-wise error at α allows to reject.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    given = _probabilities(p_values)
    order = np.argsort(given, kind="stable")
    found = np.empty_like(given)
    scaled = given[order] * np.arange(given.size, 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return found


def benjamini_hochberg(p_values: Values) -> Array:
    """The adjusted p of each by Benjamini and Hochberg (1995), for a false discovery rate.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    given = _probabilities(p_values)
    order = np.argsort(given, kind="stable")
    found = np.empty_like(given)
    scaled = given[order] * given.size / np.arange(1, given.size + 1)
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return found


def _probabilities(p_values: Values) -> Array:
    given = finite(p_values)
    if ((given < 0) | (given > 1)).any():
        raise ValueError(f"p_values are {given!r}: give probabilities from 0 to 1")
    return given
