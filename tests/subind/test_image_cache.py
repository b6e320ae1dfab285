"""Cached photographs: pixels as torchvision has them, squares as its transforms cut them, and damage that is told."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from subind.specs.images import ImageNet16Task
from subind.tasks.photographs import image_cache
from subind.tasks.photographs.image_cache import (
    CacheSettings,
    ImageCache,
    finish,
    is_written,
    planned,
    resized,
    write_shard,
)
from subind.tasks.photographs.image_crops import batches, central_crops, cut, normalised, random_crops, random_draws
from subind.tasks.photographs.imagenet16 import Photographs, photographs, pooled_photographs, split
from subind.tasks.photographs.imagenet16_images import opened
from tests.photographs import photograph, write_tree

SETTINGS = CacheSettings(shorter_side=12, pooling=None)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imagenet")
    write_tree(folder, num_of_each=3)
    return folder


def _made(tree: Path, folder: Path, settings: CacheSettings = SETTINGS) -> ImageCache:
    plans = planned(photographs(tree), settings)
    assert [write_shard(tree, folder, plan) for plan in plans] == [{}] * len(plans)
    finish(folder, plans)
    return ImageCache.opened(folder)


@pytest.fixture(scope="module")
def cache(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> ImageCache:
    return _made(tree, tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("size", [(20, 30), (30, 20), (33, 47), (64, 64)])
def test_resized_image_is_torchvisions(size: tuple[int, int]) -> None:
    image = photograph(0, height=size[0], width=size[1])
    expected = np.asarray(v2.Resize(12, interpolation=v2.InterpolationMode.BILINEAR)(image))
    assert np.array_equal(resized(image, 12), expected)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_image_of_another_mode_is_made_rgb(mode: str) -> None:
    assert resized(photograph(1).convert(mode), 12).shape == (12, 18, 3)


def test_cache_has_every_image_of_the_tree(cache: ImageCache, tree: Path) -> None:
    listed = photographs(tree)
    assert len(cache.shards) == 2
    assert cache.names == listed.names
    assert np.array_equal(cache.labels, listed.labels)
    for place in (0, 511, 512, 620):
        with Image.open(tree / listed.files[place]) as image:
            assert np.array_equal(cache.image(place), np.asarray(v2.Resize(12)(image)))


def test_central_square_is_torchvisions(cache: ImageCache) -> None:
    places = np.array([5, 600, 0])
    found = cut(cache, central_crops(cache, places, size=11))
    expected = [v2.CenterCrop(11)(torch.from_numpy(cache.image(place).copy()).permute(2, 0, 1)) for place in places]
    assert torch.equal(found, torch.stack(expected))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_random_square_is_the_one_that_was_drawn(cache: ImageCache) -> None:
    places = np.arange(300)
    crops = random_crops(cache, places, size=9, draws=random_draws(300, torch.Generator().manual_seed(0)))
    found = cut(cache, crops)
    for number, place in enumerate(places):
        picture = torch.from_numpy(cache.image(place).copy()).permute(2, 0, 1)
        expected = functional.crop(picture, int(crops.tops[number]), int(crops.lefts[number]), 9, 9)
        assert torch.equal(
            found[number], functional.horizontal_flip(expected) if crops.is_flipped[number] else expected
        )


def test_random_squares_take_every_place_alike(cache: ImageCache) -> None:
    place = int(np.argmax(cache.widths))
    width = int(cache.widths[place])
    crops = random_crops(
        cache, np.full(20_000, place), size=10, draws=random_draws(20_000, torch.Generator().manual_seed(0))
    )
    assert set(crops.tops) == {0, 1, 2}
    shares = np.bincount(crops.lefts) / 20_000
    assert len(shares) == width - 9
    np.testing.assert_allclose(shares, 1 / len(shares), atol=0.02)
    assert 0.48 < crops.is_flipped.mean() < 0.52


def test_random_squares_of_one_generator_state_are_the_same(cache: ImageCache) -> None:
    first, second, other = (
        cut(
            cache,
            random_crops(cache, np.arange(64), size=9, draws=random_draws(64, torch.Generator().manual_seed(seed))),
        )
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_batches_are_those_cut_one_by_one(cache: ImageCache) -> None:
    order = np.array_split(np.random.default_rng(0).permutation(500), 7)
    found = list(batches(cache, order, size=9, generator=torch.Generator().manual_seed(3)))
    draws = torch.Generator().manual_seed(3)
    for places, batch in zip(order, found, strict=True):
        assert torch.equal(
            batch, cut(cache, random_crops(cache, places, size=9, draws=random_draws(len(places), draws)))
        )


def test_square_larger_than_an_image_is_refused(cache: ImageCache) -> None:
    with pytest.raises(ValueError, match=r"size is 13 and .* has images of 12 pixels"):
        cut(cache, central_crops(cache, np.arange(3), size=13))


def test_normalised_pixels_are_torchvisions() -> None:
    pixels = torch.arange(3 * 16 * 16).remainder(256).to(torch.uint8).view(1, 3, 16, 16)
    scale = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )
    torch.testing.assert_close(normalised(pixels), scale(pixels), rtol=1e-5, atol=1e-6)


def test_written_shard_is_known_and_another_settings_is_not(tree: Path, tmp_path: Path) -> None:
    plan = planned(photographs(tree), SETTINGS)[1]
    assert not is_written(tmp_path, plan)
    assert write_shard(tree, tmp_path, plan) == {}
    assert is_written(tmp_path, plan)
    assert not is_written(tmp_path, replace(plan, settings=replace(SETTINGS, shorter_side=13)))
    fewer = Photographs(files=plan.photographs.files[1:], labels=plan.photographs.labels[1:])
    assert not is_written(tmp_path, replace(plan, photographs=fewer))
    (tmp_path / "shard-00001.bin").write_bytes(b"cut short")
    assert not is_written(tmp_path, plan)


def test_shard_with_an_unreadable_image_is_not_written_and_the_image_is_told(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", num_of_each=1)
    (tmp_path / "tree" / "train" / "n02690373" / "n02690373_0.JPEG").write_bytes(b"no image")
    (plan,) = planned(photographs(tmp_path / "tree"), SETTINGS)
    failures = write_shard(tmp_path / "tree", tmp_path / "cache", plan)
    assert list(failures) == ["train/n02690373/n02690373_0.JPEG"]
    assert "UnidentifiedImageError" in failures["train/n02690373/n02690373_0.JPEG"]
    assert not (tmp_path / "cache").exists()


def test_fingerprint_is_of_the_pixels_and_not_of_the_place(tree: Path, cache: ImageCache, tmp_path: Path) -> None:
    again = _made(tree, tmp_path / "again")
    other = _made(tree, tmp_path / "other", replace(SETTINGS, shorter_side=13))
    assert again.fingerprint == cache.fingerprint
    assert other.fingerprint != cache.fingerprint


def test_digests_are_alike_for_the_same_pixels_alone(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", num_of_each=1)
    folder = tmp_path / "tree" / "train" / "n02690373"
    (folder / "twin.JPEG").write_bytes((folder / "n02690373_0.JPEG").read_bytes())
    cache = _made(tmp_path / "tree", tmp_path / "cache")
    first, twin = cache.places(["n02690373/n02690373_0", "n02690373/twin"])
    assert cache.digests[first] == cache.digests[twin]
    assert len(set(cache.digests.tolist())) == 207


def test_unfinished_cache_is_refused(tree: Path, tmp_path: Path) -> None:
    write_shard(tree, tmp_path, planned(photographs(tree), SETTINGS)[0])
    with pytest.raises(ValueError, match="is no finished cache of images"):
        ImageCache.opened(tmp_path)


def test_cache_with_a_file_cut_short_is_refused(tree: Path, tmp_path: Path) -> None:
    _made(tree, tmp_path)
    with (tmp_path / "shard-00000.bin").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(ValueError, match=r"shard-00000\.bin has 100 bytes and not"):
        ImageCache.opened(tmp_path)


def test_cache_of_fewer_images_leaves_no_shard_behind(tree: Path, tmp_path: Path) -> None:
    _made(tree, tmp_path / "cache")
    write_tree(tmp_path / "tree", num_of_each=1)
    assert len(_made(tmp_path / "tree", tmp_path / "cache").names) == 207
    assert not list((tmp_path / "cache").glob("shard-00001.*"))


def test_places_of_an_absent_image_are_refused_with_its_name(cache: ImageCache) -> None:
    with pytest.raises(ValueError, match=r"lacks 1 images, first \['n1/n1_1'\]"):
        cache.places([cache.names[0], "n1/n1_1"])


TASK = ImageNet16Task(
    part="transfer",
    num_images=621,
    num_per_class=10,
    evaluation_share=0.3,
    segmenter="slic",
    shorter_side=12,
    image_size=10,
    data_seed=0,
    pooled=False,
    augmentation="none",
    class_weights="equal",
    num_cue_conflict=24,
)
POOLED = CacheSettings(shorter_side=12, pooling={"segmenter": "Slic", "num_segments": 60, "compactness": 10.0})


def _pooled(cache: ImageCache, folder: Path, settings: CacheSettings) -> Path:
    """A cache that says of itself that its images are mean-pooled, of the balanced subset alone."""
    subset = split(replace(TASK, part="balanced"), names=cache.names, labels=cache.labels, digests=cache.digests)
    for place in (*subset.train, *subset.evaluation):
        path = folder / "tree" / "train" / f"{cache.names[place]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - cache.image(place)).save(path)
    plans = planned(pooled_photographs(folder / "tree"), settings)
    assert [write_shard(folder / "tree", folder / "cache", plan) for plan in plans] == [{}] * len(plans)
    finish(folder / "cache", plans)
    return folder / "cache"


def test_opened_task_has_the_same_images_pooled_for_evaluation(cache: ImageCache, tmp_path: Path) -> None:
    found = opened(TASK, photographs=cache.folder, pooled=_pooled(cache, tmp_path, POOLED))
    assert len(found.train) + len(found.evaluation) == 621
    for one, two in zip(found.evaluation, found.pooled_evaluation, strict=True):
        assert np.array_equal(found.photographs.image(one), 255 - found.pooled.image(two))
    trained = {found.pooled.names[place] for place in found.pooled_train}
    assert trained.isdisjoint(found.pooled.names[place] for place in found.pooled_evaluation)
    assert trained <= {found.photographs.names[place] for place in found.train}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segmenter": "felzenszwalb"}, "segmenter is 'felzenszwalb' and .* made with"),
        ({"shorter_side": 11}, "shorter_side is 11 and .* 12 pixels"),
        ({"num_per_class": 39}, r"lacks \d+ images"),
        ({"num_images": 600}, "num_images is 600 and the tree has 621"),
    ],
)
def test_opened_task_refuses_caches_made_in_another_way(
    cache: ImageCache, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    pooled = _pooled(cache, tmp_path, POOLED)
    with pytest.raises(ValueError, match=message):
        opened(replace(TASK, **changes), photographs=cache.folder, pooled=pooled)


def test_opened_task_refuses_pooled_images_for_photographs(cache: ImageCache, tmp_path: Path) -> None:
    pooled = _pooled(cache, tmp_path, POOLED)
    with pytest.raises(ValueError, match="give the cache of the photographs as they are"):
        opened(TASK, photographs=pooled, pooled=pooled)


def test_settings_of_segmenters_are_the_defaults_of_the_command() -> None:
    import inspect

    from subind.tasks.photographs.imagenet16_images import SEGMENTERS
    from sweeps.cli.data import mean_pool_command

    defaults = {name: each.default for name, each in inspect.signature(mean_pool_command).parameters.items()}
    for name in ("slic", "felzenszwalb"):
        for setting, value in SEGMENTERS[name].items():
            assert setting == "segmenter" or defaults[setting] == value


def test_manifest_is_json_for_people(cache: ImageCache) -> None:
    manifest = json.loads((cache.folder / image_cache.MANIFEST).read_text())
    assert manifest["num_images"] == 621
    assert manifest["fingerprint"] == cache.fingerprint
