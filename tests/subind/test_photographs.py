"""Photographs as runs take them from a folder: who is in which part, what squares are cut, and what is refused."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from subind.tasks import images
from subind.tasks.cue_conflict import cues
from subind.tasks.images import Images
from subind.tasks.photographs import folder as photographs
from subind.tasks.photographs.feed import Feed, Source
from subind.tasks.photographs.image_cache import ImageCache
from subind.tasks.photographs.stored_images import StoredImages, write_squares
from tests.photograph_specs import (
    BALANCED,
    NUM_BALANCED,
    NUM_CONFLICT,
    NUM_EVALUATION,
    NUM_TRANSFER,
    TASK,
    write_folder,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_folder(tmp_path_factory.mktemp("photographs")))


def stored(task: photographs.ImageNet16Task, kind: photographs.Kind, num: int, folder: str) -> StoredImages:
    found = images.training_images(task, kind, num, folder=folder)
    assert isinstance(found, StoredImages)
    return found


def squares(of: StoredImages) -> torch.Tensor:
    """All middles, [image row column channel]."""
    out = np.empty((len(of.labels), of.size, of.size, 3), np.uint8)
    write_squares(out, of, np.arange(len(of.labels)), None)
    return torch.from_numpy(out)


def names(of: StoredImages) -> list[str]:
    return [of.caches[cache].names[place] for cache, place in zip(of.cache_of, of.places, strict=True)]


# ---- parts


def test_training_validation_and_test_images_have_no_picture_in_common(folder: str) -> None:
    train = squares(stored(TASK, "original", NUM_TRANSFER, folder)).flatten(1).tolist()
    held = [images.images(TASK, use, "original", NUM_EVALUATION, folder=folder) for use in ("validation", "test")]
    parts = [train, *(each.pixels.permute(0, 2, 3, 1).flatten(1).tolist() for each in held)]
    for one, other in combinations([set(map(tuple, part)) for part in parts], 2):
        assert not one & other


def test_training_images_are_as_many_as_asked_for_and_of_their_own_classes(folder: str) -> None:
    found = stored(TASK, "original", NUM_TRANSFER, folder)
    assert len(set(names(found))) == len(found.labels) == NUM_TRANSFER
    cache = ImageCache.opened(Path(folder) / "photographs")
    labels = dict(zip(cache.names, cache.labels.tolist(), strict=True))
    assert [labels[name] for name in names(found)] == found.labels.tolist()


def test_fewer_training_images_are_a_part_of_more(folder: str) -> None:
    few, many = (set(names(stored(TASK, "original", number, folder))) for number in (100, 200))
    assert len(few) == 100
    assert few < many


def test_mean_pooled_training_images_are_of_the_balanced_subset(folder: str) -> None:
    whole = stored(BALANCED, "original", 68, folder)
    pooled = stored(TASK, "mean_pooled", NUM_BALANCED, folder)
    assert set(names(pooled)) <= set(names(whole))


@pytest.mark.parametrize("use", ["validation", "test"])
def test_both_kinds_of_evaluation_images_are_of_the_same_photographs(folder: str, use: images.Use) -> None:
    original, pooled = (
        images.images(TASK, use, kind, NUM_EVALUATION, folder=folder) for kind in ("original", "mean_pooled")
    )
    assert torch.equal(original.labels, pooled.labels)
    distances = (original.pixels[:, None].float() - pooled.pixels[None].float()).abs().mean((2, 3, 4))
    assert torch.equal(distances.argmin(1), torch.arange(NUM_EVALUATION))


def test_another_data_seed_wants_other_photographs_mean_pooled(folder: str) -> None:
    with pytest.raises(ValueError, match="mean-pooled lacks"):
        images.training_images(replace(TASK, data_seed=1), "original", NUM_TRANSFER, folder=folder)


def test_evaluation_images_are_the_middles_that_torchvision_cuts(folder: str) -> None:
    found = images.images(TASK, "test", "original", NUM_EVALUATION, folder=folder)
    tree = Path(folder).parent / "tree" / "train"
    transform = v2.Compose([v2.Resize(20), v2.CenterCrop(16), v2.PILToTensor()])
    known = {}
    for path in tree.rglob("*.JPEG"):
        with Image.open(path) as opened:
            known[tuple(transform(opened.convert("RGB")).flatten().tolist())] = path
    assert all(tuple(each.flatten().tolist()) in known for each in found.pixels)


# ---- the squares of a step


def feed_of(of: StoredImages, *, seed: int = 0, epoch: int = 1, batches: Iterable[torch.Tensor] = ()) -> Feed:
    feed = Feed("cpu")
    feed.expect([Source(images=of, seed=seed, stream="transfer/augmentation")], epoch, batches)
    return feed


def loaded(feed: Feed, rows: torch.Tensor) -> torch.Tensor:
    feed.load(rows)
    return feed.batch(rows)[0]


def test_squares_are_the_same_whether_they_were_made_ahead(folder: str) -> None:
    of = stored(TASK, "original", NUM_TRANSFER, folder)
    batches = torch.randperm(NUM_TRANSFER, generator=torch.Generator().manual_seed(0))[None].split(30, dim=1)
    ahead, alone = feed_of(of, batches=batches), feed_of(of)
    for rows in batches:
        assert torch.equal(loaded(ahead, rows), loaded(alone, rows))


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 2}])
def test_another_seed_or_epoch_makes_other_squares(folder: str, change: dict[str, int]) -> None:
    of, rows = stored(TASK, "original", NUM_TRANSFER, folder), torch.arange(20)[None]
    assert not torch.equal(loaded(feed_of(of), rows), loaded(feed_of(of, **change), rows))


def test_feed_makes_no_more_than_a_few_batches_ahead(folder: str) -> None:
    asked = 0

    def told() -> Iterator[torch.Tensor]:
        nonlocal asked
        for rows in torch.arange(NUM_TRANSFER)[None].split(10, dim=1):
            asked += 1
            yield rows

    feed = feed_of(stored(TASK, "original", NUM_TRANSFER, folder), batches=told())
    for step in range(3):
        feed.load(torch.arange(10 * step, 10 * step + 10)[None])
    assert asked == 3 + 4


def test_mixture_of_photographs_has_originals_and_mean_pooled_images_in_turn(folder: str) -> None:
    original, pooled = (stored(TASK, kind, 20, folder) for kind in ("original", "mean_pooled"))
    mixed = images.joined([original, images.repeated(pooled, 50)])
    assert isinstance(mixed, StoredImages)
    whole = squares(mixed)
    assert torch.equal(whole[:20], squares(original))
    for place in range(50):
        assert torch.equal(whole[20 + place], squares(pooled)[place % 20])
        assert mixed.labels[20 + place] == pooled.labels[place % 20]


# ---- cue conflict


def test_conflict_images_are_those_of_two_classes(folder: str) -> None:
    found = images.conflict_images(TASK, NUM_CONFLICT, folder=folder)
    files = sorted(path for path in (Path(folder) / "cue-conflict").rglob("*.png"))
    expected = [cues(path.name) for path in files if len(set(cues(path.name))) == 2]
    assert [*zip(found.shapes.tolist(), found.textures.tolist(), strict=True)] == expected
    assert found.pixels.shape == (NUM_CONFLICT, 3, 16, 16)


def test_conflict_images_of_another_size_are_brought_to_the_tasks_as_torchvision_does(folder: str) -> None:
    smaller = replace(TASK, image_size=10)
    found = images.conflict_images(smaller, NUM_CONFLICT, folder=folder)
    first = sorted((Path(folder) / "cue-conflict" / "airplane").glob("*.png"))[1]
    with Image.open(first) as opened:
        expected = v2.PILToTensor()(v2.Compose([v2.Resize(10), v2.CenterCrop(10)])(opened))
    assert torch.equal(found.pixels[0], expected)


# ---- what is refused


def test_no_folder_is_refused_with_the_option() -> None:
    with pytest.raises(ValueError, match="--images is not given"):
        images.training_images(TASK, "original", 10)


@pytest.mark.parametrize("name", ["photographs", "mean-pooled", "cue-conflict"])
def test_folder_without_a_part_is_refused_by_the_parts_name(folder: str, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path / "images")
    shutil.rmtree(tmp_path / "images" / name)
    with pytest.raises(ValueError, match=f"has no folder '{name}'"):
        images.training_images(TASK, "original", 10, folder=str(tmp_path / "images"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"shorter_side": 24}, "--shorter-side 24"),
        ({"segmenter": "sam"}, "--segmenter sam"),
        ({"num_images": 400}, "num_images is 400"),
    ],
)
def test_caches_that_were_made_for_another_task_are_refused(folder: str, changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        images.training_images(replace(TASK, **changes), "original", 10, folder=folder)  # type: ignore[arg-type]


def test_more_images_than_there_are_are_refused_with_their_number(folder: str) -> None:
    with pytest.raises(ValueError, match=r"images of the part original is 1,000 and .* has 388 images"):
        images.training_images(TASK, "original", 1000, folder=folder)
    with pytest.raises(ValueError, match=r"num_evaluation_samples is 14 and .* has 13 images"):
        images.images(TASK, "test", "original", 14, folder=folder)


def test_another_number_of_conflict_images_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match=r"num_cue_conflict is 1,200 and .* has 32 images"):
        images.conflict_images(TASK, 1200, folder=folder)


def test_drawn_images_stay_in_memory() -> None:
    from tests.vision_specs import shapes_task

    assert isinstance(images.training_images(shapes_task(), "original", 10), Images)
