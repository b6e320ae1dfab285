"""Sixteen shapes as tests of points: whether (u, v), in units of the shape's radius and v upwards, lies inside.

No shape is another one turned by up to 30 degrees, and none fills the circle of radius one so nearly that it is a disc.
"""

from collections.abc import Callable
from math import cos, pi, sin
from typing import Any

import numpy as np
import numpy.typing as npt

Coordinates = npt.NDArray[np.floating[Any]]
Inside = npt.NDArray[np.bool_]
Outline = Callable[[Coordinates, Coordinates], Inside]


def _disc(u: Coordinates, v: Coordinates) -> Inside:
    return u**2 + v**2 < 0.9**2


def _square(u: Coordinates, v: Coordinates) -> Inside:
    return np.maximum(np.abs(u), np.abs(v)) < 0.76


def _triangle(u: Coordinates, v: Coordinates) -> Inside:
    return (v > -0.65) & (np.abs(u) < 0.58 * (0.95 - v))


def _star(u: Coordinates, v: Coordinates) -> Inside:
    """Between a tip at radius 1 and a notch at 0.42 the edge is straight."""
    fifth, notch = 2 * pi / 5, 0.42
    angle = np.abs(np.mod(np.arctan2(u, v) + fifth / 2, fifth) - fifth / 2)
    radius = np.hypot(u, v)
    along, across = radius * np.cos(angle), radius * np.sin(angle)
    notch_along, notch_across = notch * cos(pi / 5), notch * sin(pi / 5)
    return (1 - along) * notch_across > across * (1 - notch_along)


def _plus(u: Coordinates, v: Coordinates) -> Inside:
    low, high = np.minimum(np.abs(u), np.abs(v)), np.maximum(np.abs(u), np.abs(v))
    return (low < 0.28) & (high < 0.92)


def _ring(u: Coordinates, v: Coordinates) -> Inside:
    square = u**2 + v**2
    return (square < 0.92**2) & (square > 0.5**2)


def _crescent(u: Coordinates, v: Coordinates) -> Inside:
    return (u**2 + v**2 < 0.92**2) & ((u - 0.48) ** 2 + v**2 > 0.7**2)


def _heart(u: Coordinates, v: Coordinates) -> Inside:
    x, y = 1.25 * u, 1.25 * v + 0.1
    return (x**2 + y**2 - 1) ** 3 < x**2 * y**3


def _arrow(u: Coordinates, v: Coordinates) -> Inside:
    shaft = (np.abs(v) < 0.2) & (np.abs(u + 0.4) < 0.55)
    head = (u > 0) & (np.abs(v) < 0.8 * (0.95 - u))
    found: Inside = shaft | head
    return found


def _half_disc(u: Coordinates, v: Coordinates) -> Inside:
    return (v > -0.4) & (u**2 + (v + 0.4) ** 2 < 0.95**2)


def _letter_l(u: Coordinates, v: Coordinates) -> Inside:
    upright = (np.abs(u + 0.4) < 0.26) & (np.abs(v) < 0.9)
    found: Inside = upright | ((np.abs(u) < 0.66) & (np.abs(v + 0.64) < 0.26))
    return found


def _letter_t(u: Coordinates, v: Coordinates) -> Inside:
    upright = (np.abs(u) < 0.24) & (np.abs(v) < 0.88)
    found: Inside = upright | ((np.abs(u) < 0.82) & (np.abs(v - 0.64) < 0.25))
    return found


def _letter_u(u: Coordinates, v: Coordinates) -> Inside:
    found: Inside = (np.abs(u) < 0.78) & (np.abs(v) < 0.8) & ~((np.abs(u) < 0.34) & (v > -0.3))
    return found


def _letter_z(u: Coordinates, v: Coordinates) -> Inside:
    bars = (np.abs(u) < 0.72) & (np.abs(np.abs(v) - 0.66) < 0.2)
    found: Inside = bars | ((np.abs(v) < 0.66) & (np.abs(u - 0.75 * v) < 0.26))
    return found


def _bar(u: Coordinates, v: Coordinates) -> Inside:
    return (np.abs(u) < 0.96) & (np.abs(v) < 0.34)


def _bow_tie(u: Coordinates, v: Coordinates) -> Inside:
    return (np.abs(u) < 0.88) & (np.abs(v) < 0.1 + 0.75 * np.abs(u))


SHAPES: dict[str, Outline] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "plus": _plus,
    "ring": _ring,
    "crescent": _crescent,
    "heart": _heart,
    "arrow": _arrow,
    "half_disc": _half_disc,
    "letter_l": _letter_l,
    "letter_t": _letter_t,
    "letter_u": _letter_u,
    "letter_z": _letter_z,
    "bar": _bar,
    "bow_tie": _bow_tie,
}
"""The shapes by name; the place of one is its class."""
