"""ResNets on packs: every parameter carries a leading replica axis, and R models run as one.

Names and layouts are those of torchvision's ResNet. Activations are [batch replica·channel row column], so that a
convolution has a group for each replica and batch normalisation is that of more channels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from subind.kernels import products
from subind.networks.image_network import ImageNetwork
from subind.networks.network import State
from subind.specs.networks import ResNet
from subind.specs.tasks import Signature
from subind.training.tensors import Parameters

EPSILON = 1e-5
MOMENTUM = 0.1
"""Of the running statistics: the share of a batch's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Convolution:
    name: str
    norm: str
    into: int
    out: int
    size: int
    stride: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    first: _Convolution
    second: _Convolution
    shortcut: _Convolution | None


def _stem(model: ResNet) -> _Convolution:
    size, stride = (7, 2) if model.stem == "imagenet" else (3, 1)
    return _Convolution(name="conv1", norm="bn1", into=3, out=model.widths[0], size=size, stride=stride)


def _blocks(model: ResNet) -> Iterator[_Block]:
    into = model.widths[0]
    for stage, (width, count) in enumerate(zip(model.widths, model.num_blocks, strict=True)):
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            yield _block(f"layer{stage + 1}.{index}", into=into, out=width, stride=stride)
            into = width


def _block(at: str, *, into: int, out: int, stride: int) -> _Block:
    shortcut = _Convolution(
        name=f"{at}.downsample.0", norm=f"{at}.downsample.1", into=into, out=out, size=1, stride=stride
    )
    return _Block(
        first=_Convolution(name=f"{at}.conv1", norm=f"{at}.bn1", into=into, out=out, size=3, stride=stride),
        second=_Convolution(name=f"{at}.conv2", norm=f"{at}.bn2", into=out, out=out, size=3, stride=1),
        shortcut=shortcut if stride != 1 or into != out else None,
    )


def _convolutions(model: ResNet) -> Iterator[_Convolution]:
    yield _stem(model)
    for block in _blocks(model):
        yield block.first
        yield block.second
        if block.shortcut is not None:
            yield block.shortcut


class Behaviour:
    """What computes with ResNets of one size."""

    def __init__(self, spec: ResNet) -> None:
        self._spec = spec

    def bound(self, signature: Signature) -> "PackedResNet":
        """The network, whose parameters do not depend on the size of the task's images."""
        return PackedResNet(self._spec)


class PackedResNet(ImageNetwork):
    """`subind.networks.network.Network` of a ResNet; masks cover the convolutions, and neither BatchNorm nor head."""

    head: tuple[str, ...] = ("fc.weight", "fc.bias")

    def __init__(self, model: ResNet) -> None:
        super().__init__(_shapes(model), _initial_statistics(model))
        self.model = model
        self.maskable = tuple(f"{each.name}.weight" for each in _convolutions(model))
        self.norms = tuple(name for name in self.shapes if name not in {*self.maskable, *self.head})

    def initial(self, generator: torch.Generator) -> State:
        """A fresh model as torchvision's: convolutions N(0, 2/fan_out), BatchNorm 1 and 0, head U(±1/√fan_in)."""
        found: Parameters = {}
        for name, shape in self.shapes.items():
            if name in self.head:
                found[name] = (2 * torch.rand(shape, generator=generator) - 1) / sqrt(self.model.widths[-1])
            elif len(shape) == 4:
                found[name] = torch.randn(shape, generator=generator) * sqrt(2 / (shape[0] * shape[2] * shape[3]))
            else:
                found[name] = torch.ones(shape) if name.endswith(".weight") else torch.zeros(shape)
        return State(parameters=found, statistics=_initial_statistics(self.model))

    def scores(
        self,
        state: State,
        images: Float[Tensor, "replica batch channel row column"],
        *,
        training: bool,
        layout: torch.memory_format,
    ) -> Float[Tensor, "replica batch class"]:
        replicas, batch = images.shape[:2]
        a_pass = _Pass(parameters=state.parameters, statistics=state.statistics, training=training)
        x = images.transpose(0, 1).flatten(1, 2).contiguous(memory_format=layout)
        x = F.relu(a_pass.convolved(_stem(self.model), x))
        if self.model.stem == "imagenet":
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        for block in _blocks(self.model):
            x = a_pass.through(block, x)
        pooled = x.mean((2, 3)).view(batch, replicas, -1).transpose(0, 1)
        weight, bias = (state.parameters[name] for name in self.head)
        return products.affine(bias, pooled, weight.transpose(1, 2))


def _shapes(model: ResNet) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for each in _convolutions(model):
        found[f"{each.name}.weight"] = (each.out, each.into, each.size, each.size)
        found |= {f"{each.norm}.weight": (each.out,), f"{each.norm}.bias": (each.out,)}
    return found | {"fc.weight": (model.num_classes, model.widths[-1]), "fc.bias": (model.num_classes,)}


def _initial_statistics(model: ResNet) -> Parameters:
    """Means 0 and variances 1."""
    found: Parameters = {}
    for each in _convolutions(model):
        found[f"{each.norm}.running_mean"] = torch.zeros(each.out)
        found[f"{each.norm}.running_var"] = torch.ones(each.out)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """One forward pass of a pack; while `training`, batches are normalised by their own statistics, which are kept."""

    parameters: Mapping[str, Tensor]
    statistics: Mapping[str, Tensor]
    training: bool

    def convolved(self, of: _Convolution, x: Tensor) -> Tensor:
        weight = self.parameters[f"{of.name}.weight"]
        flat = weight.flatten(0, 1)
        found = F.conv2d(x, flat, stride=of.stride, padding=of.size // 2, groups=len(weight))
        return F.batch_norm(
            found,
            self.statistics[f"{of.norm}.running_mean"].view(-1),
            self.statistics[f"{of.norm}.running_var"].view(-1),
            self.parameters[f"{of.norm}.weight"].flatten(),
            self.parameters[f"{of.norm}.bias"].flatten(),
            training=self.training,
            momentum=MOMENTUM,
            eps=EPSILON,
        )

    def through(self, block: _Block, x: Tensor) -> Tensor:
        inner = self.convolved(block.second, F.relu(self.convolved(block.first, x)))
        past = x if block.shortcut is None else self.convolved(block.shortcut, x)
        return F.relu(inner + past)
