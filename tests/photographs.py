"""A small tree of 16-class ImageNet: JPEG files of noise, in all of the 207 folders."""

from pathlib import Path

import numpy as np
from PIL import Image

from subind.tasks.photographs.imagenet16 import members


def photograph(seed: int, *, height: int = 20, width: int = 30) -> Image.Image:
    """Coarse noise in colour, other for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def write_tree(tree: Path, *, num_of_each: int = 2) -> int:
    """Write so many photographs of each of the 207 classes, of several sizes; their number."""
    for place, member in enumerate(members()):
        folder = tree / "train" / member.wordnet_id
        folder.mkdir(parents=True)
        for number in range(num_of_each):
            size = {"height": 16 + (place + number) % 5, "width": 16 + place % 7}
            photograph(place * 100 + number, **size).save(folder / f"{member.wordnet_id}_{number}.JPEG")
    return len(members()) * num_of_each
