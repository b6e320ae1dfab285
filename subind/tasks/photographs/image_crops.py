"""Squares cut from cached photographs, for training and for evaluation: what `image_cache` keeps, as batches.

Random squares are those of torchvision's RandomCrop and RandomHorizontalFlip after Resize, central ones its CenterCrop.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache as remembered

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from subind.kernels import compiled as kernels
from subind.tasks.photographs.image_cache import ImageCache
from subind.tasks.photographs.imagenet16 import Indices

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels in 0 … 1, by which torchvision's models normalise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """Squares of a cache's images: the image's place, the first row and column, and whether it is mirrored."""

    places: Indices
    tops: Indices
    lefts: Indices
    is_flipped: npt.NDArray[np.bool_]
    size: int


Draws = npt.NDArray[np.float64]
"""Numbers uniform on [0, 1), three for each image [3 image]: of a random square its top, its left, its mirroring."""


def random_draws(num_images: int, generator: torch.Generator) -> Draws:
    """The numbers that random squares of that many images are made of."""
    found: Draws = torch.rand(3, num_images, generator=generator, dtype=torch.float64).numpy()
    return found


def random_crops(cache: ImageCache, places: Indices, *, size: int, draws: Draws) -> Crops:
    """Squares anywhere in their images, each place as likely as another, and every second one mirrored."""
    tops, lefts = (
        np.minimum(draw * (side[places] - size + 1), side[places] - size).astype(np.int64)
        for draw, side in zip(draws, (cache.heights, cache.widths), strict=False)
    )
    return Crops(places=places, tops=tops, lefts=lefts, is_flipped=draws[2] < 0.5, size=size)


def central_crops(cache: ImageCache, places: Indices, *, size: int) -> Crops:
    """The squares in the middle, as torchvision's CenterCrop has them: of two middles the one rounded to even."""
    tops, lefts = (np.rint((side[places] - size) / 2).astype(np.int64) for side in (cache.heights, cache.widths))
    return Crops(places=places, tops=tops, lefts=lefts, is_flipped=np.zeros(len(places), np.bool_), size=size)


def cut(cache: ImageCache, crops: Crops) -> UInt8[Tensor, "image 3 size size"]:
    """The squares' pixels, in the memory format channels_last. Raises ValueError if an image is smaller than that."""
    out = np.empty((len(crops.places), crops.size, crops.size, 3), np.uint8)
    cut_into(out, cache, crops, at=np.arange(len(crops.places)))
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def cut_into(out: npt.NDArray[np.uint8], cache: ImageCache, crops: Crops, *, at: Indices) -> None:
    """Write the squares' pixels to the places `at` of `out` [image row column channel]. Raises what `cut` raises."""
    short = np.minimum(cache.heights[crops.places], cache.widths[crops.places]).min(initial=crops.size)
    if short < crops.size:
        raise ValueError(f"size is {crops.size} and {cache.folder} has images of {short} pixels: give at most {short}")
    for number, place in enumerate(crops.places):
        kernels.crop(
            cache.shards[cache.shard_of[place]],
            cache.offsets[place],
            cache.widths[place],
            crops.tops[number],
            crops.lefts[number],
            crops.is_flipped[number],
            out[at[number]],
        )


def normalised(images: UInt8[Tensor, "*image 3 row column"]) -> Float[Tensor, "*image 3 row column"]:
    """Pixels less the channels' mean over their standard deviation, in float32, on the images' device.

    The result is in the memory format channels_last. Whole rows are scaled at once: a channel at a time takes a CPU
    five times as long.
    """
    factor, shift = _of_a_row(images.shape[-1], images.device)
    rows = images.movedim(-3, -1).flatten(-2)
    scaled: Tensor = rows.float().mul_(factor).sub_(shift)
    pixels: Tensor = scaled.unflatten(-1, (-1, 3))
    return pixels.movedim(-1, -3)


@remembered
def _of_a_row(width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Factor and shift of a row's numbers, kept on the device: a CUDA graph under capture admits no copy to it."""
    mean, std = (torch.tensor(each, device=device).repeat(width) for each in (MEAN, STD))
    return 1 / (255 * std), mean / std


def batches(
    cache: ImageCache, order: Sequence[Indices], *, size: int, generator: torch.Generator, ahead: int = 2
) -> Iterator[UInt8[Tensor, "image 3 size size"]]:
    """Randomly cut batches of the given places, `ahead` of them made in a thread while a step runs.

    What is drawn depends on the generator and the order alone. Raises what `cut` raises.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="images") as thread:
        waiting: list[Future[Tensor]] = []
        for places in order:
            draws = random_draws(len(places), generator)
            waiting.append(thread.submit(cut, cache, random_crops(cache, places, size=size, draws=draws)))
            if len(waiting) > ahead:
                yield waiting.pop(0).result()
        for each in waiting:
            yield each.result()
