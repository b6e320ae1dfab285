"""The images that runs take: different for each use, and exact in their augmentation."""

import numpy as np
import torch

from subind.tasks import images
from subind.tasks.drawn.shapes import drawn
from subind.tasks.images import Images, class_weights
from subind.tasks.photographs.mean_pool import mean_pooled
from tests.vision_specs import shapes_task

TASK = shapes_task()


def test_images_of_different_use_are_different_images() -> None:
    several = [images.images(TASK, use, "original", 40).pixels for use in ("train", "validation", "test")]
    several.append(images.conflict_images(TASK, 40).pixels)
    distinct = {picture.numpy().tobytes() for pixels in several for picture in pixels}
    assert len(distinct) == 160


def test_mean_pooled_images_are_the_originals_painted_by_their_segments() -> None:
    made, pooled = drawn(TASK, np.arange(6)), images.images(TASK, "train", "mean_pooled", 6)
    for index in range(6):
        segments = np.stack([made.segments[index] == number for number in range(3)])
        expected = mean_pooled(made.images[index], segments)
        assert np.array_equal(pooled.pixels[index].permute(1, 2, 0).numpy(), expected)


def test_more_images_begin_with_the_same_ones() -> None:
    few, many = (images.images(TASK, "train", "original", count) for count in (5, 9))
    assert torch.equal(many.pixels[:5], few.pixels)


def test_images_are_moved_and_mirrored_as_padding_and_cropping_them_does() -> None:
    pixels = images.images(TASK, "train", "original", 50).pixels
    draws = torch.rand(3, 50, generator=torch.Generator().manual_seed(0))
    found = images.moved_and_mirrored(pixels, draws)
    for index in range(50):
        picture = pixels[index].numpy()
        picture = picture[:, :, ::-1] if draws[2, index] < 0.5 else picture
        down, right = (int(torch.floor(draws[axis, index] * 5)) - 2 for axis in (0, 1))
        padded = np.pad(picture, ((0, 0), (2, 2), (2, 2)), mode="edge")
        expected = padded[:, 2 - down : 18 - down, 2 - right : 18 - right]
        assert np.array_equal(found[index].numpy(), expected)


def test_class_weights_by_inverse_frequency_give_every_class_the_same_total() -> None:
    labels = torch.tensor([0] * 6 + [1] * 2 + list(range(2, 16)))
    weights = class_weights("inverse_frequency", labels)
    totals = weights * torch.bincount(labels, minlength=16)
    torch.testing.assert_close(totals, torch.full((16,), len(labels) / 16))


def test_class_weights_that_are_equal_are_ones() -> None:
    assert class_weights("equal", torch.arange(16)).tolist() == [1.0] * 16


def test_repeated_images_come_in_turn() -> None:
    given = Images(pixels=torch.zeros(3, 3, 1, 1, dtype=torch.uint8), labels=torch.tensor([4, 5, 6]))
    assert images.repeated(given, 7).labels.tolist() == [4, 5, 6, 4, 5, 6, 4]
