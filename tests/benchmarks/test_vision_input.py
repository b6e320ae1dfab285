"""The benchmark of vision's input: both sides give the same squares of the same files, and the rates are of both."""

from pathlib import Path

import pytest
import torch

from benchmarks import vision_input
from benchmarks.vision_input import Work, vision_input_benchmark


@pytest.mark.slow
def test_benchmark_tells_both_rates_and_their_ratio() -> None:
    told = list[str]()
    work = Work(num_images=16, num_step_images=4, batch_size=4, num_rounds=2)
    found = vision_input_benchmark(progress=told.append, work=work)
    assert [row["case"] for row in found["rows"]] == ["input", "input and step"]
    assert found["decoded_images_per_second"] > 0
    for row in found["rows"]:
        assert row["num_rounds"] == 2
        assert row["images_per_second"] > 0
        assert row["plain_images_per_second"] > 0
    assert len(told) == 5


@pytest.mark.slow
def test_both_sides_give_the_same_images_but_for_the_place_of_the_square(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vision_input, "WIDTH", vision_input.HEIGHT)
    monkeypatch.setattr(vision_input, "SIZE", vision_input.SHORTER_SIDE)  # so that there is one place, and its mirror
    drawn = vision_input._write_tree(tmp_path / "tree", 8)
    cache = vision_input._cached(tmp_path, drawn)
    given = {"num_images": 8, "batch_size": 4, "device": "cpu"}
    sides = (vision_input._ours(cache, **given), vision_input._plain(tmp_path / "tree", **given))
    rows = []
    for epoch in sides:
        images = torch.cat([images for images, _ in epoch()])
        assert images.shape == (8, 3, 256, 256)
        means = images.mean(3)  # of every row, whichever way round
        rows.append(means[means[:, 0, 0].argsort()])
    torch.testing.assert_close(rows[0], rows[1], rtol=1e-4, atol=1e-5)
