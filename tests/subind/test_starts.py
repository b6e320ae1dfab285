"""The starts: what each keeps, freezes and inherits, counted per tensor, before and after training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from subind.masks import hard as masks
from subind.masks.hard import HardMask
from subind.networks.network import Network, State, bound
from subind.specs import starts as specs
from subind.specs.networks import ResNet, ViT
from subind.specs.run import MaskRun
from subind.specs.runs import Train
from subind.specs.starts import Start
from subind.specs.tasks import Images, Signature
from subind.specs.training import AsInitialised, FreshLaw, Normal, UniformFanIn
from subind.stages.parents import network_of
from subind.starts.recipient import Given, GivenMasks, Recipient, inheritance, recipient
from subind.training import tensors
from tests.specs import CONTROL_NAMES, tiny_donor, tiny_mask, tiny_optimizer, tiny_start, tiny_transfer
from tests.subind.packs import HandMade, finished, hand_mask, perturbed, same_bits, trained, training

MASK = tiny_mask()
BITS = hand_mask(MASK)
DONOR = perturbed(MASK.donor)
NETWORK = network_of(MASK)
MATRICES = NETWORK.maskable
NEVER_READ = "wpe.weight"
"""Its last row: the position of the answer, which is predicted and not read."""

Count = Callable[[int, int], int]
"""How many weights of a tensor, from its ones in the mask and its size."""


def none(ones: int, size: int) -> int:
    return 0


def masked(ones: int, size: int) -> int:
    return ones


def every(ones: int, size: int) -> int:
    return size


def all_but(ones: int, size: int) -> int:
    return size - ones


FROZEN_AND_INHERITED: Mapping[str, tuple[Count, Count]] = {
    "subnetwork": (masked, masked),
    "subnetwork_trainable": (none, masked),
    "full_transfer": (none, every),
    "random_init": (none, none),
    "random_subnetwork": (masked, masked),
    "complement_subnetwork": (masked, masked),
    "unmasked_only": (none, none),
    "random_as_released": (all_but, all_but),
    "complement_as_released": (all_but, all_but),
}


def given(*, seed: int = 0, bits: HardMask = BITS, law: FreshLaw | None = None) -> Given:
    return Given(
        network=NETWORK,
        states={MASK: DONOR, MASK.donor: DONOR},
        masks={MASK: bits},
        fresh_weights=law or Normal(std=0.02),
        seed=seed,
    )


def made(name: str, *, seed: int = 0, bits: HardMask = BITS, law: FreshLaw | None = None) -> Recipient:
    return recipient(tiny_start(name, mask=MASK), given(seed=seed, bits=bits, law=law))


def num_ones(mask: Mapping[str, Tensor]) -> dict[str, int]:
    return {name: int(bits.sum()) for name, bits in mask.items()}


def expected(count: Count) -> dict[str, int]:
    return {name: count(int(bits.sum()), bits.numel()) for name, bits in BITS.items()}


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_recipient_freezes_its_count_in_every_tensor(name: str) -> None:
    assert num_ones(made(name).kept) == expected(FROZEN_AND_INHERITED[name][0])


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_recipient_inherits_its_count_in_every_tensor(name: str) -> None:
    found = made(name)
    equal = {matrix: found.state.parameters[matrix] == DONOR.parameters[matrix] for matrix in MATRICES}
    assert num_ones(equal) == expected(FROZEN_AND_INHERITED[name][1])
    assert same_bits(equal, found.inherited)


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_recipient_takes_the_rest_from_the_donor_or_is_fresh(name: str) -> None:
    found = made(name).state.parameters
    rest = DONOR.parameters.keys() - set(MATRICES)
    from_donor = {each for each in rest if torch.equal(found[each], DONOR.parameters[each])}
    assert from_donor == (set() if name == "random_init" else rest)


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_recipient_freezes_only_what_it_inherits(name: str) -> None:
    found = made(name)
    assert not any(bool((found.kept[matrix] & ~found.inherited[matrix]).any()) for matrix in MATRICES)


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_recipient_of_the_same_seed_has_the_same_bits(name: str) -> None:
    first, second = made(name, seed=3), made(name, seed=3)
    assert same_bits(first.state.parameters, second.state.parameters)
    assert same_bits(first.kept, second.kept)


@pytest.mark.parametrize("name", [name for name in CONTROL_NAMES if name != "full_transfer"])
def test_recipient_of_another_seed_has_other_fresh_weights(name: str) -> None:
    first, second = (made(name, seed=seed).state.parameters for seed in (3, 4))
    assert not any(torch.equal(first[matrix], second[matrix]) for matrix in MATRICES)


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_inheritance_is_that_of_the_recipient_and_needs_no_weights(name: str) -> None:
    own = GivenMasks(network=NETWORK, masks={MASK: BITS}, seed=3)
    found, whole = inheritance(tiny_start(name, mask=MASK), own), made(name, seed=3)
    assert same_bits(found.inherited, whole.inherited)
    assert same_bits(found.kept, whole.kept)


@pytest.mark.parametrize("name", ["subnetwork", "subnetwork_trainable"])
def test_subnetwork_inherits_the_mask_itself(name: str) -> None:
    assert same_bits(made(name).inherited, BITS)


@pytest.mark.parametrize("name", ["random_subnetwork", "random_as_released"])
def test_random_start_draws_another_set_with_another_seed(name: str) -> None:
    first, second = made(name, seed=3), made(name, seed=4)
    assert not any(torch.equal(first.kept[matrix], second.kept[matrix]) for matrix in MATRICES)


def test_complement_subnetwork_keeps_nothing_of_the_mask() -> None:
    kept = made("complement_subnetwork").kept
    assert not any(bool((kept[matrix] & BITS[matrix]).any()) for matrix in MATRICES)


def test_complement_as_released_keeps_the_whole_mask() -> None:
    kept = made("complement_as_released").kept
    assert all(bool(kept[matrix][BITS[matrix]].all()) for matrix in MATRICES)


@pytest.mark.parametrize("name", ["complement_subnetwork", "complement_as_released"])
def test_complement_of_too_dense_a_mask_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="raise the penalty"):
        made(name, bits=masks.inverted(BITS))


def test_subnetwork_trained_alone_inherits_the_mask_and_freezes_the_rest() -> None:
    found = recipient(specs.SubnetworkTrainedAlone(mask=MASK), given())
    assert same_bits(found.inherited, BITS)
    assert same_bits(found.kept, masks.inverted(BITS))


# ---- fresh weights


@pytest.mark.parametrize("std", [0.02, 0.5])
def test_fresh_weights_beside_a_donor_are_drawn_by_the_law(std: float) -> None:
    found = made("unmasked_only", law=Normal(std=std)).state.parameters
    for tensor in (found[matrix] for matrix in MATRICES):
        assert tensor.std().item() == pytest.approx(std, rel=5 / tensor.numel() ** 0.5)


def test_fresh_weights_as_initialised_are_those_of_a_fresh_network_of_the_seed() -> None:
    beside, fresh = made("unmasked_only", law=AsInitialised()), made("random_init")
    for matrix in MATRICES:
        assert torch.equal(beside.state.parameters[matrix], fresh.state.parameters[matrix])


def test_random_init_is_as_initialised_whatever_the_law() -> None:
    first, second = (made("random_init", law=law).state.parameters for law in (Normal(std=3.0), UniformFanIn()))
    assert same_bits(first, second)
    for layer in range(2):
        assert first[f"h.{layer}.mlp.c_proj.weight"].std().item() == pytest.approx(0.01, rel=0.15)


def test_random_init_needs_no_parents() -> None:
    alone = replace(given(), states={}, masks={})
    found = recipient(tiny_start("random_init"), alone)
    assert found.state.parameters.keys() == DONOR.parameters.keys()


def test_recipient_starts_from_what_was_trained_beside_the_mask() -> None:
    beside = State(parameters=DONOR.parameters | {"ln_f.bias": DONOR.parameters["ln_f.bias"] + 1}, statistics={})
    own = replace(given(), states={MASK: beside, MASK.donor: DONOR})
    found = recipient(specs.Subnetwork(mask=MASK), own)
    assert torch.equal(found.state.parameters["ln_f.bias"], beside.parameters["ln_f.bias"])


# ---- networks on images

IMAGES = ("resnet", "vit")


def image_network(name: str) -> Network:
    sizes = Signature(inputs=Images(image_size=16, num_channels=3), num_outputs=16)
    if name == "resnet":
        return bound(ResNet(widths=(8, 12), num_blocks=(1, 1), stem="small", num_classes=16), sizes)
    spec = ViT(image_size=16, patch_size=8, num_layers=1, num_heads=2, d_model=8, d_mlp=12, num_classes=16)
    return bound(spec, sizes)


def image_given(network: Network, start: Start, *, law: FreshLaw | None = None) -> Given:
    """Of a start whose parents' networks are one fresh network, moved away from its initial values."""
    draws = torch.Generator().manual_seed(1)
    fresh = network.initial(draws)
    moved = {name: each + torch.randn(each.shape, generator=draws) for name, each in fresh.parameters.items()}
    running = {name: each + 1 for name, each in fresh.statistics.items()}
    bits = {name: torch.rand(network.shapes[name], generator=draws) < 0.3 for name in network.maskable}
    return Given(
        network=network,
        states={parent: State(parameters=moved, statistics=running) for parent in start.parents()},
        masks={parent: bits for parent in start.parents() if isinstance(parent, MaskRun)},
        fresh_weights=law or UniformFanIn(),
        seed=0,
    )


@pytest.mark.parametrize("name", IMAGES)
def test_new_head_is_fresh_on_the_whole_donor(name: str) -> None:
    network, start = image_network(name), specs.NewHead(donor=MASK.donor)
    own = image_given(network, start)
    donor, found = own.states[MASK.donor], recipient(start, own)
    changed = {each for each in network.shapes if not torch.equal(found.state.parameters[each], donor.parameters[each])}
    assert changed == set(network.head)
    assert same_bits(found.state.statistics, donor.statistics)
    weight, bias = (found.state.parameters[each] for each in network.head)
    limit = weight.shape[1] ** -0.5
    for tensor in (weight, bias):
        assert tensor.abs().max() <= limit
        assert tensor.std().item() == pytest.approx(limit / 3**0.5, rel=0.3)
    assert all(bool(bits.all()) == (each not in network.head) for each, bits in found.kept.items())
    assert all(bool(bits.any()) == (each not in network.head) for each, bits in found.kept.items())


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("make", [specs.DataMixture, specs.LongerDonor, specs.FullTransfer])
def test_start_from_the_whole_donor_has_all_of_it_and_freezes_nothing(
    make: Callable[..., specs.DonorStart], name: str
) -> None:
    start = make(donor=MASK.donor)
    own = image_given(image_network(name), start)
    found, donor = recipient(start, own), own.states[MASK.donor]
    assert same_bits(found.state.parameters, donor.parameters)
    assert same_bits(found.state.statistics, donor.statistics)
    assert not any(bool(bits.any()) for bits in found.kept.values())


@pytest.mark.parametrize("name", IMAGES)
def test_fresh_weights_of_networks_on_images_are_uniform_within_one_over_the_root_of_the_fan_in(name: str) -> None:
    network, start = image_network(name), specs.UnmaskedOnly(donor=MASK.donor)
    found = recipient(start, image_given(network, start)).state.parameters
    for each in network.maskable:
        limit = found[each][0].numel() ** -0.5
        assert found[each].abs().max() <= limit
        assert found[each].std().item() == pytest.approx(limit / 3**0.5, rel=0.25)


@pytest.mark.parametrize("name", IMAGES)
def test_subnetwork_of_a_network_on_images_keeps_weights_and_running_statistics(name: str) -> None:
    network, start = image_network(name), specs.Subnetwork(mask=MASK)
    own = image_given(network, start)
    found, donor = recipient(start, own), own.states[MASK]
    for each in network.maskable:
        assert torch.equal(found.state.parameters[each] == donor.parameters[each], own.masks[MASK][each])
    assert same_bits(found.state.statistics, donor.statistics)


# ---- after training

PACK = [tiny_transfer(name, optimizer=tiny_optimizer(weight_decay=0.01)) for name in CONTROL_NAMES]


@pytest.fixture(scope="module")
def after() -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    """The parameters of all recipients after the last step, by start, and both moments of the pack."""
    trainer = trained(PACK)
    with torch.no_grad():
        parameters = trainer.method.effective()
    found = {name: tensors.replica(parameters, place) for place, name in enumerate(CONTROL_NAMES)}
    return found, trainer.optimiser.state()


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_training_leaves_frozen_weights_at_the_donors_bits(name: str, after: tuple) -> None:
    kept, parameters = made(name).kept, after[0][name]
    for matrix in MATRICES:
        assert torch.equal(parameters[matrix][kept[matrix]], DONOR.parameters[matrix][kept[matrix]])


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_training_moves_every_weight_that_is_not_frozen(name: str, after: tuple) -> None:
    begin, parameters = made(name), after[0][name]
    for each, tensor in parameters.items():
        still = tensor == begin.state.parameters[each]
        if each in begin.kept:
            assert torch.equal(still, begin.kept[each]), each
        elif each == NEVER_READ:
            assert not bool(still[:3].any()), each
        else:
            assert not bool(still.any()), each


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_training_gives_frozen_weights_no_optimiser_state(name: str, after: tuple) -> None:
    kept, place = made(name).kept, CONTROL_NAMES.index(name)
    for matrix in MATRICES:
        for moment in ("exp_avg", "exp_avg_sq"):
            found = after[1][f"{moment}.{matrix}"][place]
            assert torch.equal(found == 0, kept[matrix])


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_gradient_of_frozen_weights_is_zero(name: str) -> None:
    method = training([tiny_transfer(name)])
    parameters = method.effective()
    total = torch.stack([each.square().sum() for each in parameters.values()]).sum()
    own = [method.trainable[matrix] for matrix in MATRICES]
    for matrix, gradient in zip(MATRICES, torch.autograd.grad(total, own), strict=True):
        assert torch.equal(gradient[0] == 0, made(name).kept[matrix])


def test_transfers_record_the_inherited_and_frozen_share_of_every_tensor() -> None:
    done = finished([tiny_transfer("random_as_released")])
    measured = next(iter(done.values())).measurements
    for matrix, bits in BITS.items():
        share = 1 - int(bits.sum()) / bits.numel()
        assert measured[f"kept_fraction.{matrix}"] == measured[f"frozen_fraction.{matrix}"] == share
    total = sum(bits.numel() for bits in BITS.values())
    assert measured["kept_fraction"] == 1 - sum(num_ones(BITS).values()) / total


def test_start_that_does_not_exist_fails_alone_with_its_reason() -> None:
    names = ("subnetwork", "complement_subnetwork", "full_transfer")
    pack = [tiny_transfer(name) for name in names]
    done = finished(pack, read=HandMade(masks={MASK: masks.inverted(BITS)}))
    assert ["raise the penalty" in done[spec].replica.failure for spec in pack] == [False, True, False]
    assert not done[pack[1]].measurements
    assert all(done[pack[place]].measurements for place in (0, 2))


@dataclass(frozen=True, kw_only=True)
class Scaled(specs.DonorStart):
    """A user's start with parameters."""

    donor: Train
    scale: float
    layers: tuple[str, ...] = ()
    law: Normal = Normal(std=0.5)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "scaled_2_Normal_0.5"),
        ({"scale": 2.0000001}, "scaled_2.0000001_Normal_0.5"),
        ({"layers": ("h.0", "h/1")}, "scaled_2_h.0_h-1_Normal_0.5"),
        ({"law": Normal(std=1e-5)}, "scaled_2_Normal_1e-05"),
        ({"donor": tiny_donor(seed=7)}, "scaled_2_Normal_0.5"),
    ],
)
def test_name_of_a_start_holds_its_parameters_and_no_runs(changes: dict[str, Any], name: str) -> None:
    assert Scaled(**{"donor": tiny_donor(), "scale": 2.0, **changes}).name == name
