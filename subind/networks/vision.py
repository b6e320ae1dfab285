"""Either network for images as the stages see it: names, fresh weights, files, and the scores of a pack.

On a CPU the replicas of a pack run one after another: a convolution with a group for each takes longer than they do.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import prod, sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from subind.networks import resnet, vit
from subind.specs.runs import ImageModel, ImagePrecision, ResNet
from subind.training.tensors import Parameters

POSITIONS = ("class_token", "encoder.pos_embedding")
"""Of a ViT: what may train beside its mask."""


def shapes(model: ImageModel) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter of one model, by name."""
    return resnet.shapes(model) if isinstance(model, ResNet) else vit.shapes(model)


def matrices(model: ImageModel) -> tuple[str, ...]:
    """The names of what a mask covers."""
    return resnet.matrices(model) if isinstance(model, ResNet) else vit.matrices(model)


def head(model: ImageModel) -> tuple[str, str]:
    """The names of the last layer's weight and bias."""
    return ("fc.weight", "fc.bias") if isinstance(model, ResNet) else ("heads.head.weight", "heads.head.bias")


def norms(model: ImageModel) -> tuple[str, ...]:
    """The names of the weights and biases of BatchNorm or LayerNorm."""
    beside = {*matrices(model), *head(model)}
    if isinstance(model, ResNet):
        return tuple(name for name in shapes(model) if name not in beside)
    return tuple(name for name in shapes(model) if ".ln_" in name or name.startswith("encoder.ln."))


def initial(model: ImageModel, generator: torch.Generator) -> Parameters:
    """One fresh model, as torchvision makes it."""
    return resnet.initial(model, generator) if isinstance(model, ResNet) else vit.initial(model, generator)


def initial_statistics(model: ImageModel) -> Parameters:
    """The running statistics of one fresh model; none of a ViT."""
    return resnet.initial_statistics(model) if isinstance(model, ResNet) else {}


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A fresh weight U(±1/√fan_in) of that shape, (out, in, …)."""
    return (2 * torch.rand(shape, generator=generator) - 1) / sqrt(prod(shape[1:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Parameters and running statistics [replica *shape] of a pack of one architecture."""

    model: ImageModel
    precision: ImagePrecision
    parameters: Mapping[str, Tensor]
    statistics: Mapping[str, Tensor]

    def scores(
        self, images: Float[Tensor, "replica batch channel row column"], *, training: bool
    ) -> Float[Tensor, "replica batch class"]:
        """The scores of the classes, in float32; `training` is that of BatchNorm (see `resnet.logits`)."""
        if images.device.type != "cpu":
            return self._of(images, training=training)
        return torch.cat([each._of(own, training=training) for each, own in self._apart(images)])

    def _apart(self, images: Tensor) -> Iterator[tuple["Network", Tensor]]:
        return zip(self.each(), images.split(1), strict=True)

    def each(self) -> Iterator["Network"]:
        """The networks one by one, each a pack of one; their statistics are views."""
        num = len(next(iter(self.parameters.values())))
        apart = {name: tensor.unbind() for name, tensor in self.parameters.items()}
        for place in range(num):
            yield Network(
                model=self.model,
                precision=self.precision,
                parameters={name: tensors[place].unsqueeze(0) for name, tensors in apart.items()},
                statistics={name: tensor[place : place + 1] for name, tensor in self.statistics.items()},
            )

    def _of(self, images: Tensor, *, training: bool) -> Tensor:
        with _products(self.precision, images.device.type):
            if isinstance(self.model, ResNet):
                layout = torch.channels_last if self.precision.endswith("channels_last") else torch.contiguous_format
                found = resnet.logits(
                    self.parameters, self.statistics, images, self.model, training=training, layout=layout
                )
            else:
                found = vit.logits(self.parameters, images, self.model)
        return found.float()


def _products(precision: ImagePrecision, device: str) -> AbstractContextManager[object]:
    return torch.autocast(device, torch.bfloat16) if precision.startswith("bfloat16") else nullcontext()


def state(parameters: Mapping[str, Tensor], statistics: Mapping[str, Tensor]) -> Parameters:
    """One model as the state dict of torchvision's, on the CPU and contiguous."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in {**parameters, **statistics}.items()}


def from_state(tensors: Mapping[str, Tensor], model: ImageModel) -> tuple[Parameters, Parameters]:
    """Parameters and running statistics of one model from its state dict.

    Raises ValueError naming what is absent, unknown or of another shape.
    """
    wanted = shapes(model)
    running = {name: tuple(tensor.shape) for name, tensor in initial_statistics(model).items()}
    found = {name: tensor.float() for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    for name, shape in {**wanted, **running}.items():
        if name not in found or tuple(found[name].shape) != shape:
            has = tuple(found[name].shape) if name in found else "none"
            raise ValueError(f"the weights have {name} of shape {has} and the model {shape}: give weights of {model}")
    if unknown := sorted(found.keys() - wanted.keys() - running.keys()):
        raise ValueError(
            f"the weights have {', '.join(unknown[:3])}, which {model} has not: give weights of that model"
        )
    return {name: found[name] for name in wanted}, {name: found[name] for name in running}
