"""Runs on images against plain loops over torchvision's networks, and what a control keeps, freezes and shares."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor

from subind.masks import hard as masks
from subind.specs.rows import num_of
from subind.specs.run import NetworkRun, Run
from subind.specs.runs import Transfer
from subind.specs.starts import DataMixture, LongerDonor, RandomInit
from subind.stages.parents import BESIDE_FILE, WEIGHTS_FILE, network_of
from subind.stages.train import NetworkTraining
from subind.tasks import images
from subind.training.loop import Finished, Runtime, Saved, Trainer
from subind.training.tensors import Parameters
from tests.subind.packs import EVERY_STEP, PARENTS, finished, hand_mask, perturbed, resumed_at, trainer_of
from tests.subind.test_image_networks import _reference_resnet
from tests.vision_specs import (
    CONTROLS,
    MOMENTUM,
    RESNET,
    VIT,
    image_donor,
    image_mask,
    image_transfer,
    originals,
    shapes_task,
)

POSITIONS = ("class_token", "encoder.pos_embedding")
VIT_MASK = image_mask(image_donor(VIT), beside=POSITIONS)


def hand_donor(donor: NetworkRun) -> Parameters:
    """All tensors of a donor that was made by hand."""
    state = perturbed(donor)
    return {**state.parameters, **state.statistics}


def method_in(trainer: Trainer) -> NetworkTraining:
    assert isinstance(trainer.method, NetworkTraining)
    return trainer.method


def pixels_of(method: NetworkTraining, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The normalised pixels and the labels of a step."""
    method.load(rows, epoch=1, step=0)
    inputs, batch = method.tasks.batch(rows)
    assert isinstance(inputs, Tensor)
    return inputs, batch["labels"]


def trained(spec: Transfer, num_steps: int = 3) -> NetworkTraining:
    trainer = trainer_of([spec])
    for step in range(num_steps):
        trainer.advance(torch.arange(8).unsqueeze(0) + step)
    return method_in(trainer)


def run_of(pack: Sequence[Run]) -> dict[Run, Finished]:
    return finished(pack)


# ---- the step


@pytest.mark.parametrize("held", ["nothing", "norms", "norms_and_head"])
def test_subnetwork_step_is_that_of_a_plain_loop_over_torchvision(held: str) -> None:
    pack = [replace(image_transfer(mask=image_mask(seed=seed)), seed=seed, held=held) for seed in range(2)]
    trainer = trainer_of(pack)
    starts = [{name: each[place].detach().clone() for name, each in _all(trainer).items()} for place in range(2)]
    rows = torch.stack([torch.arange(8), torch.arange(8, 16)])
    for step in range(3):
        trainer.advance(rows + step)
    for place, spec in enumerate(pack):
        expected = _plain_loop(spec, starts[place], [rows[place] + step for step in range(3)])
        for name, tensor in _all(trainer).items():
            torch.testing.assert_close(tensor[place], expected[name], rtol=1e-4, atol=1e-5)


def _all(trainer: Trainer) -> dict[str, Tensor]:
    method = method_in(trainer)
    running = method.constants_of("fixed_statistics") | method.statistics
    return method.constants_of("fixed") | method.trainable | running


def _plain_loop(spec: Transfer, start: dict[str, Tensor], batches: list[Tensor]) -> dict[str, Tensor]:
    """Frozen weights are put back after each step of torch's SGD; their gradient is zeroed before."""
    network = _reference_resnet(RESNET)
    network.load_state_dict(start, strict=False)
    network.train(spec.held == "nothing")
    held = {"nothing": (), "norms": ("bn", "downsample.1"), "norms_and_head": ("bn", "downsample.1", "fc")}[spec.held]
    moving = {name: each for name, each in network.named_parameters() if not any(part in name for part in held)}
    sgd = torch.optim.SGD(moving.values(), lr=0.05, momentum=0.9, weight_decay=0.1)
    given = images.images(spec.task, "train", "original", spec.num_training_samples)
    counts = torch.tensor([max(1, int((given.labels == label).sum())) for label in range(16)])
    kept = hand_mask(spec.start.mask)
    for batch in batches:
        pixels = (given.pixels[batch].double() / 255 - 0.5) / 0.25
        weights = spec.num_training_samples / (16 * counts)
        loss = F.cross_entropy(network(pixels.float()), given.labels[batch], weight=weights.float())
        sgd.zero_grad()
        loss.backward()
        for name, bits in kept.items():
            network.get_parameter(name).grad[bits] = 0  # type: ignore[index]
        sgd.step()
        with torch.no_grad():
            for name, bits in kept.items():
                network.get_parameter(name)[bits] = start[name][bits]
    return {name: tensor.detach() for name, tensor in network.state_dict().items()}


def test_donor_step_is_that_of_a_plain_loop_over_torchvision() -> None:
    spec = image_donor(optimizer=MOMENTUM)
    trainer = trainer_of([spec])
    network = _reference_resnet(RESNET)
    network.load_state_dict({name: each[0].detach() for name, each in _all(trainer).items()}, strict=False)
    sgd = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    given = images.images(spec.task, "train", "original", 30)
    for step in range(3):
        trainer.advance((torch.arange(8) + step).unsqueeze(0))
        batch = torch.arange(8) + step
        loss = F.cross_entropy(network((given.pixels[batch] / 255 - 0.5) / 0.25), given.labels[batch])
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    state = network.state_dict()
    for name, tensor in _all(trainer).items():
        torch.testing.assert_close(tensor[0], state[name], rtol=1e-4, atol=1e-5)


# ---- what is frozen, kept and held


@pytest.mark.parametrize("mask", [image_mask(), VIT_MASK], ids=["resnet", "vit"])
def test_training_leaves_the_subnetwork_at_the_donors_bits(mask: object) -> None:
    spec = image_transfer(mask=mask)
    method = trained(spec)
    donor = hand_donor(spec.start.mask.donor)
    for name, bits in hand_mask(spec.start.mask).items():
        assert torch.equal(method.trainable[name][0][bits], donor[name][bits])
        assert not torch.equal(method.trainable[name][0][~bits], donor[name][~bits])


def test_subnetwork_trained_alone_moves_the_subnetwork_and_nothing_else_under_the_mask() -> None:
    spec = image_transfer("subnetwork_trained_alone")
    before = {name: each.detach().clone() for name, each in method_in(trainer_of([spec])).trainable.items()}
    after = trained(spec).trainable
    for name, bits in hand_mask(spec.start.mask).items():
        assert torch.equal(after[name][0][~bits], before[name][0][~bits])
        assert (after[name][0][bits] != before[name][0][bits]).any()


@pytest.mark.parametrize("held", ["norms", "norms_and_head"])
def test_held_norms_keep_the_donors_values_and_running_statistics(held: str) -> None:
    spec = image_transfer("unmasked_only", held=held)
    method, donor = trained(spec), hand_donor(image_donor())
    fixed = method.constants_of("fixed") | method.constants_of("fixed_statistics")
    assert method.statistics == {}
    assert {*network_of(spec).norms, *perturbed(spec.start.donor).statistics} <= fixed.keys()
    assert all(torch.equal(tensor[0], donor[name]) for name, tensor in fixed.items())
    assert ("fc.weight" in fixed) == (held == "norms_and_head")


@pytest.mark.parametrize("model", [RESNET, VIT], ids=["resnet", "vit"])
def test_new_head_trains_a_fresh_head_on_the_donors_base(model: object) -> None:
    spec = image_transfer("new_head", mask=image_mask(image_donor(model)))
    heads = network_of(spec).head
    trainer, donor = trainer_of([spec]), hand_donor(image_donor(model))
    before = {name: tensor.detach().clone() for name, tensor in _all(trainer).items()}
    for step in range(3):
        trainer.advance(torch.arange(8).unsqueeze(0) + step)
    after = _all(trainer)
    assert {name for name in after if not torch.equal(after[name], before[name])} == {*heads}
    assert all(torch.equal(after[name][0], donor[name]) for name in after.keys() - {*heads})
    assert not torch.equal(before[heads[0]][0], donor[heads[0]])


def test_fresh_weights_are_uniform_within_one_over_the_root_of_the_fan_in() -> None:
    method = method_in(trainer_of([image_transfer("unmasked_only")]))
    for name in method.network.maskable:
        weights = method.trainable[name].detach()
        bound = weights[0, 0].numel() ** -0.5
        assert weights.abs().max() <= bound
        assert weights.std() == pytest.approx(bound / 3**0.5, rel=0.2)


def test_recipient_starts_from_what_discovery_trained_beside_the_mask() -> None:
    method = method_in(trainer_of([image_transfer(mask=VIT_MASK)]))
    donor = hand_donor(VIT_MASK.donor)
    for name in POSITIONS:
        assert torch.equal(method.trainable[name][0], 2 * donor[name])


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_every_control_trains_to_finite_measurements(name: str) -> None:
    spec = image_transfer(name)
    found = run_of([spec])[spec]
    assert found.replica.failure == ""
    assert 0 <= found.measurements["accuracy_original"] <= 1


# ---- a result depends on its own spec alone

DONORS = [image_donor(seed=seed, augmentation="crop_and_flip", task=shapes_task(data_seed=seed)) for seed in range(3)]
MASKS = [image_mask(image_donor(seed=seed), seed=seed, statistics="batch") for seed in range(2)]
VIT_MASKS = [replace(VIT_MASK, seed=seed) for seed in range(2)]
TRANSFERS = [image_transfer(name, seed=1, augmentation="crop_and_flip") for name in ("subnetwork", "full_transfer")]
PACKS = pytest.mark.parametrize(
    "pack", [DONORS, MASKS, VIT_MASKS, TRANSFERS], ids=["donors", "masks", "masks of a vit", "transfers"]
)


@PACKS
def test_replica_alone_has_the_bits_that_it_has_in_a_pack(pack: list[Run]) -> None:
    together = run_of(pack)
    for spec in pack:
        alone = run_of([spec])[spec]
        assert together[spec].measurements == alone.measurements
        assert together[spec].replica.curves == alone.replica.curves
        assert together[spec].files == alone.files


@PACKS
def test_pack_resumed_within_an_epoch_has_the_bits_of_one_that_was_not_interrupted(pack: list[Run]) -> None:
    saved: list[Saved] = []
    expected = finished(pack, runtime=EVERY_STEP, checkpoints=saved)
    resumed = finished(pack, resumed=resumed_at(saved[4], pack))
    for spec in pack:
        assert resumed[spec].measurements == expected[spec].measurements
        assert resumed[spec].files == expected[spec].files


def test_evaluations_within_an_epoch_change_no_result() -> None:
    once, often = image_transfer(), image_transfer(evaluations_per_epoch=4)
    one, several = run_of([once])[once], run_of([often])[often]
    assert several.replica.curves["epoch"] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert several.replica.curves["accuracy_original"][3::4] == one.replica.curves["accuracy_original"]
    assert several.measurements == one.measurements


def test_seed_changes_the_augmentation() -> None:
    first, second = (method_in(trainer_of([replace(TRANSFERS[1], seed=seed)])) for seed in (1, 2))
    rows = torch.arange(8).unsqueeze(0)
    assert not torch.equal(pixels_of(first, rows)[0], pixels_of(second, rows)[0])
    third = method_in(trainer_of([TRANSFERS[1]]))
    fourth = method_in(trainer_of([TRANSFERS[1]]))
    assert torch.equal(pixels_of(third, rows)[0], pixels_of(fourth, rows)[0])


# ---- data


def test_data_mixture_trains_on_originals_and_on_mean_pooled_images_in_turn() -> None:
    spec = image_transfer("data_mixture")
    method = method_in(trainer_of([spec]))
    assert (num_of(spec.rows, "original"), num_of(spec.rows, "mean_pooled"), method.num_rows) == (30, 20, 50)
    pixels, labels = pixels_of(method, torch.arange(50).unsqueeze(0))
    original = images.images(spec.task, "train", "original", 30)
    pooled = images.images(spec.task, "train", "mean_pooled", 7)
    assert torch.equal(pixels[0, :30], images.DrawnImages(spec.task).normalised(original.pixels))
    for place in range(20):
        assert torch.equal(pixels[0, 30 + place], images.DrawnImages(spec.task).normalised(pooled.pixels[place % 7]))
        assert labels[0, 30 + place] == pooled.labels[place % 7]


def test_data_mixture_on_originals_alone_is_the_full_transfer() -> None:
    mixture = image_transfer(DataMixture(donor=image_donor()), rows=originals(30))
    full = image_transfer("full_transfer")
    assert run_of([mixture])[mixture].measurements == run_of([full])[full].measurements


# ---- files


def test_donors_file_is_a_state_dict_of_torchvisions_network() -> None:
    spec = image_donor()
    content = load(run_of([spec])[spec].files[WEIGHTS_FILE])
    missing, unexpected = _reference_resnet(RESNET).load_state_dict(content, strict=False)
    assert unexpected == []
    assert all(name.endswith("num_batches_tracked") for name in missing)


def test_mask_by_batch_statistics_leaves_running_statistics_that_its_images_made() -> None:
    spec = image_mask(statistics="batch")
    found = load(run_of([spec])[spec].files[BESIDE_FILE])
    donor = hand_donor(spec.donor)
    assert found.keys() == perturbed(spec.donor).statistics.keys()
    assert all(not torch.equal(tensor, donor[name]) for name, tensor in found.items())


def test_recipient_whose_complement_has_too_few_weights_fails_and_leaves_the_others() -> None:
    spec, other = image_transfer("complement_subnetwork"), image_transfer("full_transfer")

    def dense(parent: object, file: str) -> bytes:
        if file == "mask.safetensors":
            return masks.packed_bits({name: torch.ones_like(bits) for name, bits in hand_mask(image_mask()).items()})
        return PARENTS(parent, file)

    found = finished([spec, other], read=dense)
    assert "raise the penalty" in found[spec].replica.failure
    assert found[other].replica.failure == ""


def test_random_init_has_no_parent_to_read() -> None:
    spec = image_transfer(RandomInit(model=RESNET))

    def nothing(parent: object, file: str) -> bytes:
        raise AssertionError(f"{file} of {parent} was read")

    assert finished([spec], read=nothing, runtime=Runtime())[spec].replica.failure == ""


def test_recipient_of_a_longer_donor_starts_as_that_donor_and_trains_whole() -> None:
    start = LongerDonor(donor=image_donor(num_epochs=5, seed=4))
    method = method_in(trainer_of([image_transfer(start)]))
    donor = hand_donor(start.donor)
    assert all(torch.equal(tensor[0], donor[name]) for name, tensor in method.trainable.items())
    assert method.frozen == ()
