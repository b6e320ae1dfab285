"""What the statistics take and give: rows of finite numbers, and intervals that name their method."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
"""The nominal coverage of every interval in a report."""

Array = npt.NDArray[np.float64]
Values = Sequence[float] | Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A closed interval and the method, with its nominal coverage, that it comes from."""

    low: float
    high: float
    method: str


def finite(values: Values) -> Array:
    """The values as an array. Raises ValueError unless they are one row of finite numbers."""
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1 or not np.isfinite(given).all():
        raise ValueError(f"values are {given!r}: give one row of finite numbers, missing ones left out")
    return given
