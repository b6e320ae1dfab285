"""Masks against closed forms, hand-made tensors and the unmasked network."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from subind.masks import hard as masks
from subind.masks.hard import HardMask
from subind.networks import gpt2
from subind.specs.runs import Mask, TemperatureSchedule
from tests.specs import tiny_mask
from tests.subind.packs import hand_mask, mask_method, same_bits

Drawn = Callable[[HardMask, torch.Generator], HardMask]


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_softly_masked_weights_are_scaled_by_the_logistic_function_of_temperature_times_logit() -> None:
    logits = torch.randn(3, 4, 5, generator=draws())
    temperature = torch.tensor([1.0, 3.0, 100.0])
    expected = 1 / (1 + torch.exp(-temperature.double().view(3, 1, 1) * logits.double()))
    found = masks.softly_masked(torch.ones(3, 4, 5), logits, temperature, torch.zeros(3))
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)


def test_binarise_keeps_positive_logits_and_not_zero() -> None:
    found = masks.binarise(torch.tensor([-0.1, -0.0, 0.0, 1e-30, 0.1]))
    assert found.tolist() == [False, False, False, True, True]


def test_density_is_the_share_over_all_matrices() -> None:
    mask = {"small": torch.tensor([[True, False]]), "large": torch.zeros(2, 3, dtype=torch.bool)}
    assert masks.density(mask) == 1 / 8
    assert masks.densities(mask) == {"small": 0.5, "large": 0.0}


def test_num_kept_counts_per_replica_and_matrix() -> None:
    pack = {"a": torch.tensor([[[True, True]], [[False, True]]]), "b": torch.tensor([[[False]], [[True]]])}
    assert masks.num_kept(pack) == {"a": [2, 1], "b": [0, 1]}


@pytest.mark.parametrize("drawn", [masks.random_mask, masks.random_mask_outside])
def test_random_mask_keeps_the_count_of_every_matrix(drawn: Drawn) -> None:
    mask = hand_mask(tiny_mask())
    found = drawn(mask, draws())
    assert {name: int(bits.sum()) for name, bits in found.items()} == {
        name: int(bits.sum()) for name, bits in mask.items()
    }


@pytest.mark.parametrize("drawn", [masks.random_mask, masks.random_mask_outside])
def test_random_mask_same_state_gives_same_bits(drawn: Drawn) -> None:
    mask = hand_mask(tiny_mask())
    assert same_bits(drawn(mask, draws(1)), drawn(mask, draws(1)))


@pytest.mark.parametrize("drawn", [masks.random_mask, masks.random_mask_outside])
def test_random_mask_other_state_gives_other_bits(drawn: Drawn) -> None:
    mask = hand_mask(tiny_mask())
    first, second = drawn(mask, draws(1)), drawn(mask, draws(2))
    assert not any(torch.equal(first[name], second[name]) for name in mask)


def test_random_mask_is_uniform_over_the_matrix() -> None:
    mask = {"matrix": torch.tensor([[True, True, False, False], [False] * 4])}
    counts = sum(masks.random_mask(mask, draws(seed))["matrix"].long() for seed in range(800))
    assert isinstance(counts, Tensor)
    assert bool(((counts - 200).abs() < 6 * 150**0.5).all())


def test_random_mask_outside_lies_outside() -> None:
    mask = hand_mask(tiny_mask())
    found = masks.random_mask_outside(mask, draws())
    assert not any(bool((found[name] & mask[name]).any()) for name in mask)


def test_random_mask_outside_of_half_density_is_the_complement() -> None:
    mask = {"matrix": torch.tensor([[True, False], [False, True]])}
    assert same_bits(masks.random_mask_outside(mask, draws()), masks.inverted(mask))


def test_random_mask_outside_of_too_dense_a_mask_names_matrix_and_remedy() -> None:
    mask = {"h.0.mlp.c_fc.weight": torch.tensor([[True, True], [False, True]])}
    with pytest.raises(ValueError, match=r"density of h\.0\.mlp\.c_fc\.weight is 0\.750.*raise the penalty"):
        masks.random_mask_outside(mask, draws())


def test_inverted_swaps_ones_and_zeros() -> None:
    assert masks.inverted({"matrix": torch.tensor([[True, False]])})["matrix"].tolist() == [[False, True]]


# ---- files


def test_unpacked_bits_of_packed_bits_are_the_mask() -> None:
    mask = {"odd": torch.rand(3, 7, generator=draws()) < 0.5, "empty": torch.zeros(2, 2, dtype=torch.bool)}
    mask |= hand_mask(tiny_mask())
    assert same_bits(masks.unpacked_bits(masks.packed_bits(mask)), mask)


def test_packed_bits_take_an_eighth_of_a_byte_per_weight() -> None:
    mask = {"matrix": torch.ones(1000, 800, dtype=torch.bool)}
    assert 100_000 <= len(masks.packed_bits(mask)) < 100_500


def test_packed_bits_same_mask_gives_same_bytes() -> None:
    assert masks.packed_bits(hand_mask(tiny_mask())) == masks.packed_bits(hand_mask(tiny_mask()))


CONTENT = masks.packed_bits({"matrix": torch.ones(3, 7, dtype=torch.bool)})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no safetensors",
        CONTENT[:-1],
        CONTENT.replace(b"shapes", b"shaped"),
        CONTENT.replace(b"[3, 7]", b"[3, 9]"),
        CONTENT.replace(b"[3, 7]", b"[3, x]"),
        CONTENT.replace(b"[3, 7]", b"[-3,7]"),
        CONTENT.replace(b"[3, 7]", b"{    }"),
        save({"matrix": torch.ones(3, dtype=torch.uint8)}),
        save({"matrix": torch.ones(3)}, metadata={"shapes": '{"matrix": [3, 7]}'}),
        save({"matrix": torch.ones(3, dtype=torch.uint8)}, metadata={"shapes": '{"other": [3, 7]}'}),
        save({"matrix": torch.ones(3, dtype=torch.uint8)}, metadata={"shapes": "[1]"}),
    ],
)
def test_unpacked_bits_of_damaged_content_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no file of packed mask bits"):
        masks.unpacked_bits(content)


# ---- in the network


def test_mask_of_ones_equals_the_unmasked_network_bit_for_bit() -> None:
    method = mask_method([tiny_mask(), tiny_mask(seed=1)])
    with torch.no_grad():
        for logits in method.trainable.values():
            logits.fill_(1000.0)
    donor = {name: method.constants[f"donor.{name}"] for name in gpt2.shapes(tiny_mask().donor.model, 13)}
    rows, model = method.constants["validation"], tiny_mask().donor.model
    masked = gpt2.hidden(method.effective(), rows, model, None)
    assert torch.equal(masked, gpt2.hidden(donor, rows, model, None))


def test_mask_of_zeros_leaves_only_what_is_not_masked() -> None:
    method = mask_method([tiny_mask()])
    with torch.no_grad():
        for logits in method.trainable.values():
            logits.fill_(-1000.0)
    found = method.effective()
    for name, tensor in found.items():
        if name in method.matrices:
            assert tensor.count_nonzero() == 0
        else:
            assert torch.equal(tensor, method.constants[f"donor.{name}"])


def test_mask_logits_begin_at_the_initial_logit_of_each_replica() -> None:
    method = mask_method([tiny_mask(initial_logit=-0.1), tiny_mask(initial_logit=0.25)])
    for logits in method.trainable.values():
        assert bool((logits[0] == -0.1).all())
        assert bool((logits[1] == 0.25).all())


def test_softly_masked_has_the_gradient_of_the_loss_plus_the_weighted_sum_of_the_soft_mask() -> None:
    logits = torch.randn(2, 4, 5, generator=draws(), dtype=torch.float64, requires_grad=True)
    weights, upstream = (torch.randn(2, 4, 5, generator=draws(seed), dtype=torch.float64) for seed in (1, 2))
    temperature, penalty = torch.tensor([1.0, 7.0]).double(), torch.tensor([1e-3, 0.5]).double()
    soft = torch.sigmoid(logits * temperature.view(2, 1, 1))
    total = (weights * soft * upstream).sum() + (penalty.view(2, 1, 1) * soft).sum()
    (expected,) = torch.autograd.grad(total, logits)
    masked = masks.softly_masked(weights, logits, temperature, penalty)
    (found,) = torch.autograd.grad((masked * upstream).sum(), logits)
    torch.testing.assert_close(found, expected)


def test_mask_method_takes_penalty_and_temperature_of_each_replica() -> None:
    method = mask_method([tiny_mask(penalty=1e-3), tiny_mask(penalty=2e-3)])
    with torch.no_grad():
        for logits in method.trainable.values():
            logits.copy_(0.1 * torch.randn(logits.shape, generator=draws()))
    temperature = 100 ** (1 / 3)
    method.begin(2)
    total = torch.stack([0 * each.sum() for each in method.effective().values()]).sum()
    gradients = torch.autograd.grad(total, list(method.trainable.values()))
    for logits, gradient in zip(method.trainable.values(), gradients, strict=True):
        soft = 1 / (1 + torch.exp(-temperature * logits.detach().double()))
        weight = torch.tensor([1e-3, 2e-3], dtype=torch.float64).view(2, 1, 1)
        expected = weight * temperature * soft * (1 - soft)
        torch.testing.assert_close(gradient.double(), expected, atol=1e-7, rtol=1e-5)


# ---- temperature


def schedule(name: str) -> list[float]:
    spec: Mask = tiny_mask(temperature=TemperatureSchedule(name=name, final=100.0), num_epochs=50)  # type: ignore[arg-type]
    return [spec.temperature.temperature(epoch, num_epochs=50) for epoch in range(1, 51)]


def test_temperature_exponential_is_multiplied_once_after_each_epoch() -> None:
    expected, growth = [1.0], 100 ** (1 / 50)
    for _ in range(49):
        expected.append(expected[-1] * growth)
    assert schedule("exponential") == pytest.approx(expected, rel=1e-12)
    assert expected[-1] * growth == pytest.approx(100.0)


def test_temperature_as_released_is_multiplied_twice_after_the_first_epoch() -> None:
    found = schedule("as_released")
    assert [round(each, 4) for each in found[:3]] == [1.0, 1.2023, 1.3183]
    assert [after / before for before, after in pairwise(found[1:])] == pytest.approx([100 ** (1 / 50)] * 48)
    assert found[-1] == pytest.approx(100.0)


def test_temperature_of_a_pack_differs_by_replica() -> None:
    released = TemperatureSchedule(name="as_released", final=64.0)
    plain = TemperatureSchedule(name="exponential", final=64.0)
    method = mask_method([tiny_mask(temperature=released), tiny_mask(temperature=plain)])
    found = [verdict.measurements["temperature"] for verdict in method.evaluate(2)]
    assert found == pytest.approx([16.0, 4.0])
