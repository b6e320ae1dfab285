"""16-class ImageNet: the table against torchvision's, parts that share no image, and errors that name folders."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from subind.specs.images import ImageNet16Task
from subind.tasks.cue_conflict import IMAGENET16, sixteen_way
from subind.tasks.photographs.imagenet16 import (
    NUM_IMAGES,
    balanced,
    logits_of_classes,
    members,
    photographs,
    pooled_photographs,
    split,
)
from tests.photographs import write_tree

TASK = ImageNet16Task(
    part="transfer",
    num_images=4000,
    num_per_class=100,
    evaluation_share=0.1,
    segmenter="slic",
    shorter_side=256,
    image_size=224,
    data_seed=0,
    pooled=False,
    augmentation="none",
    class_weights="equal",
    num_cue_conflict=24,
)
LABELS = np.arange(4000) % 20 % 16
NAMES = [f"n{label:08d}/n{label:08d}_{place}" for place, label in enumerate(LABELS)]
DIGESTS = np.arange(4000, dtype=np.uint64)


def test_table_has_the_published_number_of_classes_of_each_kind() -> None:
    counts = {name: sum(each.label == label for each in members()) for label, name in enumerate(IMAGENET16)}
    assert counts == {
        "airplane": 1, "bear": 4, "bicycle": 2, "bird": 49, "boat": 5, "bottle": 7, "car": 3, "cat": 6, "chair": 4,
        "clock": 3, "dog": 109, "elephant": 2, "keyboard": 2, "knife": 1, "oven": 1, "truck": 8,
    }  # fmt: skip
    assert sum(counts.values()) == 207


def test_table_names_are_those_of_torchvision_at_the_same_logits() -> None:
    from torchvision.models import ResNet18_Weights

    categories = ResNet18_Weights.DEFAULT.meta["categories"]
    assert [categories[each.logit] for each in members()] == [each.name for each in members()]


def test_table_has_every_wordnet_id_once_and_in_the_order_of_the_logits() -> None:
    found = sorted(members(), key=lambda each: each.wordnet_id)
    assert all(re.fullmatch(r"n\d{8}", each.wordnet_id) for each in found)
    assert len({each.wordnet_id for each in found}) == len(found)
    assert [each.logit for each in found] == sorted({each.logit for each in found})


def test_table_agrees_with_the_imagenette_folders_of_torchvision() -> None:
    from torchvision.datasets import Imagenette

    known = Imagenette._WNID_TO_CLASS
    ours = {each.wordnet_id: each for each in members() if each.wordnet_id in known}
    assert {known[each.wordnet_id][0] for each in ours.values()} == {"English springer", "garbage truck"}
    assert {IMAGENET16[each.label] for each in ours.values()} == {"dog", "truck"}


def test_mean_rule_over_the_logits_decides_for_the_class_with_the_highest_mean() -> None:
    probabilities = np.full((2, 1000), 1e-4)
    probabilities[0, 404] = 0.3
    probabilities[1, [766, 152, 153]] = [0.2, 0.4, 0.4]  # many dogs: their mean is small
    assert [IMAGENET16[each] for each in sixteen_way(probabilities, logits_of_classes())] == ["airplane", "oven"]


@pytest.mark.parametrize("part", ["balanced", "transfer"])
def test_split_has_no_image_in_training_and_evaluation(part: str) -> None:
    found = split(replace(TASK, part=part), names=NAMES, labels=LABELS, digests=DIGESTS)
    assert np.intersect1d(found.train, found.evaluation).size == 0
    assert len(set(found.train)) + len(set(found.evaluation)) == len(found.train) + len(found.evaluation)


def test_split_of_the_balanced_part_has_the_published_shares_of_each_class() -> None:
    found = split(replace(TASK, part="balanced"), names=NAMES, labels=LABELS, digests=DIGESTS)
    assert np.bincount(LABELS[found.evaluation]).tolist() == [10] * 16
    assert np.bincount(LABELS[found.train]).tolist() == [90] * 16


def test_split_of_the_transfer_part_trains_on_all_but_the_evaluation_images() -> None:
    found = split(TASK, names=NAMES, labels=LABELS, digests=DIGESTS)
    assert sorted([*found.train, *found.evaluation]) == list(range(4000))


def test_split_of_classes_short_of_images_rounds_up_in_each() -> None:
    counts = [1000] * 14 + [731, 747]
    labels = np.repeat(np.arange(16), counts)
    names = [f"{label}/{place}" for place, label in enumerate(labels)]
    task = replace(TASK, part="balanced", num_images=15_478, num_per_class=1000)
    found = split(task, names=names, labels=labels, digests=np.arange(15_478, dtype=np.uint64))
    assert (len(found.train), len(found.evaluation)) == (13_929, 1_549)


def test_split_leaves_out_of_training_what_looks_like_an_evaluation_image() -> None:
    evaluation = split(TASK, names=NAMES, labels=LABELS, digests=DIGESTS).evaluation
    twin = next(place for place in range(4000) if place not in evaluation)
    digests = DIGESTS.copy()
    digests[twin] = digests[evaluation[0]]
    found = split(TASK, names=NAMES, labels=LABELS, digests=digests)
    assert np.array_equal(found.evaluation, evaluation)
    assert twin not in found.train
    assert len(found.train) == 4000 - len(evaluation) - 1


def test_split_is_the_same_whatever_the_order_of_the_listing() -> None:
    order = np.random.default_rng(0).permutation(4000)
    shuffled = split(TASK, names=[NAMES[place] for place in order], labels=LABELS[order], digests=DIGESTS[order])
    first = split(TASK, names=NAMES, labels=LABELS, digests=DIGESTS)
    assert set(order[shuffled.evaluation]) == set(first.evaluation)


def test_split_of_another_seed_is_another() -> None:
    first, second = (
        split(replace(TASK, data_seed=seed), names=NAMES, labels=LABELS, digests=DIGESTS).evaluation for seed in (0, 1)
    )
    assert len(np.intersect1d(first, second)) < len(first) / 2


def test_split_of_a_tree_with_fewer_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"num_images is 213,555 and the tree has 4,000"):
        split(replace(TASK, num_images=NUM_IMAGES), names=NAMES, labels=LABELS, digests=DIGESTS)


def test_balanced_takes_all_of_a_class_that_has_fewer() -> None:
    labels = np.array([0] * 5 + [1] * 2 + [15])
    found = balanced([str(place) for place in range(8)], labels, num_per_class=3, seed=0)
    assert [len(part) for part in found] == [3, 2, *[0] * 13, 1]
    assert all((labels[part] == label).all() for label, part in enumerate(found))


def test_tree_lists_every_image_with_its_class(tmp_path: Path) -> None:
    write_tree(tmp_path, num_of_each=1)
    (tmp_path / "train" / "n01440764").mkdir()
    (tmp_path / "train" / "n01440764" / "tench.JPEG").write_bytes(b"of no class of the 16")
    found = photographs(tmp_path)
    assert len(found.files) == 207
    place = found.files.index("train/n02690373/n02690373_0.JPEG")
    assert found.names[place] == "n02690373/n02690373_0"
    assert IMAGENET16[found.labels[place]] == "airplane"


def test_tree_without_the_folder_train_is_taken_for_it(tmp_path: Path) -> None:
    write_tree(tmp_path, num_of_each=1)
    assert photographs(tmp_path / "train").names == photographs(tmp_path).names


def test_tree_that_lacks_folders_is_refused_with_their_names(tmp_path: Path) -> None:
    write_tree(tmp_path, num_of_each=1)
    for name in ("n02690373", "n03041632"):
        (tmp_path / "train" / name / f"{name}_0.JPEG").unlink()
        (tmp_path / "train" / name).rmdir()
    with pytest.raises(ValueError, match=r"lacks 2 of the 207 folders .*\(n02690373, n03041632\): unpack"):
        photographs(tmp_path)


def test_tree_with_an_empty_folder_is_refused_with_its_name(tmp_path: Path) -> None:
    write_tree(tmp_path, num_of_each=1)
    (tmp_path / "train" / "n02690373" / "n02690373_0.JPEG").unlink()
    with pytest.raises(ValueError, match=r"has no image in 1 of the 207 .*\(n02690373\)"):
        photographs(tmp_path)


def test_tree_that_is_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a folder: give the one that holds train"):
        photographs(tmp_path / "nowhere")


def test_empty_tree_is_refused_with_a_few_of_the_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks 207 of the 207 .* and 199 more"):
        photographs(tmp_path)


def test_image_with_two_endings_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, num_of_each=1)
    folder = tmp_path / "train" / "n02690373"
    (folder / "n02690373_0.png").write_bytes((folder / "n02690373_0.JPEG").read_bytes())
    with pytest.raises(ValueError, match="'n02690373/n02690373_0' with two endings"):
        photographs(tmp_path)


def test_pooled_tree_may_lack_folders(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "n02690373"
    folder.mkdir(parents=True)
    (folder / "n02690373_7.png").write_bytes(b"")
    assert pooled_photographs(tmp_path).names == ("n02690373/n02690373_7",)


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_images", 0), ("evaluation_share", 0.0), ("evaluation_share", 1.0), ("image_size", 257), ("data_seed", -1)],
)
def test_task_out_of_range_is_refused_with_its_field(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"ImageNet16Task\.{field} is"):
        replace(TASK, **{field: value})
