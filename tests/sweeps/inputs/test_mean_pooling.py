"""Mean-pooling of a folder: every image once, resumable, unreadable ones told, hostile folders refused."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from subind.tasks.photographs.mean_pool import mean_pooled
from subind.tasks.photographs.segmenters import Felzenszwalb, Sam, Segmenter, Slic
from sweeps.inputs.mean_pooling import pool_folder, pool_images

SLIC = Slic(num_segments=60, compactness=10.0)


def _photograph(seed: int) -> np.ndarray:
    draws = np.random.default_rng(seed)
    coarse = draws.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8)) // 2 + draws.integers(0, 64, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for seed, name in enumerate(("cat/one.png", "cat/two.png", "dog/three.png")):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_photograph(seed)).save(path)
    return tmp_path / "source"


@pytest.mark.parametrize("segmenter", [SLIC, Felzenszwalb(scale=100.0, sigma=0.5, min_size=20)], ids=["slic", "graph"])
def test_segments_of_a_photograph_cover_it_and_are_many(segmenter: Segmenter) -> None:
    found = segmenter.segments(_photograph(0))
    assert (found.sum(0) == 1).all()
    assert 4 <= len(found) <= 60


def test_pooled_file_is_the_pooled_image(source: Path, tmp_path: Path) -> None:
    assert pool_images(source, tmp_path / "pooled", ["cat/two.png"], SLIC) == (1, {})
    image = _photograph(1)
    with Image.open(tmp_path / "pooled" / "cat" / "two.png") as found:
        assert (np.asarray(found) == mean_pooled(image, SLIC.segments(image))).all()


def test_unreadable_image_is_told_and_the_others_are_made(source: Path, tmp_path: Path) -> None:
    (source / "broken.jpg").write_bytes(b"no image")
    made, failures = pool_images(source, tmp_path / "pooled", ["broken.jpg", "cat/one.png"], SLIC)
    assert made == 1
    assert list(failures) == ["broken.jpg"]
    assert "UnidentifiedImageError" in failures["broken.jpg"]


@pytest.mark.slow
def test_folder_is_pooled_once_and_the_same_call_again_makes_what_is_missing(source: Path, tmp_path: Path) -> None:
    target, told = tmp_path / "pooled", list[tuple[int, int]]()

    def pooled() -> object:
        return pool_folder(source, target, SLIC, num_cpus=1, progress=lambda *given: told.append(given))

    first = pooled()
    assert (first.num_made, first.num_there, first.failures) == (3, 0, {})
    assert told[-1] == (3, 3)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*.png")}
    assert {str(path.relative_to(target)) for path in before} == {"cat/one.png", "cat/two.png", "dog/three.png"}
    (target / "cat" / "one.png").unlink()
    again = pooled()
    assert (again.num_made, again.num_there) == (1, 2)
    assert {path for path, time in before.items() if path.stat().st_mtime_ns == time} == set(before) - {
        target / "cat" / "one.png"
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nothing:
    """A segmenter that finds nothing, so that every image becomes its mean colour."""

    def segments(self, image: np.ndarray) -> np.ndarray:
        return np.zeros((0, *image.shape[:2]), np.bool_)


def _silent(_done: int, _total: int) -> None:
    pass


def test_folder_that_was_pooled_with_other_settings_is_refused(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "pooled"
    target.mkdir()
    (target / "pooling.json").write_text('{"segmenter": "Slic", "num_segments": 99, "compactness": 10.0}')
    with pytest.raises(ValueError, match="99"):
        pool_folder(source, target, SLIC, num_cpus=1, progress=_silent)


def test_target_within_the_source_is_refused(source: Path) -> None:
    with pytest.raises(ValueError, match="inside each other"):
        pool_folder(source, source / "pooled", _Nothing(), num_cpus=1, progress=_silent)


def test_source_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no image"):
        pool_folder(tmp_path / "empty", tmp_path / "pooled", _Nothing(), num_cpus=1, progress=_silent)


def test_two_images_that_would_have_one_name_are_refused(source: Path, tmp_path: Path) -> None:
    Image.fromarray(_photograph(9)).save(source / "cat" / "one.bmp")
    with pytest.raises(ValueError, match="two endings"):
        pool_folder(source, tmp_path / "pooled", _Nothing(), num_cpus=1, progress=_silent)


def test_sam_without_its_extra_or_weights_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"--extra sam|download Meta's checkpoint"):
        Sam(backbone="vit_h", weights="/nowhere/sam.pth", device="cpu").segments(_photograph(0))
