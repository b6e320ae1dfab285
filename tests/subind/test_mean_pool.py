"""Mean-pooling against loops over pixels with integers."""

import numpy as np
import pytest

from subind.tasks.photographs.mean_pool import mean_pooled


def _oracle(image: np.ndarray, segments: np.ndarray) -> list[list[list[int]]]:
    rows, columns, _ = image.shape
    found = [[[0, 0, 0] for _ in range(columns)] for _ in range(rows)]
    nowhere = [(r, c) for r in range(rows) for c in range(columns) if not any(each[r][c] for each in segments)]
    members = [[(r, c) for r in range(rows) for c in range(columns) if each[r][c]] for each in segments]
    for pixels in [nowhere, *sorted(members, key=lambda each: -len(each))]:
        for channel in range(3):
            total = sum(int(image[r, c, channel]) for r, c in pixels)
            for r, c in pixels:
                found[r][c][channel] = int((total / len(pixels)) + 0.5)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_pooled_image_of_overlapping_segments_is_the_one_of_loops_over_pixels(seed: int) -> None:
    draws = np.random.default_rng(seed)
    image = draws.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    segments = np.stack([draws.random((9, 7)) < share for share in (0.1, 0.6, 0.3, 0.0)])
    assert mean_pooled(image, segments).tolist() == _oracle(image, segments)


def test_small_segment_wins_over_a_large_one_that_covers_it() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = 200
    small, large = np.array([[True, False], [False, False]]), np.ones((2, 2), np.bool_)
    for segments in (np.stack([small, large]), np.stack([large, small])):
        assert mean_pooled(image, segments)[:, :, 0].tolist() == [[200, 50], [50, 50]]


def test_image_without_segments_becomes_its_mean_colour() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert mean_pooled(image, np.zeros((0, 2, 2), np.bool_)).reshape(4, 3).tolist() == [[5, 6, 7]] * 4


def test_segments_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows and 3 columns"):
        mean_pooled(np.zeros((2, 3, 3), np.uint8), np.zeros((1, 3, 2), np.bool_))
