"""The nine controls: what each keeps, freezes and inherits, counted per matrix, before and after training."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from subind.masks.hard import HardMask
from subind.networks import gpt2
from subind.starts.arithmetic import Recipient, recipient
from subind.training import tensors
from tests.specs import CONTROL_NAMES, tiny_mask, tiny_optimizer, tiny_start, tiny_transfer
from tests.subind.packs import HandMade, finished, hand_mask, perturbed, same_bits, trained, trainer_of

MASK = tiny_mask()
BITS = hand_mask(MASK)
DONOR = perturbed(MASK.donor)
MATRICES = gpt2.matrices(MASK.donor.model)
NEVER_READ = "wpe.weight"
"""Its last row: the position of the answer, which is predicted and not read."""

Count = Callable[[int, int], int]
"""How many weights of a matrix, from its ones in the mask and its size."""


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


def start(name: str, *, seed: int = 0, bits: HardMask = BITS) -> Recipient:
    return recipient(tiny_start(name, mask=MASK), donor=DONOR, mask=bits, vocabulary_size=13, seed=seed)


def num_ones(mask: Mapping[str, Tensor]) -> dict[str, int]:
    return {name: int(bits.sum()) for name, bits in mask.items()}


def expected(count: Count) -> dict[str, int]:
    return {name: count(int(bits.sum()), bits.numel()) for name, bits in BITS.items()}


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_recipient_of_a_control_freezes_its_count_in_every_matrix(name: str) -> None:
    assert num_ones(start(name).kept) == expected(FROZEN_AND_INHERITED[name][0])


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_recipient_of_a_control_inherits_its_count_in_every_matrix(name: str) -> None:
    found = start(name)
    equal = {matrix: found.own[matrix] == DONOR[matrix] for matrix in MATRICES}
    assert num_ones(equal) == expected(FROZEN_AND_INHERITED[name][1])
    assert same_bits(equal, found.inherited)


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_recipient_of_a_control_takes_the_rest_from_the_donor_or_is_fresh(name: str) -> None:
    found = start(name)
    rest = DONOR.keys() - set(MATRICES)
    from_donor = {each for each in rest if torch.equal(found.own[each], DONOR[each])}
    assert from_donor == (set() if name == "random_init" else rest)


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_recipient_of_a_control_freezes_only_what_it_inherits(name: str) -> None:
    found = start(name)
    assert not any(bool((found.kept[matrix] & ~found.inherited[matrix]).any()) for matrix in MATRICES)


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_recipient_of_a_control_same_seed_gives_same_bits(name: str) -> None:
    first, second = start(name, seed=3), start(name, seed=3)
    assert same_bits(first.own, second.own)
    assert same_bits(first.kept, second.kept)


@pytest.mark.parametrize("name", [name for name in CONTROL_NAMES if name != "full_transfer"])
def test_recipient_of_a_control_other_seed_gives_other_fresh_weights(name: str) -> None:
    first, second = start(name, seed=3), start(name, seed=4)
    assert not any(torch.equal(first.own[matrix], second.own[matrix]) for matrix in MATRICES)


@pytest.mark.parametrize("name", ["subnetwork", "subnetwork_trainable"])
def test_subnetwork_inherits_the_mask_itself(name: str) -> None:
    assert same_bits(start(name).inherited, BITS)


@pytest.mark.parametrize("name", ["random_subnetwork", "random_as_released"])
def test_random_control_draws_another_set_with_another_seed(name: str) -> None:
    first, second = start(name, seed=3), start(name, seed=4)
    assert not any(torch.equal(first.kept[matrix], second.kept[matrix]) for matrix in MATRICES)


def test_complement_subnetwork_keeps_nothing_of_the_mask() -> None:
    kept = start("complement_subnetwork").kept
    assert not any(bool((kept[matrix] & BITS[matrix]).any()) for matrix in MATRICES)


def test_complement_as_released_keeps_the_whole_mask() -> None:
    kept = start("complement_as_released").kept
    assert all(bool(kept[matrix][BITS[matrix]].all()) for matrix in MATRICES)


@pytest.mark.parametrize("name", ["complement_subnetwork", "complement_as_released"])
def test_complement_of_too_dense_a_mask_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="raise the penalty"):
        start(name, bits={matrix: ~bits for matrix, bits in BITS.items()})


def test_fresh_projections_beside_a_donor_are_normal_of_deviation_002() -> None:
    for tensor in (start("unmasked_only").own[matrix] for matrix in MATRICES):
        assert tensor.std().item() == pytest.approx(0.02, rel=5 / tensor.numel() ** 0.5)


def test_random_init_scales_residual_projections_as_any_gpt2() -> None:
    own = start("random_init").own
    for layer in range(2):
        assert own[f"h.{layer}.mlp.c_proj.weight"].std().item() == pytest.approx(0.01, rel=0.15)


# ---- after training

PACK = [tiny_transfer(name, optimizer=tiny_optimizer(weight_decay=0.01)) for name in CONTROL_NAMES]


@pytest.fixture(scope="module")
def after() -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    """The effective parameters of all nine recipients after the last step, by control, and both moments of the pack."""
    trainer = trained(PACK)
    with torch.no_grad():
        parameters = trainer.method.effective()
    found = {name: tensors.replica(parameters, place) for place, name in enumerate(CONTROL_NAMES)}
    return found, trainer.optimiser.state()


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_training_leaves_frozen_weights_at_the_donors_bits(name: str, after: tuple) -> None:
    kept, parameters = start(name).kept, after[0][name]
    for matrix in MATRICES:
        assert torch.equal(parameters[matrix][kept[matrix]], DONOR[matrix][kept[matrix]])


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_training_moves_every_weight_that_is_not_frozen(name: str, after: tuple) -> None:
    begin, parameters = start(name), after[0][name]
    for each, tensor in parameters.items():
        still = tensor == begin.own[each]
        if each in begin.kept:
            assert torch.equal(still, begin.kept[each]), each
        elif each == NEVER_READ:
            assert not bool(still[:3].any()), each
        else:
            assert not bool(still.any()), each


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_training_gives_frozen_weights_no_optimiser_state(name: str, after: tuple) -> None:
    kept, place = start(name).kept, CONTROL_NAMES.index(name)
    for matrix in MATRICES:
        for moment in ("exp_avg", "exp_avg_sq"):
            found = after[1][f"{moment}.{matrix}"][place]
            assert torch.equal(found == 0, kept[matrix])


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_gradient_of_frozen_weights_is_zero(name: str) -> None:
    trainer = trainer_of([tiny_transfer(name)])
    parameters = trainer.method.effective()
    total = torch.stack([each.square().sum() for each in parameters.values()]).sum()
    own = [trainer.method.trainable[matrix] for matrix in MATRICES]
    for matrix, gradient in zip(MATRICES, torch.autograd.grad(total, own), strict=True):
        assert torch.equal(gradient[0] == 0, start(name).kept[matrix])


def test_transfers_record_the_inherited_and_frozen_share_of_every_matrix() -> None:
    done = finished([tiny_transfer("random_as_released")])
    measured = next(iter(done.values())).measurements
    for matrix, bits in BITS.items():
        share = 1 - int(bits.sum()) / bits.numel()
        assert measured[f"kept_fraction.{matrix}"] == measured[f"frozen_fraction.{matrix}"] == share
    total = sum(bits.numel() for bits in BITS.values())
    assert measured["kept_fraction"] == 1 - sum(num_ones(BITS).values()) / total


def test_control_that_does_not_exist_fails_alone_with_its_reason() -> None:
    dense = {matrix: ~bits for matrix, bits in BITS.items()}
    names = ("subnetwork", "complement_subnetwork", "full_transfer")
    pack = [tiny_transfer(name) for name in names]
    done = finished(pack, read=HandMade(donors={}, masks={MASK: dense}))
    assert ["raise the penalty" in done[spec].replica.failure for spec in pack] == [False, True, False]
    assert not done[pack[1]].measurements
    assert all(done[pack[place]].measurements for place in (0, 2))


def test_recipient_of_random_init_needs_no_parents() -> None:
    found = recipient(tiny_start("random_init"), donor=None, mask=None, vocabulary_size=13, seed=0)
    assert found.own.keys() == DONOR.keys()
