"""Packed vision models against torchvision's, one at a time: scores, gradients, running statistics, initial weights."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torchvision
from torch import Tensor

from subind.networks import resnet, vit
from subind.specs.vision import RESNET_18, VIT_B_16, ResNet, ViT

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
    """With every parameter drawn anew, for torchvision makes the head zero and biases nearly so."""
    made = _fresh_reference_vit(model)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def _several(make: Callable[[], torch.nn.Module]) -> list[torch.nn.Module]:
    found = []
    for seed in range(REPLICAS):
        torch.manual_seed(seed)
        found.append(make().double())
    return found


def _pack(references: list[torch.nn.Module], names: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    states = [each.state_dict() for each in references]
    return {name: torch.stack([state[name] for state in states]).clone() for name in names}


def _images(size: int) -> Tensor:
    return torch.randn(REPLICAS, 4, 3, size, size, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


@pytest.mark.parametrize("training", [True, False])
def test_resnet_pack_has_scores_gradients_and_statistics_of_single_models(training: bool) -> None:
    references = _several(lambda: _reference_resnet(SMALL_RESNET))
    parameters = _pack(references, resnet.shapes(SMALL_RESNET))
    statistics = _pack(references, dict.fromkeys(resnet.initial_statistics(SMALL_RESNET), ()))
    for tensor in parameters.values():
        tensor.requires_grad_()
    images = _images(32)
    found = resnet.logits(parameters, statistics, images, SMALL_RESNET, training=training)
    found.square().sum().backward()
    for index, reference in enumerate(references):
        expected = reference.train(training)(images[index])
        expected.square().sum().backward()
        torch.testing.assert_close(found[index], expected)
        for name, parameter in reference.named_parameters():
            assert parameters[name].grad is not None
            torch.testing.assert_close(parameters[name].grad[index], parameter.grad)
        for name, tensor in statistics.items():
            torch.testing.assert_close(tensor[index], reference.state_dict()[name])


def test_vit_pack_has_scores_and_gradients_of_single_models() -> None:
    references = _several(lambda: _reference_vit(SMALL_VIT))
    parameters = _pack(references, vit.shapes(SMALL_VIT))
    for tensor in parameters.values():
        tensor.requires_grad_()
    images = _images(SMALL_VIT.image_size)
    found = vit.logits(parameters, images, SMALL_VIT)
    found.square().sum().backward()
    for index, reference in enumerate(references):
        # Its fast path in evaluation mode has other kernels; there is no dropout, so that training mode is the same.
        expected = reference.train()(images[index])
        expected.square().sum().backward()
        torch.testing.assert_close(found[index], expected)
        for name, parameter in reference.named_parameters():
            assert parameters[name].grad is not None
            torch.testing.assert_close(parameters[name].grad[index], parameter.grad)


def test_parameters_of_resnet_18_are_torchvisions() -> None:
    reference = torchvision.models.resnet18()
    expected = {name: tuple(tensor.shape) for name, tensor in reference.named_parameters()}
    assert resnet.shapes(RESNET_18) == expected
    assert len(resnet.matrices(RESNET_18)) == 20
    buffers = {name for name, _ in reference.named_buffers() if not name.endswith("num_batches_tracked")}
    assert set(resnet.initial_statistics(RESNET_18)) == buffers


def test_parameters_of_vit_b_16_are_torchvisions() -> None:
    with torch.device("meta"):
        reference = torchvision.models.vit_b_16()
    assert vit.shapes(VIT_B_16) == {name: tuple(tensor.shape) for name, tensor in reference.named_parameters()}
    assert len(vit.matrices(VIT_B_16)) == 1 + 4 * 12 + 1


@pytest.mark.parametrize("name", ["conv1.weight", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight", "fc.weight"])
def test_fresh_resnet_has_the_spread_of_torchvisions(name: str) -> None:
    ours = resnet.initial(RESNET_18, torch.Generator().manual_seed(0))[name]
    theirs = dict(torchvision.models.resnet18().named_parameters())[name]
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.05)
    assert ours.mean().item() == pytest.approx(0, abs=0.05 * ours.std().item())


def test_fresh_vit_has_the_spread_of_torchvisions_but_for_its_head() -> None:
    model = replace(VIT_B_16, num_layers=1)
    theirs = dict(_fresh_reference_vit(model).named_parameters())
    ours = vit.initial(model, torch.Generator().manual_seed(0))
    for name, tensor in ours.items():
        if not name.startswith("heads.head.weight") and tensor.numel() > 1:
            assert tensor.std().item() == pytest.approx(theirs[name].std().item(), rel=0.1, abs=1e-7), name
    assert ours["heads.head.weight"].abs().max() <= 768**-0.5
    assert ours["heads.head.weight"].std() > 0.9 * (768 * 3) ** -0.5


@pytest.mark.parametrize("model", [RESNET_18, SMALL_RESNET])
def test_fresh_resnets_of_one_generator_state_are_the_same_and_of_another_are_not(model: ResNet) -> None:
    first, again, other = (resnet.initial(model, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in resnet.matrices(model))


def test_fresh_vits_of_one_generator_state_are_the_same_and_of_another_are_not() -> None:
    first, again, other = (vit.initial(SMALL_VIT, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in vit.matrices(SMALL_VIT))
