"""Specs of runs on images: bad values are refused with field, value and remedy; what shares a pack and an id."""

from dataclasses import replace
from typing import Any

import pytest

from subind.identity.run_ids import decode, encoded, run_id
from subind.specs.optimizers import SGD, NoClip
from subind.specs.rows import RepeatedPart
from subind.specs.run import lineage
from subind.specs.starts import FullTransfer, LongerDonor, RandomInit, Subnetwork
from subind.specs.training import FreshWeights, PublishedWeights
from tests.photograph_specs import photograph_donor, photograph_mask
from tests.specs import tiny_mask, tiny_model, tiny_transfer
from tests.vision_specs import CONTROLS, MOMENTUM, RESNET, VIT, image_donor, image_mask, image_transfer, shapes_task


@pytest.mark.parametrize(
    "changes",
    [
        {"num_epochs": 1},
        {"held": "all_but_head"},
        {"weights": FreshWeights()},
        {"task": shapes_task()},
        {"model": replace(RESNET, num_classes=100)},
    ],
)
def test_donor_of_other_classes_is_refused_unless_it_is_a_published_network_of_1000(changes: dict[str, Any]) -> None:
    published: dict[str, Any] = {
        "model": replace(RESNET, num_classes=1000),
        "weights": PublishedWeights(file="resnet18-f37072fd"),
        "num_epochs": 0,
    }
    donor = photograph_donor(**published)
    with pytest.raises(ValueError, match="num_classes is 100"):
        photograph_donor(**{**published, **changes})
    with pytest.raises(ValueError, match="num_classes is 1000: the task has 16 classes"):
        photograph_mask(donor)
    with pytest.raises(ValueError, match="num_classes is 1000: the task has 16 classes"):
        image_transfer(FullTransfer(donor=donor))


@pytest.mark.parametrize(
    "file", ["resnet18", "resnet18-F37072FD", "../resnet18-f37072fd", "-f37072fd", "résnet-f37072fd"]
)
def test_published_weights_that_no_file_is_named_like_say_so(file: str) -> None:
    with pytest.raises(ValueError, match="such as resnet18-f37072fd"):
        PublishedWeights(file=file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": replace(RESNET, num_classes=1000)}, "num_classes is 1000: the task has 16 classes"),
        ({"model": replace(VIT, image_size=32)}, "image_size is 32: give that of the task's images, 16"),
        ({"num_cue_conflict": 0}, "num_cue_conflict is 0: give a number above 0"),
        ({"precision": "bf16"}, "precision is 'bf16'"),
        ({"model": VIT, "precision": "float32_channels_last"}, "precision is 'float32_channels_last': a vit"),
        ({"held": "body"}, "held is 'body'"),
    ],
)
def test_image_donor_with_a_bad_value_says_which(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        image_donor(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beside": "class_token"}, "beside is 'class_token' of type str: give a tuple"),
        ({"penalty": -1.0}, "penalty is -1.0"),
        (
            {"subtask": replace(shapes_task(), image_size=32), "donor": image_donor(VIT)},
            r"ShapesTask gives .*image_size=32.* and the parent's task .*image_size=16",
        ),
    ],
)
def test_image_mask_with_a_bad_value_says_which(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        image_mask(**changes)


@pytest.mark.parametrize(
    ("control", "changes", "message"),
    [
        (RandomInit(model=RESNET), {"held": "norms"}, "held is 'norms': a network that inherits nothing"),
        ("new_head", {"held": "nothing"}, "held is 'nothing': a new head trains on a frozen base"),
        ("subnetwork", {"evaluations_per_epoch": 5}, "evaluations_per_epoch is 5: an epoch has 4 steps"),
        (Subnetwork(mask=tiny_mask()), {}, "a GPT2 reads Tokens, and the task gives Images"),
        (RandomInit(model=tiny_model()), {}, "a GPT2 reads Tokens, and the task gives Images"),
    ],
)
def test_image_transfer_with_a_bad_value_says_which(control: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        image_transfer(control, **changes)


@pytest.mark.parametrize("control", [Subnetwork(mask=image_mask()), RandomInit(model=RESNET)])
def test_transfer_of_arithmetic_refuses_a_start_for_images(control: Any) -> None:
    with pytest.raises(ValueError, match=r"a ResNet reads Images, and the task gives Tokens"):
        tiny_transfer(control)


@pytest.mark.parametrize(("num_distinct", "num_samples"), [(0, 5), (-1, 5), (5, -1), (2**31, 5)])
def test_part_that_repeats_no_rows_or_too_many_says_so(num_distinct: int, num_samples: int) -> None:
    with pytest.raises(ValueError, match=r"RepeatedPart\.num_\w+ is .*: give"):
        RepeatedPart(name="mean_pooled", num_distinct=num_distinct, num_samples=num_samples)


def test_sgd_with_a_momentum_of_one_says_so() -> None:
    with pytest.raises(ValueError, match=r"momentum is 1.0: give 0 to below 1"):
        SGD(learning_rate=0.1, momentum=1.0, weight_decay=0.0, schedule="constant", clip=NoClip())


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_image_transfer_comes_back_from_json_with_its_id(name: str) -> None:
    spec = image_transfer(name)
    assert decode(encoded(spec)) == spec
    assert run_id(decode(encoded(spec))) == run_id(spec)


def test_lineage_of_an_image_transfer_is_its_mask_and_its_donor() -> None:
    assert [type(each).__name__ for each in lineage(image_transfer())] == ["Transfer", "Discover", "Train"]
    assert image_transfer("random_init").parents() == ()


def test_pack_shape_parts_drawn_images_from_photographs_and_joins_their_seeds() -> None:
    photographs = photograph_donor()
    like_them = replace(photographs, task=shapes_task())
    assert photographs.pack_shape() != like_them.pack_shape()
    assert photographs.pack_shape() == replace(photographs, seed=1).pack_shape()


def test_pack_shape_joins_seeds_tasks_and_controls() -> None:
    first = image_transfer("subnetwork")
    second = image_transfer("full_transfer", seed=3, task=shapes_task(data_seed=3, shape_predictivity=0.5))
    assert first.pack_shape() == second.pack_shape()


@pytest.mark.parametrize(
    "changes",
    [{"held": "norms"}, {"optimizer": replace(MOMENTUM, momentum=0.5)}, {"precision": "float32_channels_last"}],
)
def test_pack_shape_parts_what_trains_otherwise(changes: dict[str, Any]) -> None:
    assert image_transfer().pack_shape() != image_transfer(**changes).pack_shape()


# ---- the start of equal training


def test_longer_donor_descends_from_the_donor_that_it_names() -> None:
    donor = image_donor(num_epochs=5, patience=5)
    run = image_transfer(LongerDonor(donor=donor))
    assert list(lineage(run)) == [run, donor]
    others = [LongerDonor(donor=image_donor(num_epochs=6)), FullTransfer(donor=donor)]
    assert len({run_id(run), *(run_id(image_transfer(each)) for each in others)}) == 3
