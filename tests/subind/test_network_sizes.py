"""What planning knows of a network is what the network has: parameters counted by other libraries, and by hand."""

import math

import pytest

from subind.specs.arithmetic import ArithmeticTask
from subind.specs.networks import GPT2, MLP, RESNET_18, VIT_B_16, ResNet, ViT
from subind.specs.tasks import Features, Images, Signature


def images(image_size: int, num_classes: int) -> Signature:
    return Signature(inputs=Images(image_size=image_size, num_channels=3), num_outputs=num_classes)


@pytest.mark.parametrize(("network", "name"), [(RESNET_18, "resnet18"), (VIT_B_16, "vit_b_16")])
def test_parameters_of_the_papers_networks_are_as_many_as_in_torchvision(network: ResNet | ViT, name: str) -> None:
    from torchvision import models

    expected = sum(each.numel() for each in models.get_model(name).parameters())
    assert network.size(images(224, 1000), "float32").num_parameters == expected


def test_masks_of_resnet_18_are_on_its_20_convolutions() -> None:
    from torchvision import models

    kernels = [each for each in models.resnet18().parameters() if each.dim() == 4]
    size = RESNET_18.size(images(224, 1000), "float32")
    assert (
        (size.num_masks, size.num_maskable) == (20, sum(each.numel() for each in kernels)) == (len(kernels), 11166912)
    )


def test_parameters_of_gpt2_are_as_many_as_in_transformers() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    network = GPT2(num_layers=3, d_model=32, num_heads=4, dropout=0.0)
    task = ArithmeticTask(rule="a*b", modulus=5, num_integers=50)
    theirs = GPT2LMHeadModel(GPT2Config(vocab_size=51, n_positions=4, n_embd=32, n_layer=3, n_head=4))
    size = network.size(task.signature(), "float32")
    assert size.num_parameters == sum(each.numel() for each in theirs.parameters())
    assert size.num_maskable == sum(
        each.numel() for name, each in theirs.named_parameters() if each.dim() == 2 and ".h." in name
    )


def test_resnet_multiplies_as_published() -> None:
    """He et al. 2016, table 1: 1.8 billion for an image of 224 pixels."""
    assert math.isclose(RESNET_18.size(images(224, 1000), "float32").products, 1.8e9, rel_tol=0.02)


def test_mlp_multiplies_once_with_each_weight() -> None:
    size = MLP(widths=(5, 7)).size(Signature(inputs=Features(num_features=3), num_outputs=2), "float32")
    assert (size.products, size.num_maskable) == (3 * 5 + 5 * 7 + 7 * 2,) * 2
    assert size.num_parameters == size.products + 5 + 7 + 2
