"""Packs of tasks on images: batches, losses and measurements against plain loops over the images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from subind.specs.rows import Part, RepeatedPart
from subind.tasks import images
from subind.tasks.cue_conflict import sixteen_way
from subind.tasks.image_pack import ImagesPack, of_sixteen
from subind.tasks.photographs.imagenet16 import logits_of_classes
from subind.tasks.photographs.stored_images import StoredImages
from subind.tasks.task import Ask, PackOrder, packed
from subind.training.draws import Draws
from tests.photograph_specs import MEAN_POOLED, NUM_EVALUATION, TASK, write_folder
from tests.vision_specs import MIXTURE, image_donor, image_mask, image_transfer, mean_pooled, shapes_task

CROPPED = shapes_task(augmentation="crop_and_flip", class_weights="inverse_frequency")
NORMALISE = v2.Compose(
    [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])]
)


def pack_of(runs: Sequence[Any], *, folder: str = "") -> ImagesPack:
    made = packed(
        PackOrder(
            runs=runs,
            tasks=[run.task for run in runs],
            parts=[run.rows for run in runs],
            num_evaluation_samples=runs[0].num_evaluation_samples,
            device="cpu",
            images=folder,
            judged="validation",
        )
    )
    assert isinstance(made, ImagesPack)
    return made


def scores_of(pixels: Tensor, seed: int) -> Tensor:
    """Scores [image class] of a made-up network, image by image."""
    weight = torch.randn(16, pixels[0].numel(), generator=torch.Generator().manual_seed(seed))
    return torch.stack([weight @ each.flatten() for each in pixels.contiguous()])


def ask_of(*seeds: int) -> Ask:
    def ask(inputs: Any) -> Tensor:
        return torch.stack([scores_of(own, seed) for own, seed in zip(inputs, seeds, strict=True)])

    return ask


def standardised(pixels: Tensor) -> Tensor:
    """Drawn pixels about zero: 0 … 255 becomes -2 … 2."""
    return (pixels.float() / 255 - 0.5) / 0.25


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_folder(tmp_path_factory.mktemp("photographs")))


# ---- a training step on drawn images


def test_batch_of_drawn_images_is_the_images_at_the_rows_about_zero() -> None:
    tasks = [shapes_task(data_seed=seed) for seed in (0, 1)]
    pack = pack_of([image_donor(task=task) for task in tasks])
    rows = torch.tensor([[3, 0, 29], [7, 7, 1]])
    inputs, batch = pack.batch(rows)
    for task, own, labels, chosen in zip(tasks, inputs, batch["labels"], rows, strict=True):
        given = images.images(task, "train", "original", 30).at(chosen)
        torch.testing.assert_close(own, standardised(given.pixels), rtol=1e-6, atol=1e-6)
        assert torch.equal(labels, given.labels)


def test_batch_of_a_mixture_has_originals_and_mean_pooled_images_in_turn() -> None:
    pack = pack_of([image_transfer("data_mixture")])
    assert pack.num_rows == 50
    inputs, _ = pack.batch(torch.arange(50)[None])
    original = images.images(shapes_task(), "train", "original", 30).pixels
    pooled = images.images(shapes_task(), "train", "mean_pooled", 7).pixels
    expected = torch.cat([original, pooled, pooled, pooled[:6]])
    torch.testing.assert_close(inputs[0], standardised(expected), rtol=1e-6, atol=1e-6)


def test_part_without_rows_adds_none() -> None:
    rows = (Part(name="original", num_samples=0), RepeatedPart(name="mean_pooled", num_distinct=7, num_samples=9))
    pack = pack_of([replace(image_transfer("data_mixture"), rows=rows)])
    assert pack.num_rows == 9


def test_drawn_images_are_moved_by_the_draws_of_the_step() -> None:
    pack = pack_of([image_transfer(task=CROPPED, seed=seed) for seed in (0, 5)])
    rows = torch.arange(8).repeat(2, 1)
    pack.at(17)
    inputs, _ = pack.batch(rows)
    draws = Draws("transfer/augmentation", [0, 5], "cpu")
    draws.at(17)
    uniform = draws.uniform(24).view(2, 3, 8)
    pixels = images.images(CROPPED, "train", "original", 8).pixels
    for own, part in zip(inputs, uniform, strict=True):
        torch.testing.assert_close(own, standardised(images.moved_and_mirrored(pixels, part)), rtol=1e-6, atol=1e-6)


def test_augmentation_depends_on_seed_and_step_alone() -> None:
    rows, pack = torch.arange(20)[None], pack_of([image_transfer(task=CROPPED)])
    several = []
    for each, step in ((pack, 3), (pack, 4), (pack, 3), (pack_of([image_transfer(task=CROPPED, seed=1)]), 3)):
        each.at(step)
        several.append(each.batch(rows)[0])
    assert torch.equal(several[0], several[2])
    assert not torch.equal(several[0], several[1])
    assert not torch.equal(several[0], several[3])


def test_losses_are_torchs_cross_entropy_with_the_weights_of_the_classes() -> None:
    runs = [image_transfer(seed=seed, data_seed=seed) for seed in range(3)]
    pack, rows = pack_of(runs), torch.arange(30).repeat(3, 1)
    inputs, batch = pack.batch(rows)
    losses = pack.losses(ask_of(0, 1, 2)(inputs), batch)
    for replica, run in enumerate(runs):
        given = images.images(run.task, "train", "original", 30)
        weights = 30 / (16 * torch.bincount(given.labels, minlength=16).clamp(min=1))
        scores = scores_of(standardised(given.pixels), replica).double()
        each = F.cross_entropy(scores, given.labels, reduction="none") * weights[given.labels]
        assert float(losses[replica]) == pytest.approx(float(each.sum() / weights[given.labels].sum()), rel=1e-5)


def test_losses_of_a_replica_have_the_same_bits_alone_and_in_a_pack() -> None:
    runs = [image_transfer(task=replace(CROPPED, data_seed=seed), seed=seed) for seed in range(3)]
    together, rows = pack_of(runs), torch.randint(30, (3, 8), generator=torch.Generator().manual_seed(0))
    together.at(9)
    inputs, batch = together.batch(rows)
    losses = together.losses(ask_of(0, 1, 2)(inputs), batch)
    for replica, run in enumerate(runs):
        alone = pack_of([run])
        alone.at(9)
        own, labels = alone.batch(rows[replica : replica + 1])
        assert torch.equal(own[0], inputs[replica])
        assert torch.equal(alone.losses(ask_of(replica)(own), labels), losses[replica : replica + 1])


def test_images_of_one_task_are_shared_by_the_replicas() -> None:
    pack = pack_of([image_donor(seed=seed) for seed in range(3)])
    assert len({each.pixels.data_ptr() for each in pack._images}) == 1


# ---- evaluation


def accuracy(task: Any, use: images.Use, kind: images.Kind, number: int, *, seed: int) -> tuple[float, float]:
    """Loss and accuracy by a plain loop."""
    given = images.images(task, use, kind, number)
    scores = scores_of(standardised(given.pixels), seed)
    right = [int(own.argmax()) == int(label) for own, label in zip(scores, given.labels, strict=True)]
    return float(F.cross_entropy(scores.double(), given.labels)), sum(right) / number


def test_evaluation_is_that_of_a_plain_loop_on_both_kinds_beyond_one_part() -> None:
    runs = [image_donor(num_evaluation_samples=300, seed=seed, data_seed=seed) for seed in range(2)]
    for replica, (run, measured) in enumerate(zip(runs, pack_of(runs).evaluate(ask_of(0, 1)), strict=True)):
        loss, original = accuracy(run.task, "validation", "original", 300, seed=replica)
        assert measured["validation_loss"] == pytest.approx(loss, rel=1e-5)
        assert measured["accuracy_original"] == original
        assert measured["accuracy_mean_pooled"] == accuracy(run.task, "validation", "mean_pooled", 300, seed=replica)[1]


def test_mask_is_judged_and_tested_on_mean_pooled_images() -> None:
    mask = image_mask(num_evaluation_samples=60)
    pack = pack_of([mask])
    loss, right = accuracy(mask.task, "validation", "mean_pooled", 60, seed=3)
    (measured,) = pack.evaluate(ask_of(3))
    assert measured == {"validation_loss": pytest.approx(loss, rel=1e-5), "validation_accuracy": right}
    tested = accuracy(mask.task, "test", "mean_pooled", 60, seed=3)[1]
    assert pack.final(ask_of(3), 0) == {"subtask_accuracy": tested}


def test_final_is_accuracy_on_test_images_and_decisions_on_two_cues() -> None:
    run = image_transfer(num_evaluation_samples=60, num_cue_conflict=240)
    measured = pack_of([run]).final(ask_of(2), 0)
    assert measured["accuracy_original"] == accuracy(run.task, "test", "original", 60, seed=2)[1]
    assert measured["accuracy_mean_pooled"] == accuracy(run.task, "test", "mean_pooled", 60, seed=2)[1]
    conflict = images.conflict_images(run.task, 240)
    decided = scores_of(standardised(conflict.pixels), 2).argmax(1).numpy()
    assert measured["num_cue_conflict"] == 240
    assert measured["shape_rate"] == (decided == conflict.shapes).mean()
    assert measured["texture_rate"] == (decided == conflict.textures).mean()


def test_measurements_of_a_replica_are_the_same_alone_in_a_pack_and_after_a_selection() -> None:
    runs = [image_transfer(seed=seed, data_seed=seed % 2, task=CROPPED) for seed in range(3)]
    pack = pack_of(runs)
    measured, final = pack.evaluate(ask_of(0, 1, 2)), pack.final(ask_of(2), 2)
    for replica, run in enumerate(runs):
        assert pack_of([run]).evaluate(ask_of(replica)) == [measured[replica]]
    assert pack_of([runs[2]]).final(ask_of(2), 0) == final
    pack.constants = {name: tensor[[2, 1]] for name, tensor in pack.constants.items()}
    pack.select([2, 1])
    assert pack.evaluate(ask_of(2, 1)) == [measured[2], measured[1]]
    assert pack.final(ask_of(2), 0) == final
    alone, rows = pack_of([runs[2]]), torch.arange(8)[None]
    for each in (pack, alone):
        each.at(4)
    assert torch.equal(pack.batch(rows.repeat(2, 1))[0][0], alone.batch(rows)[0][0])


def test_thousand_classes_are_decided_by_the_mean_probability_of_the_sixteen() -> None:
    scores = 3 * torch.randn(50, 1000, generator=torch.Generator().manual_seed(0))
    expected = sixteen_way(scores.softmax(1).numpy(), logits_of_classes())
    assert np.array_equal(of_sixteen(scores).argmax(1).numpy(), expected)
    assert torch.equal(of_sixteen(scores[:, :16]), scores[:, :16])


# ---- photographs


def photograph_run(**changes: Any) -> Any:
    run = image_donor(task=replace(TASK, class_weights="inverse_frequency"), num_samples=40)
    return replace(run, num_evaluation_samples=NUM_EVALUATION, **changes)


def test_batch_of_photographs_as_they_are_is_their_middles_as_torchvision_normalises_them(folder: str) -> None:
    run = photograph_run()
    run = replace(run, task=replace(run.task, augmentation="none"))
    pack, rows = pack_of([run], folder=folder), torch.tensor([[5, 0, 39]])
    pack.expect(1, [rows])
    pack.load(rows)
    inputs, batch = pack.batch(rows)
    given = images.training_images(run.task, "original", 40, folder=folder)
    assert isinstance(given, StoredImages)
    pictures = [given.caches[0].image(given.places[place]) for place in rows[0]]
    cut = torch.stack([v2.CenterCrop(16)(torch.from_numpy(each.copy()).permute(2, 0, 1)) for each in pictures])
    torch.testing.assert_close(inputs[0], NORMALISE(cut), rtol=1e-4, atol=1e-5)
    assert torch.equal(batch["labels"][0], given.labels[rows[0]])


def test_crops_of_photographs_depend_on_seed_and_epoch_and_not_on_the_pack(folder: str) -> None:
    runs, rows = [photograph_run(seed=seed) for seed in range(2)], torch.arange(20).repeat(2, 1)

    def crops(pack: ImagesPack, epoch: int, chosen: Tensor) -> Tensor:
        pack.expect(epoch, [chosen])
        pack.load(chosen)
        return pack.batch(chosen)[0]

    together = crops(pack_of(runs, folder=folder), 1, rows)
    for replica, run in enumerate(runs):
        assert torch.equal(crops(pack_of([run], folder=folder), 1, rows[:1])[0], together[replica])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(crops(pack_of(runs, folder=folder), 2, rows)[0], together[0])


def test_photographs_are_evaluated_as_a_plain_loop_does(folder: str) -> None:
    run = photograph_run()
    pack = pack_of([run], folder=folder)
    final, (measured,) = pack.final(ask_of(1), 0), pack.evaluate(ask_of(1))
    for kind in ("original", "mean_pooled"):
        for use, found in (("validation", measured), ("test", final)):
            given = images.images(run.task, use, kind, NUM_EVALUATION, folder=folder)  # type: ignore[arg-type]
            answers = scores_of(NORMALISE(given.pixels), 1).argmax(1)
            assert found[f"accuracy_{kind}"] == int((answers == given.labels).sum()) / NUM_EVALUATION
    pooled = replace(run, task=MEAN_POOLED, rows=mean_pooled(30))
    assert set(pack_of([pooled], folder=folder).final(ask_of(1), 0)) == {"subtask_accuracy"}


def test_pack_of_photographs_without_a_folder_is_refused_with_the_option() -> None:
    with pytest.raises(ValueError, match="--images is not given"):
        pack_of([photograph_run()])


def test_rows_of_a_mixture_of_photographs_are_the_parts(folder: str) -> None:
    run = photograph_run()
    pack = pack_of([replace(run, rows=MIXTURE)], folder=folder)
    pooled = [each.settings.pooling is not None for each in pack._sources[0].images.caches]
    counts = np.bincount(pack._sources[0].images.cache_of)
    assert (pooled, counts.tolist()) == ([False, True], [30, 20])
    assert pack.num_rows == 50
