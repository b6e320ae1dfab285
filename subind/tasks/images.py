"""The images of a task by what they are for: training, validation, test, and those of two cues in conflict.

Drawn images of different use have different indices, and photographs are split by their names, so that nothing is
evaluated on what it was trained on. `folder` is where photographs are (see `photographs.py`); drawn images need
none.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from subind.specs.base import behaviour
from subind.specs.images import MOST_IMAGES, NUM_CLASSES, ClassWeights, ImageTask
from subind.tasks.cue_conflict import IMAGENET16
from subind.tasks.drawn import shapes
from subind.tasks.drawn.outlines import SHAPES
from subind.tasks.drawn.textures import TEXTURES
from subind.tasks.photographs import folder as photographs
from subind.tasks.photographs import image_crops
from subind.tasks.photographs.stored_images import StoredImages, stored_joined
from subind.tasks.task import PackOrder

Use = Literal["train", "validation", "test"]
Kind = Literal["original", "mean_pooled"]
Pixels = UInt8[Tensor, "*image 3 row column"]

_FIRST: dict[Use, int] = {"train": 0, "validation": 2**30, "test": 2**31}
_FIRST_CONFLICT = 3 * 2**30

_MIDDLE, _SPREAD = 0.5, 0.25
"""Of drawn pixels in 0 … 1, by which they are normalised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Pixels, and the class of each image."""

    pixels: UInt8[Tensor, "image 3 row column"]
    labels: Int[Tensor, " image"]

    def at(self, rows: Int[Tensor, " chosen"]) -> "Images":
        """The images at the given places among these."""
        return Images(pixels=self.pixels[rows], labels=self.labels[rows])

    def on(self, device: str) -> "Images":
        """The images on a device."""
        return Images(pixels=self.pixels.to(device), labels=self.labels.to(device))


TrainingImages = Images | StoredImages
"""In memory, or on disk: photographs are too many to be held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictImages:
    """Pixels, and the classes of the two cues of each image."""

    pixels: UInt8[Tensor, "image 3 row column"]
    shapes: npt.NDArray[np.int64]
    textures: npt.NDArray[np.int64]

    def on(self, device: str) -> "ConflictImages":
        """The images with their pixels on a device."""
        return replace(self, pixels=self.pixels.to(device))


class ImageBehaviour(ABC):
    """What the tasks on images share. `class_names` are in the order of the classes' numbers."""

    class_names: tuple[str, ...]

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    @abstractmethod
    def training_images(self, kind: Kind, num_images: int, *, folder: str) -> TrainingImages:
        """The first training images. Raises ValueError if there are fewer."""

    @abstractmethod
    def images(self, use: Use, kind: Kind, num_images: int, *, folder: str) -> Images:
        """The first images of a use. Raises ValueError if there are fewer."""

    @abstractmethod
    def conflict_images(self, num_images: int, *, folder: str) -> ConflictImages:
        """Images of two cues. Raises ValueError if there is another number of them."""

    @abstractmethod
    def normalised(self, pixels: Pixels) -> Float[Tensor, "*image 3 row column"]:
        """Pixels about zero, in float32, on their device."""

    def captions(self, use: Use, labels: Int[Tensor, " image"]) -> list[str]:
        """What is to be seen on each of the first images of a use, which have these labels."""
        return [self.class_names[label] for label in labels.tolist()]

    def conflict_captions(self, conflicts: ConflictImages) -> list[str]:
        """The classes of the two cues of each image, on two lines."""
        pairs = zip(conflicts.shapes, conflicts.textures, strict=True)
        return [f"{self.class_names[shape]}\n{self.class_names[texture]}" for shape, texture in pairs]

    @staticmethod
    def pack(tasks: Sequence["ImageBehaviour"], order: PackOrder) -> Any:
        """The tasks of a pack, which share the images of one task on the device."""
        from subind.tasks.image_pack import ImagesPack  # reads this module

        return ImagesPack(tasks, order)


class DrawnImages(ImageBehaviour):
    """Drawn images, in memory; conflicts are the pairs of a shape and the texture of another class in turn."""

    class_names = tuple(SHAPES)

    def training_images(self, kind: Kind, num_images: int, *, folder: str = "") -> Images:
        return self.images("train", kind, num_images)

    def images(self, use: Use, kind: Kind, num_images: int, *, folder: str = "") -> Images:
        drawn = shapes.drawn(self.spec, _indices(_FIRST[use], num_images))
        pictures = drawn.images if kind == "original" else shapes.mean_pooled(drawn.images, drawn.segments)
        return Images(pixels=_channels_first(pictures), labels=torch.from_numpy(drawn.labels))

    def conflict_images(self, num_images: int, *, folder: str = "") -> ConflictImages:
        drawn = shapes.cue_conflict(self.spec, _indices(_FIRST_CONFLICT, num_images))
        return ConflictImages(pixels=_channels_first(drawn.images), shapes=drawn.shapes, textures=drawn.textures)

    def captions(self, use: Use, labels: Int[Tensor, " image"]) -> list[str]:
        drawn = shapes.drawn(self.spec, _indices(_FIRST[use], len(labels)))
        return _shapes_and_textures(drawn.shapes, drawn.textures)

    def conflict_captions(self, conflicts: ConflictImages) -> list[str]:
        return _shapes_and_textures(conflicts.shapes, conflicts.textures)

    def normalised(self, pixels: Pixels) -> Float[Tensor, "*image 3 row column"]:
        return pixels.float().mul_(1 / (255 * _SPREAD)).sub_(_MIDDLE / _SPREAD)


class PhotographImages(ImageBehaviour):
    """Photographs of a folder, normalised as ImageNet's are; those for training stay on disk."""

    class_names = IMAGENET16

    def training_images(self, kind: Kind, num_images: int, *, folder: str) -> StoredImages:
        return photographs.training_images(self.spec, kind, num_images, folder=folder)

    def images(self, use: Use, kind: Kind, num_images: int, *, folder: str) -> Images:
        assert use != "train", "training photographs stay on disk"
        pixels, labels = photographs.evaluation_images(self.spec, use, kind, num_images, folder=folder)
        return Images(pixels=pixels, labels=labels)

    def conflict_images(self, num_images: int, *, folder: str) -> ConflictImages:
        pixels, of_shape, of_texture = photographs.conflict_images(self.spec, num_images, folder=folder)
        return ConflictImages(pixels=pixels, shapes=of_shape, textures=of_texture)

    def normalised(self, pixels: Pixels) -> Float[Tensor, "*image 3 row column"]:
        return image_crops.normalised(pixels)


def training_images(task: ImageTask, kind: Kind, num_images: int, *, folder: str = "") -> TrainingImages:
    """The first training images, as they are or mean-pooled. Raises ValueError if the folder has fewer."""
    images: TrainingImages = behaviour(task).training_images(kind, num_images, folder=folder)
    return images


def images(task: ImageTask, use: Use, kind: Kind, num_images: int, *, folder: str = "") -> Images:
    """The first images of a use, as they are or mean-pooled; training photographs are never held.

    Raises ValueError if the folder has fewer.
    """
    images: Images = behaviour(task).images(use, kind, num_images, folder=folder)
    return images


def conflict_images(task: ImageTask, num_images: int, *, folder: str = "") -> ConflictImages:
    """Images whose shape is of one class and texture of another.

    Raises ValueError if the folder has another number of them.
    """
    conflicts: ConflictImages = behaviour(task).conflict_images(num_images, folder=folder)
    return conflicts


def class_names(task: ImageTask) -> tuple[str, ...]:
    """The names of the classes, in the order of their numbers; of drawn images those of the shapes."""
    names: tuple[str, ...] = behaviour(task).class_names
    return names


def class_weights(weights: ClassWeights, labels: Int[Tensor, " image"]) -> Float[Tensor, " class"]:
    """The weight of every class: one, or all images over 16 times those of the class."""
    if weights == "equal":
        return torch.ones(NUM_CLASSES)
    counts = torch.bincount(labels, minlength=NUM_CLASSES).clamp(min=1)
    return len(labels) / (NUM_CLASSES * counts)


def joined(several: Sequence[TrainingImages]) -> TrainingImages:
    """The images of one task one after another."""
    on_disk = [each for each in several if isinstance(each, StoredImages)]
    held = [each for each in several if isinstance(each, Images)]
    if on_disk:
        assert not held, "the images of a task are all in memory or all on disk"
        return stored_joined(on_disk)
    return Images(pixels=torch.cat([each.pixels for each in held]), labels=torch.cat([each.labels for each in held]))


def no_images() -> Images:
    """No image at all."""
    return Images(pixels=torch.empty(0, 3, 1, 1, dtype=torch.uint8), labels=torch.empty(0, dtype=torch.int64))


def repeated(given: TrainingImages, num_images: int) -> TrainingImages:
    """That many images, the given ones over and over in turn."""
    return given.at(torch.arange(num_images) % len(given.labels))


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
    if count > MOST_IMAGES:
        raise ValueError(
            f"{count} drawn images are asked for: there are {MOST_IMAGES} of each use; give that many at most"
        )
    return np.arange(first, first + count, dtype=np.int64)


def _shapes_and_textures(of_shape: npt.NDArray[np.int64], of_texture: npt.NDArray[np.int64]) -> list[str]:
    first, second = ([name.replace("_", " ") for name in names] for names in (SHAPES, TEXTURES))
    return [f"{first[shape]}\n{second[texture]}" for shape, texture in zip(of_shape, of_texture, strict=True)]


def _channels_first(pictures: npt.NDArray[np.uint8]) -> UInt8[Tensor, "image 3 row column"]:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
