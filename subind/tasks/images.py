"""The images of a task by what they are for: training, validation, test, and those of two cues in conflict.

Drawn images of different use have indices that never meet, so that nothing is evaluated on what it was trained on.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from subind.spec import ImageTask
from subind.tasks import shapes
from subind.tasks.outlines import SHAPES

Use = Literal["train", "validation", "test"]
Kind = Literal["original", "mean_pooled"]

_FIRST: dict[Use, int] = {"train": 0, "validation": 2**30, "test": 2**31}
_FIRST_CONFLICT = 3 * 2**30

_MIDDLE, _SPREAD = 0.5, 0.25
"""Of drawn pixels in 0 … 1, by which they are normalised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Pixels, and the class of each image."""

    pixels: UInt8[Tensor, "image 3 row column"]
    labels: Int[Tensor, " image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictImages:
    """Pixels, and the classes of the two cues of each image."""

    pixels: UInt8[Tensor, "image 3 row column"]
    shapes: npt.NDArray[np.int64]
    textures: npt.NDArray[np.int64]


def images(task: ImageTask, use: Use, kind: Kind, num_images: int) -> Images:
    """The first images of a use, as they are or mean-pooled."""
    drawn = shapes.drawn(task, _indices(_FIRST[use], num_images))
    pictures = drawn.images if kind == "original" else shapes.mean_pooled(drawn.images, drawn.segments)
    return Images(pixels=_channels_first(pictures), labels=torch.from_numpy(drawn.labels))


def conflict_images(task: ImageTask, num_images: int) -> ConflictImages:
    """Images whose shape is of one class and texture of another, the pairs of classes in turn."""
    drawn = shapes.cue_conflict(task, _indices(_FIRST_CONFLICT, num_images))
    return ConflictImages(pixels=_channels_first(drawn.images), shapes=drawn.shapes, textures=drawn.textures)


def class_names(task: ImageTask) -> tuple[str, ...]:
    """The names of the classes, in the order of their numbers: those of the shapes."""
    return tuple(SHAPES)


def joined(several: list[Images]) -> Images:
    """The images one after another."""
    return Images(
        pixels=torch.cat([each.pixels for each in several]), labels=torch.cat([each.labels for each in several])
    )


def repeated(given: Images, num_images: int) -> Images:
    """So many images, the given ones over and over in turn."""
    places = torch.arange(num_images) % len(given.labels)
    return Images(pixels=given.pixels[places], labels=given.labels[places])


def normalised(pixels: UInt8[Tensor, "*image 3 row column"]) -> Float[Tensor, "*image 3 row column"]:
    """Pixels about zero, in float32, on their device."""
    return pixels.float().mul_(1 / (255 * _SPREAD)).sub_(_MIDDLE / _SPREAD)


def moved_and_mirrored(
    pixels: UInt8[Tensor, "image 3 row column"], draws: Float[Tensor, "3 image"]
) -> UInt8[Tensor, "image 3 row column"]:
    """Images moved down and right by up to an eighth of their side, the edge repeated, and every second one mirrored.

    `draws` are uniform on [0, 1): for the way down, for the way right, and for the mirror.
    """
    side = pixels.shape[-1]
    most = side // 8
    down, right = (torch.floor(draws[:2] * (2 * most + 1)) - most).long()
    along = torch.arange(side, device=pixels.device)
    rows = (along - down[:, None]).clamp(0, side - 1)
    columns = (along - right[:, None]).clamp(0, side - 1)
    columns = torch.where(draws[2, :, None] < 0.5, side - 1 - columns, columns)
    place = torch.arange(len(pixels), device=pixels.device)[:, None, None]
    return pixels.permute(0, 2, 3, 1)[place, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def _indices(first: int, count: int) -> npt.NDArray[np.int64]:
    if count > 2**30:
        raise ValueError(f"{count} drawn images are asked for: there are {2**30} of each use; give that many at most")
    return np.arange(first, first + count, dtype=np.int64)


def _channels_first(pictures: npt.NDArray[np.uint8]) -> UInt8[Tensor, "image 3 row column"]:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
