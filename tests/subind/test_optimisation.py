"""The packed optimiser against torch.optim on single models."""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from subind.specs.optimizers import SGD, AdamW, ClipNorm, NoClip
from subind.training.optimiser import Pace, PackedOptimizer
from subind.training.tensors import Parameters

SHAPES = {"matrix": (4, 16), "bias": (16,)}
"""Multiples of 16, as in every model of such a width: fused AdamW rounds odd elements at the end differently."""
REPLICAS, STEPS = 3, 20
EXACT = {"atol": 1e-6, "rtol": 1e-6}


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def start() -> Parameters:
    generator = draws(0)
    return {name: torch.randn(REPLICAS, *shape, generator=generator) for name, shape in SHAPES.items()}


def gradients() -> list[list[Tensor]]:
    """Of very different size per replica, so that a norm of 1 clips some of them, some of the time."""
    generator, scale = draws(1), torch.tensor([0.05, 0.2, 5.0])
    scales = [scale.view(-1, *[1] * len(shape)) for shape in SHAPES.values()]
    return [
        [
            torch.randn(REPLICAS, *shape, generator=generator) * each
            for shape, each in zip(SHAPES.values(), scales, strict=True)
        ]
        for _ in range(STEPS)
    ]


def alike(optimizer: AdamW | SGD) -> list[Pace]:
    return [Pace(optimizer=optimizer, num_steps=STEPS)] * REPLICAS


def packed(optimizer: AdamW | SGD) -> Parameters:
    parameters = {name: tensor.requires_grad_() for name, tensor in start().items()}
    optimiser = PackedOptimizer(parameters, alike(optimizer))
    for each in gradients():
        optimiser.schedule()
        optimiser.step(each)
    return parameters


def alone(optimizer: AdamW, index: int, *, num_steps: int = STEPS) -> list[Tensor]:
    """One replica through torch's AdamW, clip_grad_norm_ and LambdaLR."""
    parameters = [nn.Parameter(tensor[index].clone()) for tensor in start().values()]
    adamw = torch.optim.AdamW(
        parameters, lr=optimizer.learning_rate, weight_decay=optimizer.weight_decay, fused=False, foreach=False
    )
    decay = optimizer.schedule == "linear_decay"
    schedule = torch.optim.lr_scheduler.LambdaLR(adamw, lambda step: max(0.0, 1 - step / num_steps) if decay else 1.0)
    for each in gradients():
        for parameter, gradient in zip(parameters, each, strict=True):
            parameter.grad = gradient[index].clone()
        if isinstance(optimizer.clip, ClipNorm):
            nn.utils.clip_grad_norm_(parameters, optimizer.clip.max_norm)
        adamw.step()
        schedule.step()
    return [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize("schedule", ["constant", "linear_decay"])
@pytest.mark.parametrize("clip", [NoClip(), ClipNorm(max_norm=1.0)], ids=["as_is", "clipped"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_packed_adamw_per_replica_equals_torch_on_one_model(
    schedule: Literal["constant", "linear_decay"], clip: NoClip | ClipNorm, weight_decay: float
) -> None:
    optimizer = AdamW(learning_rate=1e-2, weight_decay=weight_decay, schedule=schedule, clip=clip)
    pack = packed(optimizer)
    for index in range(REPLICAS):
        for found, expected in zip(pack.values(), alone(optimizer, index), strict=True):
            torch.testing.assert_close(found[index].detach(), expected, **EXACT)


def plain(**changes: object) -> AdamW:
    fields = {"learning_rate": 1e-2, "weight_decay": 0.01, "schedule": "linear_decay", "clip": ClipNorm(max_norm=1.0)}
    return AdamW(**{**fields, **changes})  # type: ignore[arg-type]


def test_packed_adamw_linear_decay_ends_at_zero() -> None:
    parameters = {name: tensor.requires_grad_() for name, tensor in start().items()}
    optimiser = PackedOptimizer(parameters, alike(plain()))
    for each in gradients():
        optimiser.schedule()
        optimiser.step(each)
    before = {name: tensor.detach().clone() for name, tensor in parameters.items()}
    optimiser.schedule()
    optimiser.step(gradients()[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in parameters.items())


def test_packed_adamw_restored_at_any_step_goes_on_with_the_same_bits() -> None:
    expected = packed(plain())
    for cut in range(STEPS):
        parameters = {name: tensor.requires_grad_() for name, tensor in start().items()}
        first = PackedOptimizer(parameters, alike(plain()))
        for each in gradients()[:cut]:
            first.schedule()
            first.step(each)
        moments = {name: tensor.clone() for name, tensor in first.state().items()}
        second = PackedOptimizer(parameters, alike(plain()))
        second.restore(moments, num_steps_done=cut)
        for each in gradients()[cut:]:
            second.schedule()
            second.step(each)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in parameters.items())


def test_packed_adamw_selected_goes_on_with_the_same_bits() -> None:
    expected, staying = packed(plain()), torch.tensor([2, 0])
    parameters = {name: tensor.requires_grad_() for name, tensor in start().items()}
    optimiser = PackedOptimizer(parameters, alike(plain()))
    for each in gradients()[:7]:
        optimiser.schedule()
        optimiser.step(each)
    rest = {name: tensor.detach()[staying].requires_grad_() for name, tensor in parameters.items()}
    optimiser.select(rest, staying)
    for each in gradients()[7:]:
        optimiser.schedule()
        optimiser.step([gradient[staying] for gradient in each])
    assert all(torch.equal(tensor, expected[name][staying]) for name, tensor in rest.items())


def test_packed_adamw_poisoned_replica_leaves_the_others_alone() -> None:
    expected = packed(plain())
    parameters = {name: tensor.requires_grad_() for name, tensor in start().items()}
    optimiser = PackedOptimizer(parameters, alike(plain()))
    for each in gradients():
        each[0][1] = float("nan")
        optimiser.schedule()
        optimiser.step(each)
    for name, tensor in parameters.items():
        assert torch.equal(tensor[[0, 2]], expected[name][[0, 2]])
        assert bool(tensor[1].isnan().all())


def test_packed_adamw_before_the_first_step_has_zero_moments() -> None:
    parameters = {name: tensor.requires_grad_() for name, tensor in start().items()}
    state = PackedOptimizer(parameters, alike(plain())).state()
    assert len(state) == 2 * len(parameters)
    assert not any(bool(moment.any()) for moment in state.values())


def test_packed_adamw_of_gradients_in_another_layout_gives_the_same_numbers() -> None:
    expected = packed(plain())
    parameters = {name: tensor.requires_grad_() for name, tensor in start().items()}
    optimiser = PackedOptimizer(parameters, alike(plain()))
    for matrix, bias in gradients():
        turned = matrix.transpose(1, 2).contiguous().transpose(1, 2)
        assert not turned.is_contiguous()
        optimiser.schedule()
        optimiser.step([turned, bias])
    for name, tensor in parameters.items():
        torch.testing.assert_close(tensor, expected[name], **EXACT)


@pytest.mark.parametrize("schedule", ["constant", "linear_decay"])
@pytest.mark.parametrize("rates", [(1e-2, 3e-3, 1e-1), (1e-2, 1e-2, 3e-3)], ids=["all_differ", "neighbours_alike"])
def test_packed_adamw_with_a_rate_and_a_length_for_each_replica_equals_torch_on_one_model(
    schedule: Literal["constant", "linear_decay"], rates: tuple[float, ...]
) -> None:
    lengths = (STEPS, STEPS, STEPS + 15)
    paces = [
        Pace(optimizer=plain(learning_rate=rate, schedule=schedule), num_steps=length)
        for rate, length in zip(rates, lengths, strict=True)
    ]
    pack = stepped(paces)
    for index, pace in enumerate(paces):
        expected = alone(pace.optimizer, index, num_steps=pace.num_steps)
        for found, one in zip(pack.values(), expected, strict=True):
            torch.testing.assert_close(found[index].detach(), one, **EXACT)


def stepped(paces: list[Pace]) -> Parameters:
    parameters = {name: tensor.requires_grad_() for name, tensor in start().items()}
    optimiser = PackedOptimizer(parameters, paces)
    for each in gradients():
        optimiser.schedule()
        optimiser.step(each)
    return parameters


def test_packed_adamw_of_replicas_of_one_rate_gives_the_bits_that_a_split_pack_gives() -> None:
    pace = Pace(optimizer=plain(), num_steps=STEPS)
    other = Pace(optimizer=plain(learning_rate=3e-3), num_steps=STEPS)
    whole, split = stepped([pace] * REPLICAS), stepped([pace, other, pace])
    for name, tensor in whole.items():
        assert torch.equal(split[name][[0, 2]], tensor[[0, 2]])
        assert not torch.equal(split[name][1], tensor[1])


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("schedule", ["constant", "linear_decay"])
def test_packed_sgd_is_torchs_with_momentum_and_decay(schedule: str, momentum: float) -> None:
    optimizer = SGD(learning_rate=0.1, momentum=momentum, weight_decay=0.05, schedule=schedule, clip=NoClip())  # type: ignore[arg-type]
    found = packed(optimizer)
    for index in range(REPLICAS):
        expected = [nn.Parameter(tensor[index].clone()) for tensor in start().values()]
        sgd = torch.optim.SGD(expected, lr=0.1, momentum=momentum, weight_decay=0.05, foreach=False, fused=False)
        for step, each in enumerate(gradients()):
            sgd.param_groups[0]["lr"] = 0.1 if schedule == "constant" else 0.1 * (1 - step / STEPS)
            for parameter, gradient in zip(expected, each, strict=True):
                parameter.grad = gradient[index].clone()
            sgd.step()
        for tensor, parameter in zip(found.values(), expected, strict=True):
            torch.testing.assert_close(tensor[index], parameter.detach())
