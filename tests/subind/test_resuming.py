"""Going on from checkpoints: exact, whatever happened before, and only from those that the pack can go on from."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from subind.specs.run import Run
from subind.stages.run import Resumed, run
from subind.training.loop import Finished, Saved
from tests.specs import tiny_donor, tiny_model
from tests.subind.packs import EVERY_STEP, ONE_THREAD, PARENTS, finished, ignored, resumed_at
from tests.vision_specs import image_donor, image_mask, image_transfer

DONORS: list[Run] = [tiny_donor(model=tiny_model(dropout=0.1), seed=seed) for seed in range(2)]
OVERFLOWING = 1e38
"""As a running mean it makes the loss overflow in the first evaluation of an epoch, and not in its last."""


def same(found: Finished, expected: Finished) -> bool:
    """Whether both left the same, to the last bit; repr gives floats exactly, and NaN equals itself."""
    several = ((each.replica, each.measurements, each.files) for each in (found, expected))
    first, second = map(repr, several)
    return first == second


# ---- what stands in a checkpoint


def failing_within_an_epoch() -> tuple[list[Run], Callable[[Run, str], bytes]]:
    """Two recipients that are evaluated four times an epoch, the second with such a running mean."""
    shape: dict[str, Any] = {"num_samples": 16, "evaluations_per_epoch": 4, "batch_size": 2, "num_epochs": 1}
    masks = [image_mask(image_donor(seed=seed)) for seed in range(2)]
    pack: list[Run] = [
        image_transfer("full_transfer", mask=mask, seed=seed, **shape) for seed, mask in enumerate(masks)
    ]

    def read(parent: Run, file: str) -> bytes:
        tensors = load(PARENTS(parent, file))
        if parent.seed == 1:
            tensors["bn1.running_mean"].fill_(-OVERFLOWING)
        return save(tensors)

    return pack, read


def test_failure_noticed_within_an_epoch_is_one_after_every_resume() -> None:
    pack, read = failing_within_an_epoch()
    checkpoints: list[Saved] = []
    expected = finished(pack, read=read, runtime=EVERY_STEP, checkpoints=checkpoints)
    losses = expected[pack[1]].replica.curves["validation_loss"]
    assert not math.isfinite(losses[0])
    assert math.isfinite(losses[-1])
    assert "validation_loss not finite in epoch 1" in expected[pack[1]].replica.failure
    assert len(checkpoints) == 8
    for saved in checkpoints:
        found = finished(saved.specs, read=read, resumed=resumed_at(saved, saved.specs))
        assert all(same(found[spec], expected[spec]) for spec in saved.specs)


IMAGE_TRANSFERS = [
    image_transfer(name, evaluations_per_epoch=3, seed=1, num_epochs=1) for name in ("subnetwork", "random_init")
]
CROPPED = [replace(each, task=replace(each.task, augmentation="crop_and_flip")) for each in IMAGE_TRANSFERS]
IMAGE_MASKS = [image_mask(image_donor(seed=seed), seed=seed, statistics="batch") for seed in range(2)]


@pytest.mark.parametrize("pack", [CROPPED, IMAGE_MASKS], ids=["transfers", "masks"])
def test_pack_on_images_resumes_at_every_checkpoint_to_the_same_bits(pack: Sequence[Run]) -> None:
    checkpoints: list[Saved] = []
    expected = finished(pack, runtime=EVERY_STEP, checkpoints=checkpoints)
    assert len(checkpoints) == 4 * pack[0].num_epochs
    for saved in checkpoints:
        found = finished(saved.specs, resumed=resumed_at(saved, saved.specs))
        assert all(same(found[spec], expected[spec]) for spec in saved.specs)


# ---- checkpoints that a pack cannot go on from


def started_over(pack: Sequence[Run], resumed: Resumed) -> list[str]:
    """What is said of a checkpoint from which the pack, as if it had none, does not go on."""
    said: list[str] = []
    done = run(pack, read=PARENTS, runtime=ONE_THREAD, save=print, report=ignored, resumed=resumed, refuse=said.append)
    found, expected = {each.replica.spec: each for each in done}, finished(pack)
    assert all(same(found[spec], expected[spec]) for spec in pack)
    return said


def checkpoint() -> Resumed:
    """One of two donors with dropout, made within their second epoch."""
    several: list[Saved] = []
    finished(DONORS, runtime=EVERY_STEP, checkpoints=several)
    return resumed_at(several[-2], DONORS)


def with_state(resumed: Resumed, **changes: Any) -> Resumed:
    return replace(resumed, state=json.dumps({**json.loads(resumed.state), **changes}))


def with_tensors(resumed: Resumed, change: Callable[[str, Tensor], Tensor | None]) -> Resumed:
    changed = {name: change(name, tensor) for name, tensor in resumed.tensors.items()}
    return replace(resumed, tensors={name: each for name, each in changed.items() if each is not None})


def test_checkpoint_of_a_gpu_is_not_resumed_on_a_cpu() -> None:
    (line,) = started_over(DONORS, with_state(checkpoint(), device="cuda"))
    assert "made on cuda, and this worker trains on cpu" in line
    assert "training starts over" in line


@pytest.mark.parametrize("changes", [{"format": 0}, {"format": None}, {"epoch": 9}, {"step": -1}, {"histories": [{}]}])
def test_checkpoint_of_another_format_is_not_resumed_from(changes: dict[str, Any]) -> None:
    (line,) = started_over(DONORS, with_state(checkpoint(), **changes))
    assert "the checkpoint is not resumed from, and training starts over: " in line


@pytest.mark.parametrize("state", ["", "[]", '{"epoch": 1, "step": 1, "histories": []}'])
def test_checkpoint_without_a_state_is_not_resumed_from(state: str) -> None:
    assert len(started_over(DONORS, replace(checkpoint(), state=state))) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda _name, tensor: tensor[:1],
        lambda _name, tensor: tensor.double(),
        lambda name, tensor: None if name == "loss_sum" else tensor,
        lambda name, tensor: tensor[..., 1:] if name.startswith("optimiser.") else tensor,
        lambda name, tensor: tensor.double() if name == "trainable.wte.weight" else tensor,
    ],
    ids=["one replica", "other types", "one absent", "other shapes", "one of another type"],
)
def test_checkpoint_of_other_tensors_is_not_resumed_from(change: Callable[[str, Tensor], Tensor | None]) -> None:
    (line,) = started_over(DONORS, with_tensors(checkpoint(), change))
    assert "training starts over: its" in line


def test_checkpoint_of_an_unknown_tensor_is_not_resumed_from() -> None:
    made = checkpoint()
    (line,) = started_over(DONORS, replace(made, tensors={**made.tensors, "more": torch.zeros(2)}))
    assert "more is absent or unknown" in line


def test_checkpoint_of_fewer_replicas_than_it_says_is_not_resumed_from() -> None:
    (line,) = started_over(DONORS, replace(checkpoint(), places=[0, 2]))
    assert "it holds 2 replicas, and number 2 is wanted" in line


def test_checkpoint_holds_no_state_of_a_generator() -> None:
    names = {name.partition(".")[0] for name in checkpoint().tensors}
    assert names == {"trainable", "best", "optimiser", "loss_sum"}
