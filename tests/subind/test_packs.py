"""A replica has the same bits whatever it is packed with: measurements, curves, weights and masks, to the last one."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from subind.specs.arithmetic import ArithmeticTask
from subind.specs.networks import ResNet, ViT
from subind.specs.optimizers import AdamW, ClipNorm, NoClip, Precision
from subind.specs.run import Run
from sweeps.grids import protocol
from tests.specs import (
    CONTROL_NAMES,
    recipient_rows,
    tiny_donor,
    tiny_mask,
    tiny_model,
    tiny_start,
    tiny_transfer,
    unambiguous,
)
from tests.subind.packs import EVERY_STEP, PARENTS, finished, resumed_at
from tests.vision_specs import ADAM, MOMENTUM, image_donor, image_mask, image_start, image_transfer, shapes_task

CLIPPED = AdamW(learning_rate=5e-4, weight_decay=0.01, schedule="linear_decay", clip=ClipNorm(max_norm=0.05))
"""Clips at every step of a network of any size."""
TRAINED = ("donor", "mask", "transfer")
STAGES = pytest.mark.parametrize("stage", TRAINED)


def protocol_spec(stage: str, seed: int, *, num_layers: int = 2, num_epochs: int = 1) -> Run:
    """A run of the paper's protocol on 1,000 samples."""
    donor = protocol.donor(num_layers, seed=seed)
    rows = unambiguous(1000)
    mask = replace(protocol.mask(num_layers, seed=seed), donor=donor, rows=rows, num_epochs=num_epochs)
    match stage:
        case "donor":
            return replace(donor, rows=rows, num_epochs=num_epochs)
        case "mask":
            return mask
        case "transfer":
            start = protocol.starts(mask)[seed % 9]
            short = protocol.transfer(start, num_disambiguation=100, seed=seed)
            return replace(short, rows=recipient_rows(num_ambiguous=400, num_disambiguation=100), num_epochs=num_epochs)
        case _:
            raise AssertionError(stage)


def assert_parts_have_the_bits_of(pack: Sequence[Run], parts: Sequence[Sequence[Run]], *, read: Any = PARENTS) -> None:
    whole = finished(pack, read=read)
    for part in parts:
        for spec, found in finished(part, read=read).items():
            assert not found.replica.failure
            assert found.measurements == whole[spec].measurements
            assert found.replica.curves == whole[spec].replica.curves
            assert found.files == whole[spec].files


@STAGES
def test_replica_of_the_protocols_size_alone_and_in_packs_of_2_and_5_has_the_same_bits(stage: str) -> None:
    pack = [protocol_spec(stage, seed) for seed in range(5)]
    assert_parts_have_the_bits_of(pack, [pack[3:4], pack[3:]])


@pytest.mark.slow
@STAGES
def test_replica_of_the_protocols_size_in_packs_of_1_2_5_and_25_has_the_same_bits(stage: str) -> None:
    pack = [protocol_spec(stage, seed, num_epochs=2) for seed in range(25)]
    assert_parts_have_the_bits_of(pack, [pack[-1:], pack[:2], pack[11:16]])


@pytest.mark.slow
@STAGES
def test_replica_of_the_protocols_depth_6_alone_and_in_a_pack_has_the_same_bits(stage: str) -> None:
    pack = [protocol_spec(stage, seed, num_layers=6) for seed in range(5)]
    assert_parts_have_the_bits_of(pack, [pack[2:3], pack[3:]])


@STAGES
def test_replica_that_others_leave_behind_has_the_bits_that_it_has_alone(stage: str) -> None:
    pack = [protocol_spec(stage, seed, num_epochs=1 + seed % 2) for seed in range(4)]
    assert_parts_have_the_bits_of(pack, [pack[1:2]])


@STAGES
def test_half_of_a_pack_that_goes_on_from_its_checkpoint_has_the_bits_that_it_has_alone(stage: str) -> None:
    pack, checkpoints = [protocol_spec(stage, seed) for seed in range(3)], []
    finished(pack, runtime=EVERY_STEP, checkpoints=checkpoints)
    half = pack[2:]
    resumed = finished(half, resumed=resumed_at(checkpoints[0], half))
    alone = finished(half)
    assert resumed[half[0]].files == alone[half[0]].files
    assert resumed[half[0]].replica == alone[half[0]].replica


# ---- any size


def random_pack(draws: random.Random) -> list[Run]:
    """Five runs of a stage, of a network and a vocabulary of any size, from controls of several kinds."""
    num_heads = draws.choice([1, 2, 3, 5])
    model = tiny_model(
        num_layers=draws.choice([1, 2]),
        num_heads=num_heads,
        d_model=num_heads * draws.randint(1, 14),
        dropout=draws.choice([0.0, 0.1]),
    )
    num_integers = draws.randint(2, 60)
    task = ArithmeticTask(rule="a + a*b", modulus=min(7, num_integers), num_integers=num_integers)
    optimizer = draws.choice([CLIPPED, replace(CLIPPED, clip=NoClip())])
    precision: Precision = draws.choice(["float32", "bfloat16"])
    common = {"batch_size": draws.randint(1, 23), "optimizer": optimizer, "precision": precision, "num_epochs": 1}
    sizes = {"num_samples": 64, "num_evaluation_samples": draws.randint(60, 90)}
    stage = draws.choice(TRAINED)
    pack: list[Run] = []
    for seed in range(5):
        donor = tiny_donor(task=task, model=model, seed=seed, **sizes, **common)
        mask = tiny_mask(donor=donor, subtask=replace(task, rule="a*b"), seed=seed, **sizes, **common)
        start = tiny_start(CONTROL_NAMES[2 * seed], mask=mask)
        rows = recipient_rows(num_ambiguous=num_integers, num_disambiguation=17)
        evaluated = {"num_evaluation_samples": sizes["num_evaluation_samples"]}
        transfer = replace(tiny_transfer(), start=start, task=task, rows=rows, seed=seed, **evaluated, **common)
        pack.append({"donor": donor, "mask": mask, "transfer": transfer}[stage])
    return pack


def assert_random_packs_have_the_bits_of_their_parts(seeds: range) -> None:
    for seed in seeds:
        pack = random_pack(random.Random(seed))
        assert_parts_have_the_bits_of(pack, [pack[4:], pack[3:], pack[1:4]])


def test_replica_of_any_width_batch_and_vocabulary_has_the_same_bits_in_packs_of_1_2_3_and_5() -> None:
    assert_random_packs_have_the_bits_of_their_parts(range(12))


@pytest.mark.slow
def test_replica_of_many_widths_batches_and_vocabularies_has_the_same_bits_in_packs_of_1_2_3_and_5() -> None:
    assert_random_packs_have_the_bits_of_their_parts(range(1000, 1300))


# ---- images


def random_image_pack(draws: random.Random) -> list[Run]:
    """Five runs of a stage on drawn images, of a small network of any size."""
    size = draws.choice([16, 17, 20, 24])
    task, model = shapes_task(image_size=size), random_image_model(draws, size)
    is_vit = isinstance(model, ViT)
    optimizer = replace(draws.choice([ADAM, MOMENTUM]), clip=draws.choice([NoClip(), ClipNorm(max_norm=0.05)]))
    plain: list[Precision] = ["float32", "bfloat16"]
    layouts: list[Precision] = [] if is_vit else ["float32_channels_last", "bfloat16_channels_last"]
    common = {"optimizer": optimizer, "batch_size": draws.choice([1, 3, 8, 13]), "num_epochs": 1}
    common |= {"precision": draws.choice(plain + layouts)}
    trained = {"beside": ("class_token", "encoder.pos_embedding")} if is_vit else {"statistics": "batch"}
    names = ("subnetwork", "full_transfer", "random_init", "unmasked_only", "subnetwork_trainable")
    stage = draws.choice(TRAINED)
    pack: list[Run] = []
    for seed, name in enumerate(names):
        donor = image_donor(model, task=task, seed=seed, **common)
        mask = image_mask(donor, task=replace(task, pooled=True), seed=seed, **trained, **common)
        transfer = image_transfer(image_start(name, mask), task=task, seed=seed, **common)
        pack.append({"donor": donor, "mask": mask, "transfer": transfer}[stage])
    return pack


def random_image_model(draws: random.Random, size: int) -> ResNet | ViT:
    if draws.random() < 0.5:
        widths = (draws.randint(1, 20), draws.randint(1, 20))
        return ResNet(widths=widths, num_blocks=(1, 1), stem=draws.choice(["imagenet", "small"]), num_classes=16)
    patch_sizes = [each for each in range(2, size + 1) if size % each == 0 and size // each <= 8]
    num_heads = draws.choice([1, 2, 3])
    return ViT(
        image_size=size,
        patch_size=draws.choice(patch_sizes),
        num_layers=draws.choice([1, 2]),
        num_heads=num_heads,
        d_model=num_heads * draws.randint(1, 14),
        d_mlp=draws.randint(1, 40),
        num_classes=16,
    )


def assert_random_image_packs_have_the_bits_of_their_parts(seeds: range) -> None:
    for seed in seeds:
        pack = random_image_pack(random.Random(seed))
        assert_parts_have_the_bits_of(pack, [pack[4:], pack[3:], pack[1:4]])


def test_image_network_of_any_size_has_the_same_bits_in_packs_of_1_2_3_and_5() -> None:
    assert_random_image_packs_have_the_bits_of_their_parts(range(6))


@pytest.mark.slow
def test_image_networks_of_many_sizes_have_the_same_bits_in_packs_of_1_2_3_and_5() -> None:
    assert_random_image_packs_have_the_bits_of_their_parts(range(1000, 1060))
