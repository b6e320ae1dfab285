"""Drawn images: the same for ever, cues as often as declared, segments exact, shapes that differ however turned."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from sklearn.ensemble import RandomForestClassifier

from subind.specs.images import ShapesTask
from subind.tasks.drawn import shapes
from subind.tasks.drawn.outlines import SHAPES
from subind.tasks.drawn.textures import TEXTURES
from subind.tasks.photographs.hashing import uniform
from subind.tasks.photographs.mean_pool import mean_pooled

TASK = ShapesTask(
    image_size=64,
    shape_predictivity=0.9,
    texture_predictivity=0.6,
    shape_contrast=0.5,
    texture_contrast=0.5,
    data_seed=0,
    pooled=False,
    augmentation="none",
    class_weights="equal",
    num_cue_conflict=24,
)
SMALL = replace(TASK, image_size=16)


def test_image_of_an_index_is_the_same_alone_and_among_others() -> None:
    together = shapes.drawn(TASK, np.arange(100))
    alone = shapes.drawn(TASK, np.array([77]))
    assert (alone.images[0] == together.images[77]).all()
    assert (alone.segments[0] == together.segments[77]).all()


def test_images_of_another_seed_or_index_are_others() -> None:
    first, other_index = shapes.drawn(TASK, np.arange(2)).images
    other_seed = shapes.drawn(replace(TASK, data_seed=1), np.arange(1)).images[0]
    assert (first != other_index).any()
    assert (first != other_seed).any()


def test_hash_of_indices_is_that_of_integers_without_bound() -> None:
    def mixed(word: int) -> int:
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
        return word ^ (word >> 31)

    def oracle(*indices: int) -> float:
        found = 0
        for index in indices:
            found = mixed((found * 0x9E3779B97F4A7C15 + index + 0x9E3779B97F4A7C15) % 2**64)
        return (found >> 40) / 2**24

    expected = [oracle(each, 5, 2**40) for each in range(50)]
    assert uniform(np.arange(50, dtype=np.uint64), 5, 2**40).tolist() == expected


def test_hashed_numbers_are_uniform() -> None:
    assert stats.kstest(uniform(np.arange(20_000, dtype=np.uint64), 3), "uniform").pvalue > 0.001


@pytest.mark.parametrize("cue", ["shapes", "textures"])
def test_cue_is_that_of_the_label_as_often_as_declared(cue: str) -> None:
    found = shapes.drawn(SMALL, np.arange(4000))
    predictivity = {"shapes": 0.9, "textures": 0.6}[cue]
    agree = int((getattr(found, cue) == found.labels).sum())
    assert stats.binomtest(agree, 4000, predictivity).pvalue > 0.001


def test_cue_that_is_not_the_label_is_each_other_class_alike() -> None:
    found = shapes.drawn(replace(SMALL, texture_predictivity=1 / 16), np.arange(8000))
    distances = (found.textures - found.labels)[found.textures != found.labels] % 16
    assert stats.chisquare(np.bincount(distances, minlength=16)[1:]).pvalue > 0.001
    assert stats.chisquare(np.bincount(found.labels, minlength=16)).pvalue > 0.001


def test_predictivity_of_one_cue_leaves_the_other_as_it_was() -> None:
    found = shapes.drawn(SMALL, np.arange(500))
    changed = shapes.drawn(replace(SMALL, texture_predictivity=1.0), np.arange(500))
    assert (found.shapes == changed.shapes).all()
    assert (changed.textures == changed.labels).all()


def test_cue_conflict_images_are_every_pair_of_two_classes_once() -> None:
    found = shapes.cue_conflict(SMALL, np.arange(240))
    pairs = set(zip(found.shapes.tolist(), found.textures.tolist(), strict=True))
    assert pairs == {(shape, texture) for shape in range(16) for texture in range(16) if shape != texture}
    assert (found.labels == found.shapes).all()


def test_pooled_images_are_those_of_pooling_one_by_one() -> None:
    found = shapes.drawn(TASK, np.arange(20))
    pooled = shapes.mean_pooled(found.images, found.segments)
    for image, segments, each in zip(found.images, found.segments, pooled, strict=True):
        # A segment that lies within no other: the order of painting does not matter.
        several = np.stack([segments == number for number in (shapes.OBJECT, shapes.OCCLUDER)])
        assert (mean_pooled(image, several) == each).all()


def test_texture_contrast_of_zero_leaves_objects_of_one_colour() -> None:
    found = shapes.drawn(replace(TASK, texture_contrast=0.0), np.arange(30))
    for image, segments in zip(found.images, found.segments, strict=True):
        assert len(np.unique(image[segments == shapes.OBJECT], axis=0)) == 1


def test_pooled_shape_contrast_is_the_declared_distance() -> None:
    for contrast in (0.2, 0.6):
        found = shapes.drawn(replace(TASK, shape_contrast=contrast, texture_contrast=0.0), np.arange(200))
        distances = []
        for image, segments in zip(found.images, found.segments, strict=True):
            inside, outside = (image[segments == each].mean() for each in (shapes.OBJECT, shapes.BACKGROUND))
            distances.append(abs(inside - outside) / 255)
        assert np.median(distances) == pytest.approx(contrast, abs=0.05)


@pytest.mark.parametrize("size", [24, 64])
def test_pooled_image_is_the_same_whatever_the_texture(size: int) -> None:
    # With predictivities of 1 the texture is the label's, and with 1/16 it is another one in 15 of 16 images.
    for contrast in (0.3, 1.0):
        task = replace(TASK, image_size=size, texture_predictivity=1.0, texture_contrast=contrast)
        one, other = (shapes.drawn(each, np.arange(300)) for each in (task, replace(task, texture_predictivity=1 / 16)))
        assert (one.textures != other.textures).mean() > 0.9
        first, second = (shapes.mean_pooled(each.images, each.segments) for each in (one, other))
        assert (first == second).all()


def test_pooled_colours_tell_nothing_of_the_texture_and_pooled_pixels_tell_the_shape() -> None:
    task = replace(TASK, image_size=24, shape_predictivity=1 / 16, texture_predictivity=1 / 16, texture_contrast=0.6)
    num, chance = 4000, 1 / 16
    images = shapes.drawn(task, np.arange(2 * num))
    pooled = shapes.mean_pooled(images.images, images.segments)
    colours = np.concatenate([(pooled * (images.segments == each)[..., None]).max((1, 2)) for each in range(3)], axis=1)
    assert abs(_forest_accuracy(colours, images.textures) - chance) < 3 * (chance * (1 - chance) / num) ** 0.5
    assert _forest_accuracy(pooled[:, ::2, ::2].reshape(2 * num, -1), images.shapes) > 0.4


def _forest_accuracy(features: npt.NDArray[np.uint8], classes: npt.NDArray[np.int64]) -> float:
    """Of a random forest that is fitted to the first half, on the second."""
    half = len(classes) // 2
    forest = RandomForestClassifier(50, max_features="sqrt", random_state=0).fit(features[:half], classes[:half])
    return float((forest.predict(features[half:]) == classes[half:]).mean())


def test_texture_contrast_is_the_declared_distance_of_dark_and_bright() -> None:
    found = shapes.drawn(replace(TASK, shape_contrast=0.0, texture_contrast=0.2), np.arange(100))
    distances = [
        np.ptp(each[part == shapes.OBJECT], axis=0).mean() / 255
        for each, part in zip(found.images, found.segments, strict=True)
    ]
    assert np.median(distances) == pytest.approx(0.2, abs=0.01)


def test_texture_keeps_its_contrast_about_a_dark_or_bright_colour_as_far_as_there_is_room() -> None:
    found = shapes.drawn(replace(TASK, shape_contrast=1.0, texture_contrast=1.0), np.arange(200))
    pixels = [each[part == shapes.OBJECT] for each, part in zip(found.images, found.segments, strict=True)]
    # Where the mean of a channel is neither black nor white, its texture touches one end or has the whole contrast.
    touches = [((each.min(0) == 0) | (each.max(0) == 255) | (np.ptp(each, axis=0) > 160)).all() for each in pixels]
    assert all(touches)


def test_object_fills_a_fair_part_of_every_image() -> None:
    covered = (shapes.drawn(TASK, np.arange(500)).segments == shapes.OBJECT).mean((1, 2))
    assert covered.min() > 0.02
    assert covered.max() < 0.6


@pytest.mark.parametrize(("one", "other"), list(combinations(SHAPES, 2)))
def test_shapes_differ_however_they_are_turned(one: str, other: str) -> None:
    u, v = np.meshgrid(*[np.linspace(-1, 1, 41, dtype=np.float32)] * 2)
    first = SHAPES[one](u, v)
    for angle in np.linspace(-np.pi / 3, np.pi / 3, 13):
        turned = SHAPES[other](
            (np.cos(angle) * u + np.sin(angle) * v).astype(np.float32),
            (np.cos(angle) * v - np.sin(angle) * u).astype(np.float32),
        )
        assert (first & turned).sum() / (first | turned).sum() < 0.9


def test_textures_are_in_the_range_of_brightness_and_differ() -> None:
    x, y = np.meshgrid(*[np.linspace(-4, 4, 64, dtype=np.float32)] * 2)
    key = np.array([7], np.uint64)
    found = {name: texture(x[None], y[None], key) for name, texture in TEXTURES.items()}
    assert all(each.min() >= 0 and each.max() <= 1 and each.std() > 0.2 for each in found.values())
    assert all((found[one] != found[other]).mean() > 0.05 for one, other in combinations(found, 2))


def test_predictivity_below_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="texture_predictivity"):
        replace(TASK, texture_predictivity=0.01)
