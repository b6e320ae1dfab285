"""The packed MLP against torch.nn.Sequential."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from subind.networks.mlp import PackedMLP
from subind.networks.network import State, bound
from subind.specs.networks import MLP
from subind.specs.tasks import Features, Signature
from subind.specs.training import Normal, UniformFanIn
from subind.training.tensors import stacked

WIDTHS = [(100,), (50, 33, 20)]
BATCH = 32


def network(widths: tuple[int, ...]) -> PackedMLP:
    made = bound(MLP(widths=widths), Signature(inputs=Features(num_features=64), num_outputs=10))
    assert isinstance(made, PackedMLP)
    return made


def reference(widths: tuple[int, ...], *, seed: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for into, out in zip((64, *widths), (*widths, 10), strict=True):
        layers += [nn.Linear(into, out), nn.ReLU()]
    made = nn.Sequential(*layers[:-1])
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draws))
    return made


def features(replicas: int) -> Tensor:
    return torch.randn(replicas, BATCH, 64, generator=torch.Generator().manual_seed(7))


def outputs_and_gradients(of: PackedMLP, states: Sequence[State], inputs: Tensor) -> list[Tensor]:
    parameters = {name: each.requires_grad_() for name, each in stacked([own.parameters for own in states]).items()}
    state = State(parameters=parameters, statistics={})
    found = of.outputs(state, inputs, draws=None, training=True, precision="float32")
    return [found.detach(), *torch.autograd.grad(found.square().mean((1, 2)).sum(), list(parameters.values()))]


@pytest.mark.parametrize("widths", WIDTHS)
def test_outputs_and_gradients_equal_those_of_a_sequential(widths: tuple[int, ...]) -> None:
    references, inputs, ours = [reference(widths, seed=seed) for seed in range(3)], features(3), network(widths)
    states = [ours.from_library(each.state_dict()) for each in references]
    found, *gradients = outputs_and_gradients(ours, states, inputs)
    for index, each in enumerate(references):
        expected = each(inputs[index])
        torch.testing.assert_close(found[index], expected, atol=1e-5, rtol=1e-5)
        expected.square().mean().backward()
        for gradient, parameter in zip(gradients, each.parameters(), strict=True):
            torch.testing.assert_close(gradient[index], parameter.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("replicas", [2, 5, 25])
def test_a_replica_does_not_depend_on_its_pack(replicas: int, widths: tuple[int, ...]) -> None:
    ours, inputs = network(widths), features(replicas)
    states = [ours.initial(torch.Generator().manual_seed(seed)) for seed in range(replicas)]
    whole = outputs_and_gradients(ours, states, inputs)
    for index in range(replicas):
        alone = outputs_and_gradients(ours, states[index : index + 1], inputs[index : index + 1])
        assert all(torch.equal(own[0], pack[index]) for own, pack in zip(alone, whole, strict=True))


def test_names_and_shapes_are_those_of_a_sequential() -> None:
    ours, theirs = network((50, 33)), reference((50, 33), seed=0)
    assert ours.shapes == {name: tuple(each.shape) for name, each in theirs.named_parameters()}
    assert ours.maskable == ("0.weight", "2.weight", "4.weight")
    assert ours.head == ("4.weight", "4.bias")


def test_to_library_is_loaded_strictly_and_comes_back_the_same() -> None:
    ours, theirs = network((50, 33)), reference((50, 33), seed=0)
    state = ours.initial(torch.Generator().manual_seed(0))
    theirs.load_state_dict(ours.to_library(state), strict=True)
    again = ours.from_library(theirs.state_dict()).parameters
    assert all(torch.equal(again[name], each) for name, each in state.parameters.items())


def test_weights_of_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2.weight has the shape \(33, 50\), not \(34, 50\)"):
        network((50, 34)).from_library(reference((50, 33), seed=0).state_dict())


def test_fresh_weights_have_the_spread_of_torchs_linear() -> None:
    ours, theirs = network((1000,)).initial(torch.Generator().manual_seed(0)).parameters, nn.Linear(64, 1000)
    for name, parameter in theirs.named_parameters():
        assert ours[f"0.{name}"].std().item() == pytest.approx(parameter.std().item(), rel=0.1)
        assert ours[f"0.{name}"].abs().max() <= 64**-0.5


def test_fresh_weights_of_one_generator_state_are_the_same_and_of_another_are_not() -> None:
    ours = network((50,))
    first, again, other = (ours.initial(torch.Generator().manual_seed(seed)).parameters for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_fresh_values_of_a_law_have_its_spread() -> None:
    ours = network((1000,))
    normal, uniform = (
        ours.fresh("0.weight", law, torch.Generator().manual_seed(0)) for law in (Normal(std=0.5), UniformFanIn())
    )
    assert normal.std().item() == pytest.approx(0.5, rel=0.02)
    assert 0.999 / 8 < uniform.abs().max().item() <= 1 / 8


def test_a_task_without_a_number_of_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match="does not say its number of outputs"):
        MLP(widths=(8,)).check(Signature(inputs=Features(num_features=64), num_outputs=0))
