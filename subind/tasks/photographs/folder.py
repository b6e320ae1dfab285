"""Where the images of an `ImageNet16Task` come from: a folder with two caches and the published cue-conflict images.

    FOLDER/photographs    the cache of 16-class ImageNet (`subind data imagenet16`)
    FOLDER/mean-pooled    that of the balanced subset mean-pooled
    FOLDER/cue-conflict   the 1,280 images of Geirhos et al. 2019, SHAPE/SHAPE1-TEXTURE1.png

Training images stay on disk; those of an evaluation are a thousand or so and are cut once.
"""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from subind.specs.images import ImageNet16Task
from subind.specs.quoting import quoted, quoted_path
from subind.tasks.cue_conflict import Classes
from subind.tasks.photographs import cue_conflict_images
from subind.tasks.photographs.image_cache import ImageCache, cache_fingerprint, resized
from subind.tasks.photographs.image_crops import central_crops, cut
from subind.tasks.photographs.imagenet16 import Indices, drawn_order
from subind.tasks.photographs.imagenet16_images import ImageNet16, opened
from subind.tasks.photographs.stored_images import StoredImages, stored

PHOTOGRAPHS, POOLED, CUE_CONFLICT = "photographs", "mean-pooled", "cue-conflict"

Kind = Literal["original", "mean_pooled"]
_PARTS: dict[Literal["validation", "test"], slice] = {"validation": slice(0, None, 2), "test": slice(1, None, 2)}


def training_images(task: ImageNet16Task, kind: Kind, num_images: int, *, folder: str) -> StoredImages:
    """Training images, drawn by name and seed. Raises ValueError if there are fewer, or no caches for them."""
    cache, places = training_places(task, kind, num_images, folder=folder)
    return stored(cache, places, size=task.image_size)


def training_places(task: ImageNet16Task, kind: Kind, num_images: int, *, folder: str) -> tuple[ImageCache, Indices]:
    """Where the training images are. Raises what `training_images` raises."""
    found = _opened(task, folder)
    cache, places = (found.photographs, found.train) if kind == "original" else (found.pooled, found.pooled_train)
    names = [cache.names[place] for place in places]
    order = drawn_order(names, seed=task.data_seed, purpose="train")
    _check_number(f"the number of images of the part {kind}", num_images, order, cache)
    return cache, np.sort(places[order[:num_images]])


def evaluation_images(
    task: ImageNet16Task, use: Literal["validation", "test"], kind: Kind, num_images: int, *, folder: str
) -> tuple[UInt8[Tensor, "image 3 row column"], Int[Tensor, " image"]]:
    """The middles of that many evaluation images, and their classes; every second one is for validation.

    Those of both kinds are the same photographs. Raises ValueError if there are fewer, or no caches for them.
    """
    cache, places = evaluation_places(task, use, kind, num_images, folder=folder)
    return cut(cache, central_crops(cache, places, size=task.image_size)), torch.from_numpy(cache.labels[places])


def evaluation_places(
    task: ImageNet16Task, use: Literal["validation", "test"], kind: Kind, num_images: int, *, folder: str
) -> tuple[ImageCache, Indices]:
    """Where the evaluation images are. Raises what `evaluation_images` raises."""
    found = _opened(task, folder)
    names = [found.photographs.names[place] for place in found.evaluation]
    order = drawn_order(names, seed=task.data_seed, purpose="evaluation")[_PARTS[use]]
    _check_number("num_evaluation_samples", num_images, order, found.photographs)
    chosen = order[:num_images]
    if kind == "original":
        return found.photographs, found.evaluation[chosen]
    return found.pooled, found.pooled_evaluation[chosen]


def _check_number(name: str, wanted: int, order: Indices, cache: ImageCache) -> None:
    if wanted > len(order):
        raise ValueError(
            f"{name} is {wanted:,} and {cache.folder} has {len(order):,} images for that: give at most that many"
        )


@lru_cache(maxsize=4)
def _opened(task: ImageNet16Task, folder: str) -> ImageNet16:
    """The caches, which stay mapped while a worker goes from pack to pack."""
    check_folder(folder)
    found = opened(task, photographs=Path(folder) / PHOTOGRAPHS, pooled=Path(folder) / POOLED)
    _check_part(task, "photographs", found.photographs.fingerprint, found.photographs.folder)
    _check_part(task, "mean_pooled", found.pooled.fingerprint, found.pooled.folder)
    return found


def check_pixels(task: ImageNet16Task, folder: str) -> None:
    """Raise ValueError if the caches are not those of the task, or have other pixels than were cached."""
    found = _opened(task, folder)
    found.photographs.check_pixels()
    found.pooled.check_pixels()


def fingerprints(folder: str) -> dict[str, str]:
    """Which images a folder has, as a task says it by its fields. Raises ValueError if parts of it are absent."""
    check_folder(folder)
    return {
        "photographs": cache_fingerprint(Path(folder) / PHOTOGRAPHS),
        "mean_pooled": cache_fingerprint(Path(folder) / POOLED),
        "cue_conflict": cue_conflict_images.conflict_fingerprint(Path(folder) / CUE_CONFLICT),
    }


def _check_part(task: ImageNet16Task, name: str, found: str, folder: Path) -> None:
    wanted = getattr(task, name)
    if wanted not in ("", found):
        raise ValueError(
            f"ImageNet16Task.{name} is {wanted!r} and {folder} has the fingerprint {found!r}: give --images with the "
            "images that these runs are on, or plan them again on the images of this folder"
        )


def check_folder(folder: str) -> None:
    """Raise ValueError if the folder is not given, or one of its three parts is absent."""
    if not folder:
        raise ValueError(
            "--images is not given, and the runs are on photographs: give the folder that holds "
            f"{PHOTOGRAPHS}, {POOLED} and {CUE_CONFLICT} (docs/imagenet.md)"
        )
    remedies = {
        PHOTOGRAPHS: "make it with `subind data imagenet16 IMAGENET DST`",
        POOLED: "make it with `subind data balanced`, `subind data mean-pool` and `subind data imagenet16`",
        CUE_CONFLICT: cue_conflict_images.REMEDY,
    }
    for name, remedy in remedies.items():
        if not (Path(folder) / name).is_dir():
            raise ValueError(f"--images is {quoted_path(folder)}, which has no folder {quoted(name)}: {remedy}")


# ---- cue conflict


@lru_cache(maxsize=1)
def conflict_images(
    task: ImageNet16Task, num_images: int, *, folder: str
) -> tuple[UInt8[Tensor, "image 3 row column"], Classes, Classes]:
    """The published images whose shape and texture are of different classes, and both classes.

    Those of another size than the task's are brought to it by their shorter side and cut from the middle. Raises
    ValueError if there is another number of them.
    """
    check_conflict(task, num_images, folder)
    found = cue_conflict_images.conflict_images(Path(folder) / CUE_CONFLICT)
    chosen = np.flatnonzero(found.shapes != found.textures)
    pixels = np.stack([_fitted(found.images[place], task.image_size) for place in chosen])
    return (
        torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        found.shapes[chosen],
        found.textures[chosen],
    )


def check_conflict(task: ImageNet16Task, num_images: int, folder: str) -> None:
    """Raise ValueError unless the folder has the task's images, and this many of them have two classes."""
    if task.cue_conflict:
        found_files = cue_conflict_images.conflict_fingerprint(Path(folder) / CUE_CONFLICT)
        _check_part(task, "cue_conflict", found_files, Path(folder) / CUE_CONFLICT)
    found = cue_conflict_images.num_conflicts(Path(folder) / CUE_CONFLICT)
    if found != num_images:
        raise ValueError(
            f"num_cue_conflict is {num_images:,} and {Path(folder) / CUE_CONFLICT} has {found:,} images of two "
            f"classes: {cue_conflict_images.REMEDY}, which has 1,200"
        )


def _fitted(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    if image.shape[:2] == (size, size):
        return image
    whole = resized(Image.fromarray(image), size)
    top, left = (int(np.rint((side - size) / 2)) for side in whole.shape[:2])
    return whole[top : top + size, left : left + size]
