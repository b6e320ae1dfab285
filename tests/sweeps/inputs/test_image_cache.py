"""A tree of 16-class ImageNet through the command: made once, resumed, told of what is wrong, and pooled by links."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from subind.tasks.photographs.image_cache import ImageCache
from subind.tasks.photographs.imagenet16 import photographs
from subind.tasks.photographs.segmenters import Slic
from sweeps.cli.__main__ import app
from sweeps.inputs.image_cache import cache_tree, link_balanced
from sweeps.inputs.mean_pooling import pool_folder
from tests.photographs import write_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_tree(tmp_path / "tree", num_of_each=3)
    return tmp_path / "tree"


def _ignored(done: int, total: int) -> None:
    assert done <= total


@pytest.mark.slow
def test_command_makes_a_cache_and_again_makes_what_is_missing(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "cache"
    arguments = ["data", "imagenet16", str(tree), str(target), "--shorter-side", "16"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    assert "621 images, 2 shards made, 0 were there" in first.output
    assert "num_images=621" in first.output
    fingerprint = ImageCache.opened(target).fingerprint
    kept = (target / "shard-00000.bin").stat().st_mtime_ns
    (target / "shard-00001.bin").unlink()
    again = CliRunner().invoke(app, arguments)
    assert "1 shards made, 1 were there" in again.output
    assert ImageCache.opened(target).fingerprint == fingerprint
    assert (target / "shard-00000.bin").stat().st_mtime_ns == kept


@pytest.mark.slow
def test_command_with_an_unreadable_image_names_it_and_finishes_once_it_is_mended(tree: Path, tmp_path: Path) -> None:
    target, broken = tmp_path / "cache", tree / "train" / "n02690373" / "n02690373_0.JPEG"
    content = broken.read_bytes()
    broken.write_bytes(content[:40])
    arguments = ["data", "imagenet16", str(tree), str(target), "--shorter-side", "16"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 1
    assert "train/n02690373/n02690373_0.JPEG: " in first.output
    with pytest.raises(ValueError, match="is no finished cache"):
        ImageCache.opened(target)
    broken.write_bytes(content)
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert len(ImageCache.opened(target).names) == 621


@pytest.mark.slow
def test_balanced_photographs_are_linked_pooled_and_cached(tree: Path, tmp_path: Path) -> None:
    subset, pooled, cache = (tmp_path / name for name in ("subset", "pooled", "cache"))
    num = link_balanced(tree, subset, num_per_class=2, seed=0)
    assert num == 32
    pool_folder(subset, pooled, Slic(num_segments=4, compactness=10.0), num_cpus=1, progress=_ignored)
    cache_tree(pooled, cache, shorter_side=16, num_cpus=1, say=print, progress=_ignored)
    found = ImageCache.opened(cache)
    assert found.settings.pooling == {"segmenter": "Slic", "num_segments": 4, "compactness": 10.0}
    assert set(found.names) <= set(photographs(tree).names)
    assert len(found.names) == 32


def test_links_lead_to_the_photographs_and_again_are_the_same(tree: Path, tmp_path: Path) -> None:
    first, again = (link_balanced(tree, tmp_path / "subset", num_per_class=1, seed=0) for _ in range(2))
    links = sorted(path for path in (tmp_path / "subset").rglob("*") if path.is_symlink())
    assert first == again == len(links) == 16
    with Image.open(links[0]) as image:
        assert image.format == "JPEG"


def test_links_of_another_seed_are_refused_where_there_are_some(tree: Path, tmp_path: Path) -> None:
    link_balanced(tree, tmp_path / "subset", num_per_class=1, seed=0)
    with pytest.raises(ValueError, match="photographs of another subset: give another folder"):
        link_balanced(tree, tmp_path / "subset", num_per_class=1, seed=1)


def test_cache_inside_the_tree_is_refused(tree: Path) -> None:
    with pytest.raises(ValueError, match="are inside each other"):
        cache_tree(tree, tree / "cache", shorter_side=16, num_cpus=1, say=print, progress=_ignored)


def test_cache_of_a_partial_tree_is_refused_before_anything_is_written(tree: Path, tmp_path: Path) -> None:
    for path in (tree / "train" / "n02690373").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="n02690373"):
        cache_tree(tree, tmp_path / "cache", shorter_side=16, num_cpus=1, say=print, progress=_ignored)
    assert not (tmp_path / "cache").exists()


def test_cache_that_the_disk_has_no_room_for_is_refused_before_anything_is_written(tree: Path, tmp_path: Path) -> None:
    told = list[str]()
    with pytest.raises(ValueError, match=r"needs about .* GB and its disk has"):
        cache_tree(tree, tmp_path / "cache", shorter_side=10**6, num_cpus=1, say=told.append, progress=_ignored)
    assert told == [f"621 images to decode, about 2,484,000.0 GB in {tmp_path / 'cache'}"]
    assert not (tmp_path / "cache").exists()
