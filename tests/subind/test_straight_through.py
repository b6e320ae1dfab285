"""Sampled masks against the logistic function, plain autograd and hard thresholds."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from subind.masks import hard
from subind.masks.method import packed
from subind.masks.straight_through import SampledMasks, sampled
from subind.specs.mask_methods import StraightThrough
from subind.stages.parents import network_of
from subind.training.draws import Draws
from subind.training.tensors import Parameters
from tests.specs import tiny_mask
from tests.subind.packs import finished

SHAPES = {"odd": (33, 50), "deep": (5, 7, 3)}


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def uniform(*shape: int, seed: int = 7, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def method(penalty: float = 1e-3, *, initial_logit: float = 2.0, num_masks: int = 4) -> StraightThrough:
    return StraightThrough(initial_logit=initial_logit, penalty=penalty, num_masks=num_masks)


def sampled_masks(methods: list[StraightThrough]) -> SampledMasks:
    made = packed(methods, num_epochs=[3] * len(methods), device="cpu")
    assert isinstance(made, SampledMasks)
    return made


def noise(seeds: list[int], *, step: int = 0) -> Draws:
    made = Draws("mask/noise", seeds, "cpu")
    made.at(step)
    return made


def tensors(num: int, *, seed: int) -> Parameters:
    return {name: normal(num, *shape, seed=seed + place) for place, (name, shape) in enumerate(SHAPES.items())}


# ---- samples


@pytest.mark.parametrize("logit", [-2.0, 0.0, 2.0])
def test_mean_of_samples_is_the_logistic_function_of_the_logit(logit: float) -> None:
    logits = {"matrix": torch.full((1, 100, 1000), logit)}
    ones = {"matrix": torch.ones(1, 100, 1000)}
    found = sampled_masks([method()]).masked(ones, logits, noise([0]))["matrix"]
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert found.mean().item() == pytest.approx(1 / (1 + torch.tensor(-logit).exp().item()), abs=0.005)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sample_is_one_where_logit_plus_logistic_noise_is_positive(dtype: torch.dtype) -> None:
    logits, u = 2 * normal(2, 40, 50), uniform(2, 40, 50)
    margin = logits.double() + torch.logit(u.double())
    found = sampled(torch.ones(2, 40, 50, dtype=dtype), logits.to(dtype), u.to(dtype))
    clear = margin.abs() > 1e-5
    assert torch.equal(found[clear] == 1, margin[clear] > 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_that_of_the_soft_sample(dtype: torch.dtype) -> None:
    logits, u = (2 * normal(2, 4, 5, dtype=dtype)).requires_grad_(), uniform(2, 4, 5, dtype=dtype)
    weights, upstream = (normal(2, 4, 5, seed=seed, dtype=dtype) for seed in (1, 2))
    (expected,) = torch.autograd.grad((weights * torch.sigmoid(logits + torch.logit(u)) * upstream).sum(), logits)
    (found,) = torch.autograd.grad((sampled(weights, logits, u) * upstream).sum(), logits)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-1000.0, -100.0, 0.0, 100.0, 1000.0])
def test_sample_of_extreme_numbers_is_finite(logit: float, dtype: torch.dtype) -> None:
    u = torch.tensor([[0.0, 2.0**-24, 0.5, 1 - 2.0**-24]], dtype=dtype)
    logits = torch.full((1, 4), logit, dtype=dtype).requires_grad_()
    found = sampled(torch.ones(1, 4, dtype=dtype), logits, u)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert bool(gradient.isfinite().all())
    assert found[0, 1:].tolist() == {True: [1, 1, 1], False: [0, 0, 0]}[logit > 0] if logit else [0, 0, 1]


def test_sample_of_a_logit_that_is_nan_is_nan() -> None:
    for dtype in (torch.float32, torch.float64):
        ones = torch.ones(1, 3, dtype=dtype)
        assert sampled(ones, ones * float("nan"), ones / 2).isnan().all()


def test_every_call_seed_and_step_has_its_own_noise_and_the_same_ones_have_the_same() -> None:
    pack, ones = sampled_masks([method()]), {"matrix": torch.ones(1, 50, 50)}
    logits = {"matrix": torch.zeros(1, 50, 50)}

    def two(seed: int, step: int) -> list[Tensor]:
        own = noise([seed], step=step)
        return [pack.masked(ones, logits, own)["matrix"] for _ in range(2)]

    several = [*two(0, 0), *two(1, 0), *two(0, 1)]
    assert all(not torch.equal(one, other) for one, other in pairwise(several))
    assert all(torch.equal(one, other) for one, other in zip(two(0, 0), several[:2], strict=True))


def test_number_of_masks_is_that_of_the_method() -> None:
    assert sampled_masks([method(num_masks=4)]).num_masks == 4


# ---- the penalty


@pytest.mark.parametrize("batch_size", [8, 128])
def test_penalty_is_beta_over_batch_size_times_the_sum_of_logits(batch_size: int) -> None:
    logits = {name: each.requires_grad_() for name, each in tensors(2, seed=3).items()}
    penalties = sampled_masks([method(1e-4), method(1e-2)]).penalties(logits, batch_size=batch_size)
    sums = torch.stack([each.detach().double().flatten(1).sum(1) for each in logits.values()]).sum(0)
    expected = torch.tensor([1e-4, 1e-2], dtype=torch.float64) / batch_size * sums
    torch.testing.assert_close(penalties.double(), expected, rtol=1e-5, atol=1e-8)


def test_gradient_of_the_penalty_is_beta_over_batch_size_whatever_the_logit() -> None:
    logits = {"matrix": torch.tensor([[-1000.0, -2.0, 0.0, 2.0, 1000.0]] * 2).requires_grad_()}
    penalties = sampled_masks([method(0.5), method(0.25)]).penalties(logits, batch_size=128)
    (found,) = torch.autograd.grad(penalties.sum(), [logits["matrix"]])
    assert found.tolist() == [[0.5 / 128] * 5, [0.25 / 128] * 5]


def test_penalty_of_zero_is_zero_and_has_no_gradient() -> None:
    logits = {name: each.requires_grad_() for name, each in tensors(1, seed=3).items()}
    penalties = sampled_masks([method(0.0)]).penalties(logits, batch_size=8)
    assert penalties.tolist() == [0]
    assert not penalties.requires_grad


# ---- the pack and the hard mask


def step(methods: list[StraightThrough], index: list[int]) -> tuple[Parameters, Tensor, tuple[Tensor, ...]]:
    """The weights under the second sample of a step, the penalties and the gradients of replicas of three."""
    pack, own = sampled_masks(methods), noise(index, step=3)
    weights = {name: each[index] for name, each in tensors(3, seed=1).items()}
    logits = {name: each[index].requires_grad_() for name, each in tensors(3, seed=9).items()}
    masked = [pack.masked(weights, logits, own) for _ in range(2)][-1]
    penalties = pack.penalties(logits, batch_size=8)
    total = torch.stack([each.pow(3).sum() for each in masked.values()]).sum() + penalties.sum()
    return masked, penalties, torch.autograd.grad(total, list(logits.values()))


def test_replica_alone_has_the_bits_that_it_has_in_a_pack() -> None:
    methods = [method(1e-3), method(0.0), method(0.5)]
    masked, penalties, gradients = step(methods, [0, 1, 2])
    for place, each in enumerate(methods):
        alone, penalty, of_logits = step([each], [place])
        assert all(torch.equal(tensor[place], alone[name][0]) for name, tensor in masked.items())
        assert penalties[place] == penalty[0]
        assert all(torch.equal(own[place], other[0]) for own, other in zip(gradients, of_logits, strict=True))


def test_logits_begin_at_the_initial_logit_of_each_replica() -> None:
    logits = sampled_masks([method(initial_logit=2.0), method(initial_logit=-0.5)]).initial(SHAPES)
    assert {name: tuple(each.shape) for name, each in logits.items()} == {
        name: (2, *shape) for name, shape in SHAPES.items()
    }
    assert all(bool((each[0] == 2).all() and (each[1] == -0.5).all()) for each in logits.values())


def test_hard_mask_keeps_what_most_samples_keep() -> None:
    logits = torch.tensor([[-2.0, -0.2, 0.2, 2.0]]).expand(1000, 4).contiguous()
    pack = sampled_masks([method()] * 1000)
    often = pack.masked({"row": torch.ones(1000, 4)}, {"row": logits}, noise(list(range(1000))))["row"].mean(0) > 0.5
    assert torch.equal(often, hard.binarise(logits[0]))
    assert torch.equal(pack.soft({"row": logits})["row"][0] > 0.5, hard.binarise(logits[0]))


# ---- through the stage


def test_discovery_by_samples_has_the_same_bits_alone_and_in_a_pack() -> None:
    pack = [tiny_mask(seed=seed, method=method(penalty, num_masks=4)) for seed, penalty in ((0, 1e-2), (1, 0.0))]
    together = finished(pack)
    for run in pack:
        alone = finished([run])[run]
        assert together[run].replica.curves == alone.replica.curves
        assert together[run].measurements == alone.measurements
        assert together[run].files == alone.files


def test_penalty_on_the_curves_of_one_step_is_that_of_the_initial_logits() -> None:
    run = tiny_mask(method=method(0.5, initial_logit=2.0), num_samples=24, batch_size=24, num_epochs=1)
    shapes = network_of(run).shapes
    num_weights = sum(torch.Size(shapes[name]).numel() for name in network_of(run).maskable)
    (curve,) = finished([run])[run].replica.curves["penalty"]
    assert curve == pytest.approx(0.5 / 24 * 2.0 * num_weights, rel=1e-6)
