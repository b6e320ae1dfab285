"""The images of an `ImageNet16Task`: photographs and the same mean-pooled from two caches, by what they are for."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from subind.specs.images import ImageNet16Task
from subind.specs.quoting import quoted
from subind.tasks.photographs.image_cache import ImageCache
from subind.tasks.photographs.imagenet16 import Indices, split

SEGMENTERS: dict[Literal["sam", "slic", "felzenszwalb"], dict[str, Any]] = {
    "sam": {"segmenter": "Sam", "backbone": "vit_h"},
    "slic": {"segmenter": "Slic", "num_segments": 60, "compactness": 10.0},
    "felzenszwalb": {"segmenter": "Felzenszwalb", "scale": 200.0, "sigma": 0.8, "min_size": 50},
}
"""What the names of segmenters stand for: the settings that `pooling.json` is to have, whatever else it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNet16:
    """Two caches and the places in them.

    `train` and `evaluation` are places of photographs; the images of `pooled_evaluation` are those of `evaluation`
    mean-pooled, in the same order. `pooled_train` are the mean-pooled training images of the balanced subset, which
    has them all: nothing else is mean-pooled.
    """

    photographs: ImageCache
    pooled: ImageCache
    train: Indices
    evaluation: Indices
    pooled_train: Indices
    pooled_evaluation: Indices


def opened(task: ImageNet16Task, *, photographs: Path, pooled: Path) -> ImageNet16:
    """The images of a task from the folders of their caches.

    Raises ValueError if a cache is absent or unfinished, was made in another way than the task says, or lacks images.
    """
    originals, flat = ImageCache.opened(photographs), ImageCache.opened(pooled)
    for cache in (originals, flat):
        if cache.settings.shorter_side != task.shorter_side:
            raise ValueError(
                f"ImageNet16Task.shorter_side is {task.shorter_side} and {cache.folder} has images of "
                f"{cache.settings.shorter_side} pixels: make it with --shorter-side {task.shorter_side}"
            )
    if originals.settings.pooling is not None:
        raise ValueError(f"{photographs} has mean-pooled images: give the cache of the photographs as they are")
    _check_pooling(task, flat)
    given: dict[str, Any] = {"names": originals.names, "labels": originals.labels, "digests": originals.digests}
    parts = split(task, **given)
    subset = split(replace(task, part="balanced"), **given)
    return ImageNet16(
        photographs=originals,
        pooled=flat,
        train=parts.train,
        evaluation=parts.evaluation,
        pooled_train=flat.places([originals.names[place] for place in subset.train]),
        pooled_evaluation=flat.places([originals.names[place] for place in subset.evaluation]),
    )


def _check_pooling(task: ImageNet16Task, cache: ImageCache) -> None:
    wanted, found = SEGMENTERS[task.segmenter], cache.settings.pooling or {}
    if {name: found.get(name) for name in wanted} != wanted:
        raise ValueError(
            f"ImageNet16Task.segmenter is {quoted(task.segmenter)} and {cache.folder} was made with {found or 'none'}, "
            f"not with {wanted}: mean-pool the photographs with --segmenter {task.segmenter} and cache these"
        )
