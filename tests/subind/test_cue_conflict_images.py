"""The published cue-conflict images: every one with both of its cues, and folders that are none refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from subind.tasks.cue_conflict import IMAGENET16
from subind.tasks.photographs.cue_conflict_images import conflict_images


def _write(path: Path, size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (10, 20, 30)).save(path)


def test_sample_of_the_published_images_has_four_of_every_shape(shared: Path) -> None:
    found = conflict_images(shared / "reference" / "cue_conflict" / "images")
    assert found.images.shape == (64, 224, 224, 3)
    assert np.bincount(found.shapes).tolist() == [4] * 16
    place = found.names.index("airplane1-bicycle2.png")
    assert (IMAGENET16[found.shapes[place]], IMAGENET16[found.textures[place]]) == ("airplane", "bicycle")


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no images SHAPE/SHAPE1-TEXTURE1\.png"):
        conflict_images(tmp_path)


def test_image_in_the_folder_of_another_shape_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "dog" / "cat1-clock1.png")
    with pytest.raises(ValueError, match="lies in 'dog' and is named for another shape"):
        conflict_images(tmp_path)


def test_images_of_two_sizes_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "cat" / "cat1-clock1.png")
    _write(tmp_path / "cat" / "cat1-dog1.png", size=9)
    with pytest.raises(ValueError, match=r"is of \(9, 9\) pixels"):
        conflict_images(tmp_path)
