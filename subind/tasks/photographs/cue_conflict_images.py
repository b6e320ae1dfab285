"""The published cue-conflict images: a folder a shape class, FOLDER/cat/cat3-clock2.png (Geirhos et al. 2019)."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from subind.specs.quoting import quoted
from subind.tasks.cue_conflict import IMAGENET16, Classes, cues

NUM_IMAGES = 1280
"""Of the whole set: 80 of each shape, of which 5 have the texture of their own class."""

REMEDY = "give the folder stimuli/style-transfer-preprocessed-512 of github.com/rgeirhos/texture-vs-shape"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictImages:
    """Images [image row column channel] with the classes of both cues [image]; those of one class are among them."""

    names: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    shapes: Classes
    textures: Classes


def conflict_images(folder: Path) -> ConflictImages:
    """All images of the folder, by name.

    Raises ValueError if there is none, if a name or its folder is of no class, or if images differ in size.
    """
    paths = sorted(path for path in folder.glob("*/*.png"))
    if not paths:
        raise ValueError(f"{folder} has no images SHAPE/SHAPE1-TEXTURE1.png: {REMEDY}")
    pairs = np.array([cues(path.name) for path in paths], dtype=np.int64)
    for path, (shape, _) in zip(paths, pairs, strict=True):
        if path.parent.name != IMAGENET16[shape]:
            raise ValueError(f"{path} lies in {quoted(path.parent.name)} and is named for another shape: {REMEDY}")
    images = [_pixels(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(f"{path} is of {image.shape[:2]} pixels, {paths[0]} of {images[0].shape[:2]}: {REMEDY}")
    return ConflictImages(
        names=tuple(path.name for path in paths), images=np.stack(images), shapes=pairs[:, 0], textures=pairs[:, 1]
    )


def conflict_fingerprint(folder: Path) -> str:
    """What tells the images of a folder from others: 16 hexadecimal digits over the names and bytes of its files."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*/*.png")):
        about = path.stat()
        digest = _file_digest(path, num_bytes=about.st_size, modified=about.st_mtime_ns)
        found.update(f"{path.parent.name}/{path.name} {digest}\n".encode())
    return found.hexdigest()[:16]


@lru_cache(maxsize=2 * NUM_IMAGES)
def _file_digest(path: Path, *, num_bytes: int, modified: int) -> str:
    """Of a file of that size and time: a command asks for the same files several times."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def num_conflicts(folder: Path) -> int:
    """How many images of the folder have a texture of another class than their shape, by their names."""
    pairs = (cues(path.name) for path in folder.glob("*/*.png"))
    return sum(shape != texture for shape, texture in pairs)


def _pixels(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))
