"""Packed networks for images against torchvision's: scores, gradients, running statistics, initial weights, files."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
import torchvision
from torch import Tensor

from subind.networks.image_network import ImageNetwork
from subind.networks.network import State, bound
from subind.specs.networks import RESNET_18, VIT_B_16, ResNet, ViT
from subind.specs.tasks import Images, Signature
from subind.specs.training import UniformFanIn
from subind.training.draws import Draws
from subind.training.tensors import stacked

SMALL_RESNET = ResNet(widths=(8, 12), num_blocks=(1, 2), stem="imagenet", num_classes=16)
SMALL_VIT = ViT(image_size=32, patch_size=8, num_layers=2, num_heads=2, d_model=24, d_mlp=40, num_classes=16)
REPLICAS = 3


def _reference_resnet(model: ResNet) -> torch.nn.Module:
    made = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [*model.num_blocks, 1, 1, 1][:4])
    made.inplanes = model.widths[0]
    made.conv1 = torch.nn.Conv2d(3, model.widths[0], 7, stride=2, padding=3, bias=False)
    made.bn1 = torch.nn.BatchNorm2d(model.widths[0])
    for stage in range(4):
        if stage < len(model.widths):
            width, stride = model.widths[stage], 1 if stage == 0 else 2
            layer = made._make_layer(torchvision.models.resnet.BasicBlock, width, model.num_blocks[stage], stride)
        else:
            layer = torch.nn.Sequential()
        setattr(made, f"layer{stage + 1}", layer)
    made.fc = torch.nn.Linear(model.widths[-1], model.num_classes)
    return made


def _fresh_reference_vit(model: ViT) -> torch.nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=model.image_size,
        patch_size=model.patch_size,
        num_layers=model.num_layers,
        num_heads=model.num_heads,
        hidden_dim=model.d_model,
        mlp_dim=model.d_mlp,
        num_classes=model.num_classes,
    )


def _reference_vit(model: ViT) -> torch.nn.Module:
    """With every parameter drawn again, for torchvision makes the head zero and biases nearly so."""
    made = _fresh_reference_vit(model)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def _bound(model: ResNet | ViT) -> ImageNetwork:
    signature = Signature(inputs=Images(image_size=32, num_channels=3), num_outputs=model.num_classes)
    made = bound(model, signature)
    assert isinstance(made, ImageNetwork)
    return made


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _several(make: Callable[[], torch.nn.Module]) -> list[torch.nn.Module]:
    found = []
    for seed in range(REPLICAS):
        torch.manual_seed(seed)
        found.append(make().double())
    return found


def _pack(references: Sequence[torch.nn.Module], network: ImageNetwork) -> State:
    """In the references' double precision, which `from_library` does not keep."""
    states = [each.state_dict() for each in references]
    names = [name for name in states[0] if not name.endswith("num_batches_tracked")]
    tensors = {name: torch.stack([state[name] for state in states]).clone() for name in names}
    return State(
        parameters={name: tensors.pop(name).requires_grad_() for name in network.shapes},
        statistics=tensors,
    )


def _images(size: int) -> Tensor:
    return torch.randn(REPLICAS, 4, 3, size, size, generator=_generator(7), dtype=torch.float64)


def _scores(network: ImageNetwork, state: State, images: Tensor, *, training: bool) -> Tensor:
    layout = torch.contiguous_format
    return network.scores(state, images, training=training, layout=layout)


@pytest.mark.parametrize("training", [True, False])
def test_resnet_pack_has_scores_gradients_and_statistics_of_single_models(training: bool) -> None:
    references, network = _several(lambda: _reference_resnet(SMALL_RESNET)), _bound(SMALL_RESNET)
    state, images = _pack(references, network), _images(32)
    found = _scores(network, state, images, training=training)
    found.square().sum().backward()
    for index, reference in enumerate(references):
        expected = reference.train(training)(images[index])
        expected.square().sum().backward()
        torch.testing.assert_close(found[index], expected)
        for name, parameter in reference.named_parameters():
            gradient = state.parameters[name].grad
            assert gradient is not None
            torch.testing.assert_close(gradient[index], parameter.grad)
        for name, tensor in state.statistics.items():
            torch.testing.assert_close(tensor[index], reference.state_dict()[name])


def test_vit_pack_has_scores_and_gradients_of_single_models() -> None:
    references, network = _several(lambda: _reference_vit(SMALL_VIT)), _bound(SMALL_VIT)
    state, images = _pack(references, network), _images(SMALL_VIT.image_size)
    found = _scores(network, state, images, training=True)
    found.square().sum().backward()
    for index, reference in enumerate(references):
        # Its fast path in evaluation mode has other kernels; there is no dropout, so that training mode is the same.
        expected = reference.train()(images[index])
        expected.square().sum().backward()
        torch.testing.assert_close(found[index], expected)
        for name, parameter in reference.named_parameters():
            gradient = state.parameters[name].grad
            assert gradient is not None
            torch.testing.assert_close(gradient[index], parameter.grad)


MODELS = [SMALL_RESNET, SMALL_VIT]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("replicas", [2, 5, 25])
@pytest.mark.parametrize("model", MODELS, ids=["resnet", "vit"])
def test_a_replica_does_not_depend_on_its_pack(model: ResNet | ViT, replicas: int, precision: str) -> None:
    network, images = _bound(model), torch.randn(replicas, 4, 3, 32, 32, generator=_generator(7))
    states = [network.initial(_generator(seed)) for seed in range(replicas)]
    whole = _trained(network, states, images, precision)
    for index in (0, replicas - 1):
        alone = _trained(network, states[index : index + 1], images[index : index + 1], precision)
        assert all(torch.equal(own[0], pack[index]) for own, pack in zip(alone, whole, strict=True))


def _trained(network: ImageNetwork, states: Sequence[State], images: Tensor, precision: str) -> list[Tensor]:
    """Scores, gradients and statistics of a training step."""
    parameters = {name: each.requires_grad_() for name, each in stacked([own.parameters for own in states]).items()}
    state = State(parameters=parameters, statistics=stacked([own.statistics for own in states]))
    draws = Draws("donor/dropout", range(len(states)), "cpu")
    scores = network.outputs(state, images, draws=draws, training=True, precision=precision)
    assert scores.dtype == torch.float32
    gradients = torch.autograd.grad(scores.square().mean((1, 2)).sum(), list(parameters.values()))
    return [scores.detach(), *gradients, *state.statistics.values()]


def test_resnet_in_channels_last_differs_by_rounding_alone() -> None:
    network, images = _bound(SMALL_RESNET), torch.randn(2, 4, 3, 32, 32, generator=_generator(7))
    states = [network.initial(_generator(seed)) for seed in range(2)]
    first, other = (_trained(network, states, images, each)[0] for each in ("float32", "float32_channels_last"))
    torch.testing.assert_close(first, other, atol=1e-4, rtol=1e-4)


def test_resnet_with_held_statistics_leaves_them_as_they_are() -> None:
    network, images = _bound(SMALL_RESNET), torch.randn(1, 4, 3, 32, 32, generator=_generator(7))
    fresh, state = (_of_pack(network.initial(_generator(0))) for _ in range(2))
    network.outputs(state, images, draws=None, training=False, precision="float32")
    assert all(torch.equal(state.statistics[name], each) for name, each in fresh.statistics.items())
    network.outputs(state, images, draws=None, training=True, precision="float32")
    assert not any(torch.equal(state.statistics[name], each) for name, each in fresh.statistics.items())


def _of_pack(state: State) -> State:
    return State(parameters=stacked([state.parameters]), statistics=stacked([state.statistics]))


# ---- names and fresh weights


def test_parameters_of_resnet_18_are_torchvisions() -> None:
    reference, network = torchvision.models.resnet18(), _bound(RESNET_18)
    assert network.shapes == {name: tuple(tensor.shape) for name, tensor in reference.named_parameters()}
    assert len(network.maskable) == 20
    buffers = {name for name, _ in reference.named_buffers() if not name.endswith("num_batches_tracked")}
    assert set(network.initial(_generator(0)).statistics) == buffers


def test_parameters_of_vit_b_16_are_torchvisions() -> None:
    with torch.device("meta"):
        reference = torchvision.models.vit_b_16()
    network = _bound(VIT_B_16)
    assert network.shapes == {name: tuple(tensor.shape) for name, tensor in reference.named_parameters()}
    assert len(network.maskable) == 1 + 4 * 12 + 1


@pytest.mark.parametrize(
    ("model", "kind"), [(SMALL_RESNET, torch.nn.BatchNorm2d), (SMALL_VIT, torch.nn.LayerNorm)], ids=["resnet", "vit"]
)
def test_norms_are_those_of_torchvisions_modules(model: ResNet | ViT, kind: type) -> None:
    reference = _reference_resnet(model) if isinstance(model, ResNet) else _reference_vit(model)
    norms = [name for name, module in reference.named_modules() if isinstance(module, kind)]
    assert set(_bound(model).norms) == {f"{name}.{each}" for name in norms for each in ("weight", "bias")}


@pytest.mark.parametrize("name", ["conv1.weight", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight", "fc.weight"])
def test_fresh_resnet_has_the_spread_of_torchvisions(name: str) -> None:
    ours = _bound(RESNET_18).initial(_generator(0)).parameters[name]
    theirs = dict(torchvision.models.resnet18().named_parameters())[name]
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.05)
    assert ours.mean().item() == pytest.approx(0, abs=0.05 * ours.std().item())


def test_fresh_vit_has_the_spread_of_torchvisions_but_for_its_head() -> None:
    model = replace(VIT_B_16, num_layers=1)
    theirs = dict(_fresh_reference_vit(model).named_parameters())
    ours = _bound(model).initial(_generator(0)).parameters
    for name, tensor in ours.items():
        if not name.startswith("heads.head.weight") and tensor.numel() > 1:
            assert tensor.std().item() == pytest.approx(theirs[name].std().item(), rel=0.1, abs=1e-7), name
    assert ours["heads.head.weight"].abs().max() <= 768**-0.5
    assert ours["heads.head.weight"].std() > 0.9 * (768 * 3) ** -0.5


@pytest.mark.parametrize("model", [RESNET_18, *MODELS], ids=["resnet18", "resnet", "vit"])
def test_fresh_networks_of_one_generator_state_are_the_same_and_of_another_are_not(model: ResNet | ViT) -> None:
    network = _bound(model)
    first, again, other = (network.initial(_generator(seed)).parameters for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in network.maskable)


@pytest.mark.parametrize("model", MODELS, ids=["resnet", "vit"])
def test_uniform_weight_and_bias_of_the_head_reach_the_root_of_its_inputs(model: ResNet | ViT) -> None:
    network = _bound(replace(model, num_classes=1000))
    weight, bias = (network.fresh(name, UniformFanIn(), _generator(0)) for name in network.head)
    limit = weight.shape[1] ** -0.5
    assert weight.shape == network.shapes[network.head[0]]
    for tensor in (weight, bias):
        assert 0.95 * limit < tensor.abs().max().item() <= limit


def test_uniform_convolution_reaches_the_root_of_its_inputs() -> None:
    found = _bound(SMALL_RESNET).fresh("layer2.0.conv1.weight", UniformFanIn(), _generator(0))
    limit = (8 * 3 * 3) ** -0.5
    assert 0.95 * limit < found.abs().max().item() <= limit


# ---- files


def _reference_of(model: ResNet | ViT) -> torch.nn.Module:
    return _reference_resnet(model) if isinstance(model, ResNet) else _reference_vit(model)


@pytest.mark.parametrize("model", MODELS, ids=["resnet", "vit"])
def test_a_state_dict_of_torchvision_comes_back_as_it_was(model: ResNet | ViT) -> None:
    network, reference = _bound(model), _reference_of(model)
    found = network.to_library(network.from_library(reference.state_dict()))
    missing, unexpected = reference.load_state_dict(found, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    assert all(torch.equal(found[name], tensor) for name, tensor in reference.state_dict().items() if name in found)


@pytest.mark.parametrize("model", MODELS, ids=["resnet", "vit"])
def test_a_file_with_another_head_is_refused_unless_it_is_left_out(model: ResNet | ViT) -> None:
    network, of_thousand = _bound(model), _reference_of(replace(model, num_classes=1000)).state_dict()
    with pytest.raises(ValueError, match=r"has the shape \(1000, \d+\), not \(16, \d+\)"):
        network.from_library(of_thousand)
    found = network.from_library(of_thousand, without=network.head)
    assert set(found.parameters) == set(network.shapes) - set(network.head)
    headless = {name: tensor for name, tensor in of_thousand.items() if name not in network.head}
    assert set(network.from_library(headless, without=network.head).parameters) == set(found.parameters)


def test_a_file_without_running_statistics_is_refused_by_name() -> None:
    tensors = {
        name: each for name, each in _reference_resnet(SMALL_RESNET).state_dict().items() if "running" not in name
    }
    with pytest.raises(ValueError, match=r"the weights lack bn1.running_mean, .* and \d+ more"):
        _bound(SMALL_RESNET).from_library(tensors)


def test_a_file_of_another_network_is_refused_by_name() -> None:
    tensors = _reference_resnet(SMALL_RESNET).state_dict() | {"layer9.weight": torch.ones(1)}
    with pytest.raises(ValueError, match=r"the weights have layer9.weight, which the network lacks"):
        _bound(SMALL_RESNET).from_library(tensors)
