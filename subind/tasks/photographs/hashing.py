"""Numbers that depend on their indices alone: the images of an index are the same whatever else is drawn."""

import numpy as np
import numpy.typing as npt

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def uniform(*indices: npt.NDArray[np.uint64] | int) -> npt.NDArray[np.float32]:
    """Numbers uniform on [0, 1) by the given indices, which are broadcast against each other.

    The finaliser of SplitMix64 (Steele, Lea, Flood 2014) once an index, over what the earlier ones gave.
    """
    found = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for index in indices:
            found = _mixed(found * _STEP + np.asarray(index, np.uint64) + _STEP)
    return (found >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _mixed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    mixed: npt.NDArray[np.uint64] = words ^ (words >> np.uint64(31))
    return mixed
