"""Continuous sparsification against closed forms, plain autograd and the unmasked network."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from subind.kernels.sums import ReplicaSums, replica_sums
from subind.masks.continuous_sparsification import SoftMasks, softly_masked
from subind.masks.method import packed
from subind.specs.mask_methods import ContinuousSparsification
from subind.specs.temperature import TemperatureSchedule
from subind.stages.parents import network_of
from subind.training.tensors import Parameters
from tests.specs import tiny_mask
from tests.subind.packs import discovery, finished

SHAPES = {"odd": (33, 50), "deep": (5, 7, 3), "long": (2, 5000)}


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=draws(seed), dtype=dtype)


def method(penalty: float = 1e-3, *, final: float = 100.0, name: Any = "exponential") -> ContinuousSparsification:
    temperature = TemperatureSchedule(name=name, final=final)
    return ContinuousSparsification(initial_logit=-0.1, penalty=penalty, temperature=temperature)


def soft_masks(methods: list[ContinuousSparsification], *, num_epochs: int = 3) -> SoftMasks:
    made = packed(methods, num_epochs=[num_epochs] * len(methods), device="cpu")
    assert isinstance(made, SoftMasks)
    return made


def tensors(num: int, *, seed: int) -> Parameters:
    return {name: normal(num, *shape, seed=seed + place) for place, (name, shape) in enumerate(SHAPES.items())}


# ---- weights and sums


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softly_masked_weights_are_scaled_by_the_logistic_function_of_temperature_times_logit(
    dtype: torch.dtype,
) -> None:
    logits, temperature = normal(3, 4, 5, dtype=dtype), torch.tensor([1.0, 3.0, 100.0], dtype=dtype)
    expected = 1 / (1 + torch.exp(-temperature.double().view(3, 1, 1) * logits.double()))
    found, sums = softly_masked(torch.ones(3, 4, 5, dtype=dtype), logits, temperature, wants_sums=True)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(sums.double(), expected.sum((1, 2)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("wants_sums", [True, False])
def test_softly_masked_has_the_gradients_of_plain_autograd(dtype: torch.dtype, wants_sums: bool) -> None:
    logits = normal(2, 4, 5, dtype=dtype).requires_grad_()
    weights, upstream = (normal(2, 4, 5, seed=seed, dtype=dtype) for seed in (1, 2))
    temperature, penalty = torch.tensor([1.0, 7.0], dtype=dtype), torch.tensor([1e-3, 0.5], dtype=dtype)
    soft = torch.sigmoid(logits * temperature.view(2, 1, 1))
    total = (weights * soft * upstream).sum() + wants_sums * (penalty.view(2, 1, 1) * soft).sum()
    (expected,) = torch.autograd.grad(total, logits)
    masked, sums = softly_masked(weights, logits, temperature, wants_sums=wants_sums)
    (found,) = torch.autograd.grad((masked * upstream).sum() + (penalty * sums).sum(), logits)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_softly_masked_by_logits_that_are_not_finite_is_not_finite(bad: float) -> None:
    logits = torch.full((1, 1, 4), bad)
    assert not softly_masked(torch.ones(1, 1, 4), logits, torch.ones(1), wants_sums=False)[0].isfinite().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 4095, 4096, 100_003])
def test_replica_sums_are_the_sums_and_the_same_alone(size: int, dtype: torch.dtype) -> None:
    x = normal(5, size, dtype=dtype)
    found = replica_sums(x)
    torch.testing.assert_close(found.double(), x.double().sum(1), atol=1e-3, rtol=1e-6)
    assert all(torch.equal(replica_sums(row.unsqueeze(0))[0], value) for row, value in zip(x, found, strict=True))


def test_replica_sums_have_the_gradient_one() -> None:
    x = normal(2, 3, 4).requires_grad_()
    (found,) = torch.autograd.grad((ReplicaSums.apply(x) * torch.tensor([2.0, -3.0])).sum(), x)
    assert torch.equal(found, torch.tensor([2.0, -3.0]).view(2, 1, 1).expand(2, 3, 4))


# ---- the method of a pack


def step(methods: list[ContinuousSparsification], index: list[int]) -> tuple[Parameters, Tensor, tuple[Tensor, ...]]:
    """The masked weights, the penalties and the gradients of replicas of three."""
    pack = soft_masks(methods)
    pack.begin(2)
    weights = {name: each[index] for name, each in tensors(3, seed=1).items()}
    logits = {name: each[index].requires_grad_() for name, each in tensors(3, seed=9).items()}
    masked, penalties = pack.masked(weights, logits, None), pack.penalties(logits, batch_size=8)
    total = torch.stack([each.pow(3).sum() for each in masked.values()]).sum() + penalties.sum()
    return masked, penalties, torch.autograd.grad(total, list(logits.values()))


def test_replica_alone_has_the_bits_that_it_has_in_a_pack() -> None:
    methods = [method(1e-3), method(0.0), method(0.5, final=7.0, name="as_released")]
    masked, penalties, gradients = step(methods, [0, 1, 2])
    for place, each in enumerate(methods):
        alone, penalty, of_logits = step([each], [place])
        assert all(torch.equal(tensor[place], alone[name][0]) for name, tensor in masked.items())
        assert penalties[place] == penalty[0]
        assert all(torch.equal(own[place], other[0]) for own, other in zip(gradients, of_logits, strict=True))


def test_penalty_is_a_term_of_the_loss_with_the_penalty_and_temperature_of_each_replica() -> None:
    pack = soft_masks([method(1e-3), method(2e-3)])
    pack.begin(2)
    logits = {name: (0.1 * each).requires_grad_() for name, each in tensors(2, seed=3).items()}
    pack.masked(tensors(2, seed=1), logits, None)
    penalties = pack.penalties(logits, batch_size=8)
    soft = {name: 1 / (1 + torch.exp(-(100 ** (1 / 3)) * each.detach().double())) for name, each in logits.items()}
    weight = torch.tensor([1e-3, 2e-3], dtype=torch.float64)
    expected = weight * torch.stack([each.flatten(1).sum(1) for each in soft.values()]).sum(0)
    torch.testing.assert_close(penalties.double(), expected, atol=1e-6, rtol=1e-6)
    gradients = torch.autograd.grad(penalties.sum(), list(logits.values()))
    for share, gradient in zip(soft.values(), gradients, strict=True):
        slope = 100 ** (1 / 3) * share * (1 - share)
        expected = weight.view(-1, *[1] * (share.dim() - 1)) * slope
        torch.testing.assert_close(gradient.double(), expected, atol=1e-7, rtol=1e-5)


def test_penalty_of_zero_is_zero_and_has_no_gradient() -> None:
    pack = soft_masks([method(0.0), method(0.0)])
    logits = {name: each.requires_grad_() for name, each in tensors(2, seed=3).items()}
    pack.masked(tensors(2, seed=1), logits, None)
    penalties = pack.penalties(logits, batch_size=8)
    assert penalties.tolist() == [0, 0]
    assert not penalties.requires_grad


def test_replicas_that_stay_keep_their_methods() -> None:
    pack = soft_masks([method(0.0), method(1e-3, final=7.0), method(0.5)])
    pack.begin(3)
    before = pack.measured()
    pack.constants = {name: tensor[[2, 1]] for name, tensor in pack.constants.items()}
    pack.select([2, 1])
    assert pack.measured() == [before[2], before[1]]
    pack.begin(2)
    expected = soft_masks([method(0.5), method(1e-3, final=7.0)])
    expected.begin(2)
    assert all(torch.equal(pack.constants[name], tensor) for name, tensor in expected.constants.items())


def test_logits_begin_at_the_initial_logit_of_each_replica() -> None:
    made = discovery([tiny_mask(initial_logit=-0.1), tiny_mask(initial_logit=0.25)])
    for logits in made.trainable.values():
        assert bool((logits[0] == -0.1).all())
        assert bool((logits[1] == 0.25).all())


# ---- in the network


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_mask_of_ones_equals_the_unmasked_network_bit_for_bit(seeds: tuple[int, ...]) -> None:
    made = discovery([tiny_mask(seed=seed) for seed in seeds])
    weights = {name: made.constants[f"fixed.{name}"] for name in made.names}
    ones = {name: torch.full_like(each, 1000.0) for name, each in weights.items()}
    masked = made.method.masked(weights, ones, None)
    assert all(torch.equal(masked[name], weights[name]) for name in made.names)


def test_mask_of_zeros_leaves_nothing() -> None:
    made = discovery([tiny_mask()])
    weights = {name: made.constants[f"fixed.{name}"] for name in made.names}
    masked = made.method.masked(weights, {name: torch.full_like(each, -1000.0) for name, each in weights.items()}, None)
    assert all(tensor.count_nonzero() == 0 for tensor in masked.values())


# ---- temperature


def schedule(name: str) -> list[float]:
    spec = TemperatureSchedule(name=name, final=100.0)  # type: ignore[arg-type]
    return [spec.temperature(epoch, num_epochs=50) for epoch in range(1, 51)]


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
    pack = soft_masks([method(final=64.0, name="as_released"), method(final=64.0)])
    pack.begin(2)
    assert [each["temperature"] for each in pack.measured()] == pytest.approx([16.0, 4.0])
    assert pack.constants["temperature"].tolist() == pytest.approx([16.0, 4.0])


def test_temperature_of_a_run_without_epochs_is_one() -> None:
    assert soft_masks([method()], num_epochs=0).measured() == [{"temperature": 1.0}]


# ---- through the stage


def test_penalty_on_the_curves_of_one_step_is_that_of_the_initial_logits() -> None:
    run = tiny_mask(penalty=0.5, initial_logit=0.25, num_samples=24, batch_size=24, num_epochs=1)
    shapes = network_of(run).shapes
    num_weights = sum(torch.Size(shapes[name]).numel() for name in network_of(run).maskable)
    (curve,) = finished([run])[run].replica.curves["penalty"]
    assert curve == pytest.approx(0.5 * num_weights / (1 + math.exp(-0.25)), rel=1e-5)
