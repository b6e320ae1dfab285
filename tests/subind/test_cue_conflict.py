"""Shape bias: exact on published decisions, by hand on small ones, and the interval against the binomial one."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from subind.tasks import cue_conflict
from subind.tasks.cue_conflict import IMAGENET16, bootstrap_interval, cue_measurements, cues, shape_bias, sixteen_way

REFERENCE = Path(__file__).resolve().parents[2].parent / "shared" / "reference"
OBSERVERS = ("googlenet", "subject-01", "subject-05", "subject-10")


@pytest.mark.parametrize("observer", OBSERVERS)
def test_shape_bias_of_published_decisions_is_the_published_one_to_four_decimals(observer: str) -> None:
    path = REFERENCE / "cue_conflict" / "raw_decisions" / f"{observer}.csv"
    if not path.is_file():
        pytest.skip(f"the published decisions are not here: {path.name} belongs beside the project, in shared/")
    with (REFERENCE / "shape_bias.csv").open() as file:
        published = next(row for row in csv.DictReader(file) if row["observer"] == observer)
    found = shape_bias(*cue_conflict.observer_decisions(path))
    assert found.num_images == int(published["num_conflict_images"])
    assert round(found.shape_rate * found.num_images) == int(published["shape_decisions"])
    assert round(found.texture_rate * found.num_images) == int(published["texture_decisions"])
    assert round(found.other_rate * found.num_images) == int(published["other_decisions"])
    assert found.pooled is not None
    assert found.class_mean is not None
    assert f"{found.pooled:.4f}" == f"{float(published['shape_bias_pooled']):.4f}"
    assert f"{found.class_mean:.4f}" == f"{float(published['shape_bias_class_mean']):.4f}"


def test_published_images_name_the_folder_as_their_shape() -> None:
    paths = list((REFERENCE / "cue_conflict" / "images").glob("*/*.png"))
    if not paths:
        pytest.skip("the published images are not here: they belong beside the project, in shared/")
    assert {IMAGENET16[cues(path.name)[0]] == path.parent.name for path in paths} == {True}


def test_shape_bias_of_few_images_is_that_counted_by_hand() -> None:
    shapes = np.array([0, 0, 0, 1, 1, 2])
    textures = np.array([1, 2, 0, 0, 2, 2])
    decisions = np.array([0, 2, 0, 1, 5, 2])
    found = shape_bias(shapes, textures, decisions)
    assert (found.num_images, found.shape_rate, found.texture_rate) == (4, 0.5, 0.25)
    assert found.other_rate == pytest.approx(0.25)
    assert found.pooled == pytest.approx(2 / 3)
    assert found.class_mean == pytest.approx((1 / 2 + 1) / 2)
    assert [(each.label, each.num_images, each.num_shape, each.num_texture) for each in found.classes] == [
        (0, 2, 1, 1),
        (1, 2, 1, 0),
    ]


def test_shape_bias_without_a_decision_for_either_cue_is_none() -> None:
    found = shape_bias(np.array([0, 1]), np.array([1, 0]), np.array([-1, 4]))
    assert found.pooled is None
    assert found.class_mean is None
    assert found.other_rate == 1


def test_shape_bias_of_images_without_conflict_is_refused() -> None:
    with pytest.raises(ValueError, match="cue-conflict"):
        shape_bias(np.array([3]), np.array([3]), np.array([3]))


def test_interval_of_a_bias_is_near_the_binomial_one() -> None:
    shapes, textures = np.zeros(1000, np.int64), np.ones(1000, np.int64)
    decisions = np.repeat([0, 1, 7], [300, 500, 200])
    low, high = bootstrap_interval(
        shapes, textures, decisions, generator=np.random.default_rng(0), num_resamples=20_000
    )
    exact = stats.binom(800, 300 / 800).interval(0.95)
    assert (low, high) == pytest.approx([each / 800 for each in exact], abs=0.004)


def test_interval_of_the_same_generator_is_the_same_and_of_another_is_not() -> None:
    data = np.zeros(50, np.int64), np.ones(50, np.int64), np.repeat([0, 1], [20, 30])
    first, again, other = (bootstrap_interval(*data, generator=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_file_name_without_two_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"SHAPE1-TEXTURE1\.png"):
        cues("cat3-house1.png")


def test_decision_of_many_classes_is_by_the_mean_probability_not_the_sum() -> None:
    probabilities = np.array([[0.2, 0.2, 0.2, 0.4], [0.7, 0.1, 0.1, 0.1]])
    assert sixteen_way(probabilities, [[0, 1, 2], [3]]).tolist() == [1, 0]


def test_class_without_members_is_refused() -> None:
    with pytest.raises(ValueError, match="members of class 1"):
        sixteen_way(np.ones((1, 3)) / 3, [[0], []])


# ---- what is measured of a network

CONFLICT_SHAPES, CONFLICT_TEXTURES = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2, 3, 0, 2, 3])


def measured(decisions: list[int]) -> dict[str, float]:
    return cue_measurements(CONFLICT_SHAPES, CONFLICT_TEXTURES, np.array(decisions), names=IMAGENET16, seed=0)


def test_cue_measurements_count_decisions_by_shape_class() -> None:
    found = measured([0, 0, 3, 0, 9, 9])
    assert found["num_cue_conflict"] == 6
    assert (found["shape_rate"], found["texture_rate"]) == (2 / 6, 2 / 6)
    assert found["shape_bias"] == 0.5
    assert found["shape_bias_class_mean"] == pytest.approx((2 / 3 + 0) / 2)
    counts = [found[f"cue_{cue}.{name}"] for name in ("airplane", "bear") for cue in ("shape", "texture", "other")]
    assert counts == [2, 1, 0, 0, 1, 2]
    assert found["shape_bias_low"] <= 0.5 <= found["shape_bias_high"]


def test_cue_measurements_without_a_decision_for_either_cue_have_no_bias() -> None:
    found = measured([15] * 6)
    assert found["other_rate"] == 1
    assert not any(name.startswith("shape_bias") for name in found)
