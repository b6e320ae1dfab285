"""Sixteen textures as brightness in 0 … 1 over a plane: of points (x, y) in periods of the texture.

Points are arrays [image row column]; `key` is one integer an image, from which the irregular textures are drawn. Rings
and rays have their centre at the origin.
"""

from collections.abc import Callable
from math import pi
from typing import Any

import numpy as np
import numpy.typing as npt

from subind.tasks.photographs.hashing import uniform

Field = npt.NDArray[np.floating[Any]]
Keys = npt.NDArray[np.uint64]
Texture = Callable[[Field, Field, Keys], Field]


def _fraction(x: Field) -> Field:
    return x - np.floor(x)


def _white(inside: npt.NDArray[np.bool_]) -> Field:
    return inside.astype(np.float32)


_TILE = 64
"""Cells of a lattice along each axis before its numbers come again."""


def _numbers(key: Keys, layer: int) -> Field:
    """A number for each cell of an image's lattice, [image cell]."""
    return uniform(key[:, None], layer, np.arange(_TILE**2, dtype=np.uint64))


def _at(numbers: Field, column: Field, row: Field) -> Field:
    """The numbers of the cells with these whole coordinates."""
    cells = ((row.astype(np.int32) % _TILE) * _TILE + column.astype(np.int32) % _TILE).reshape(len(numbers), -1)
    return np.take_along_axis(numbers, cells, axis=1).reshape(column.shape)


def smooth_noise(x: Field, y: Field, key: Keys) -> Field:
    """Numbers of the lattice's points, smoothly between them."""
    column, row = np.floor(x), np.floor(y)
    right, down = (ease(each) for each in (x - column, y - row))
    numbers = _numbers(key, 0)
    above = (1 - right) * _at(numbers, column, row) + right * _at(numbers, column + 1, row)
    below = (1 - right) * _at(numbers, column, row + 1) + right * _at(numbers, column + 1, row + 1)
    return (1 - down) * above + down * below


def ease(part: Field) -> Field:
    """From 0 to 1 with no slope at either end."""
    return part * part * (3 - 2 * part)


def _stripes(x: Field, y: Field, key: Keys) -> Field:
    return _white(_fraction(x) < 0.5)


def _checks(x: Field, y: Field, key: Keys) -> Field:
    return _white((np.floor(1.6 * x) + np.floor(1.6 * y)) % 2 == 0)


def _dots(x: Field, y: Field, key: Keys) -> Field:
    return _white((_fraction(x) - 0.5) ** 2 + (_fraction(y) - 0.5) ** 2 < 0.32**2)


def _grid(x: Field, y: Field, key: Keys) -> Field:
    return _white(np.minimum(_fraction(x), _fraction(y)) < 0.24)


def _zigzag(x: Field, y: Field, key: Keys) -> Field:
    return _white(_fraction(y + np.abs(2 * _fraction(0.6 * x) - 1)) < 0.5)


def _ramps(x: Field, y: Field, key: Keys) -> Field:
    return _fraction(0.6 * x)


def _rings(x: Field, y: Field, key: Keys) -> Field:
    return _white(_fraction(np.hypot(x, y)) < 0.5)


def _bricks(x: Field, y: Field, key: Keys) -> Field:
    row = np.floor(1.1 * y)
    mortar = np.minimum(_fraction(0.6 * x + 0.5 * row) / 0.6, _fraction(1.1 * y) / 1.1)
    return _white(mortar > 0.2)


def _noise(x: Field, y: Field, key: Keys) -> Field:
    return _at(_numbers(key, 1), np.floor(6 * x), np.floor(6 * y))


def _blotches(x: Field, y: Field, key: Keys) -> Field:
    return _white(smooth_noise(1.2 * x, 1.2 * y, key) > 0.5)


def _cells(x: Field, y: Field, key: Keys) -> Field:
    """Dark walls between the nearest of scattered points and the next one."""
    column, row = np.floor(x), np.floor(y)
    across_of, along_of = _numbers(key, 2), _numbers(key, 3)
    nearest = np.full_like(x, 9)
    second = np.full_like(x, 9)
    for right in (-1, 0, 1):
        for down in (-1, 0, 1):
            across = column + right + 0.1 + 0.8 * _at(across_of, column + right, row + down) - x
            along = row + down + 0.1 + 0.8 * _at(along_of, column + right, row + down) - y
            distance = np.hypot(across, along)
            second = np.minimum(second, np.maximum(nearest, distance))
            nearest = np.minimum(nearest, distance)
    return _white(second - nearest > 0.14)


def _crosses(x: Field, y: Field, key: Keys) -> Field:
    across, along = np.abs(_fraction(0.8 * x) - 0.5), np.abs(_fraction(0.8 * y) - 0.5)
    return _white((np.minimum(across, along) < 0.11) & (np.maximum(across, along) < 0.38))


def _triangles(x: Field, y: Field, key: Keys) -> Field:
    return _white(_fraction(0.8 * y) > np.abs(2 * _fraction(0.8 * x) - 1))


def _scales(x: Field, y: Field, key: Keys) -> Field:
    """Arcs in rows, each shifted by half against the next."""
    row = np.floor(1.6 * y)
    across = _fraction(0.8 * x + 0.5 * row) - 0.5
    arc = np.hypot(across, 0.5 * _fraction(1.6 * y))
    return _white(np.abs(arc - 0.42) > 0.1)


def _rays(x: Field, y: Field, key: Keys) -> Field:
    return _white(_fraction(np.arctan2(y, x) * np.float32(7 / pi)) < 0.5)


def _dashes(x: Field, y: Field, key: Keys) -> Field:
    row = np.floor(1.3 * y)
    return _white((_fraction(1.3 * y) < 0.42) & (_fraction(0.5 * x + 0.37 * row) < 0.6))


TEXTURES: dict[str, Texture] = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "grid": _grid,
    "zigzag": _zigzag,
    "ramps": _ramps,
    "rings": _rings,
    "bricks": _bricks,
    "noise": _noise,
    "blotches": _blotches,
    "cells": _cells,
    "crosses": _crosses,
    "triangles": _triangles,
    "scales": _scales,
    "rays": _rays,
    "dashes": _dashes,
}
"""The textures by name; the place of one is its class."""
