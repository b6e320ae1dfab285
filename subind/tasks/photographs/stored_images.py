"""Training images that stay in caches on disk: of each a square is cut whenever a batch is made."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from subind.tasks.photographs.image_cache import ImageCache
from subind.tasks.photographs.image_crops import Draws, central_crops, cut_into, random_crops
from subind.tasks.photographs.imagenet16 import Indices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredImages:
    """Images of which only labels are in memory; `size` is the side of the squares in pixels.

    `cache_of` [image] says in which of the caches an image is, `places` [image] where in it.
    """

    caches: tuple[ImageCache, ...]
    cache_of: Indices
    places: Indices
    labels: Int[Tensor, " image"]
    size: int

    def at(self, rows: Int[Tensor, " chosen"]) -> "StoredImages":
        """The images at the given places among these."""
        chosen = rows.numpy()
        return replace(self, cache_of=self.cache_of[chosen], places=self.places[chosen], labels=self.labels[rows])


def stored(cache: ImageCache, places: Indices, *, size: int) -> StoredImages:
    """Images of one cache."""
    labels = torch.from_numpy(cache.labels[places])
    return StoredImages(caches=(cache,), cache_of=np.zeros_like(places), places=places, labels=labels, size=size)


def stored_joined(several: Sequence[StoredImages]) -> StoredImages:
    """The images one after another; all are of one size."""
    starts = np.cumsum([0, *(len(each.caches) for each in several)])
    return StoredImages(
        caches=tuple(cache for each in several for cache in each.caches),
        cache_of=np.concatenate([each.cache_of + start for each, start in zip(several, starts, strict=False)]),
        places=np.concatenate([each.places for each in several]),
        labels=torch.cat([each.labels for each in several]),
        size=several[0].size,
    )


def write_squares(out: npt.NDArray[np.uint8], of: StoredImages, rows: Indices, draws: Draws | None) -> None:
    """Write the images at `rows` to `out` [row size size channel], each the middle of its photograph.

    With `draws`, which are for all of the images, it is a random square, mirrored as they say. Raises ValueError if a
    photograph is smaller than a square.
    """
    for number, cache in enumerate(of.caches):
        at = np.flatnonzero(of.cache_of[rows] == number)
        chosen = rows[at]
        if draws is None:
            crops = central_crops(cache, of.places[chosen], size=of.size)
        else:
            crops = random_crops(cache, of.places[chosen], size=of.size, draws=draws[:, chosen])
        cut_into(out, cache, crops, at=at)
