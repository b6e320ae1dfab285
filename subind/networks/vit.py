"""Vision transformers on packs: every parameter carries a leading replica axis, and R models run as one batched model.

Names and layouts are those of torchvision's VisionTransformer; projections multiply from the right, so their weights
are (out, in). There is no dropout.
"""

from collections.abc import Mapping
from math import sqrt

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from subind.kernels import products
from subind.networks.image_network import ImageNetwork
from subind.networks.network import State
from subind.specs.networks import ViT
from subind.specs.tasks import Signature

EPSILON = 1e-6
INITIAL_STD_OF_POSITIONS = 0.02
INITIAL_STD_OF_MLP_BIAS = 1e-6


class Behaviour:
    """What computes with vision transformers of one size."""

    def __init__(self, spec: ViT) -> None:
        self._spec = spec

    def bound(self, signature: Signature) -> "PackedViT":
        """The network; the spec has checked the size of the task's images."""
        return PackedViT(self._spec)


class PackedViT(ImageNetwork):
    """`subind.networks.network.Network` of a vision transformer.

    Masks cover every linear map and the convolution of the patches, the head included.
    """

    head: tuple[str, ...] = ("heads.head.weight", "heads.head.bias")

    def __init__(self, model: ViT) -> None:
        super().__init__(_shapes(model), {})
        self.model = model
        ends = ("weight", "proj_weight")
        self.maskable = tuple(name for name, shape in self.shapes.items() if name.endswith(ends) and len(shape) > 1)
        self.norms = tuple(name for name in self.shapes if ".ln_" in name or name.startswith("encoder.ln."))

    def initial(self, generator: torch.Generator) -> State:
        """A fresh model.

        As torchvision has it (patches N(0, 1/fan_in) cut at two deviations, projections of attention and MLP uniform
        by Glorot and Bengio, positions N(0, 0.02)), but for the head, which is U(±1/√fan_in) rather than zero.
        """
        parameters = {name: _initial(name, shape, generator) for name, shape in self.shapes.items()}
        return State(parameters=parameters, statistics={})

    def scores(
        self,
        state: State,
        images: Float[Tensor, "replica batch channel row column"],
        *,
        training: bool,
        layout: torch.memory_format,
    ) -> Float[Tensor, "replica batch class"]:
        """The scores of the classes, from the class token after the last LayerNorm; the layout is of no effect."""
        parameters, model = state.parameters, self.model
        x = _embedded(parameters, images, model)
        for layer in range(model.num_layers):
            at = f"encoder.layers.encoder_layer_{layer}"
            x = x + _attended(parameters, f"{at}.self_attention", _normed(parameters, f"{at}.ln_1", x), model)
            inner = F.gelu(_linear(parameters, f"{at}.mlp.0", _normed(parameters, f"{at}.ln_2", x)))
            x = x + _linear(parameters, f"{at}.mlp.3", inner)
        first = _normed(parameters, "encoder.ln", x[:, :, :1])
        return _linear(parameters, "heads.head", first).squeeze(2)


def _shapes(model: ViT) -> dict[str, tuple[int, ...]]:
    width, inner = model.d_model, model.d_mlp
    found: dict[str, tuple[int, ...]] = {
        "class_token": (1, 1, width),
        "conv_proj.weight": (width, 3, model.patch_size, model.patch_size),
        "conv_proj.bias": (width,),
        "encoder.pos_embedding": (1, model.num_positions, width),
    }
    for layer in range(model.num_layers):
        at = f"encoder.layers.encoder_layer_{layer}"
        found |= _norm_shapes(f"{at}.ln_1", width)
        found |= {f"{at}.self_attention.in_proj_weight": (3 * width, width)}
        found |= {f"{at}.self_attention.in_proj_bias": (3 * width,)}
        found |= _linear_shapes(f"{at}.self_attention.out_proj", width, width)
        found |= _norm_shapes(f"{at}.ln_2", width)
        found |= _linear_shapes(f"{at}.mlp.0", width, inner) | _linear_shapes(f"{at}.mlp.3", inner, width)
    return found | _norm_shapes("encoder.ln", width) | _linear_shapes("heads.head", width, model.num_classes)


def _norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear_shapes(name: str, into: int, out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _initial(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    found = torch.zeros(shape)
    if name.endswith("pos_embedding"):
        return found.normal_(0, INITIAL_STD_OF_POSITIONS, generator=generator)
    if name.startswith("heads.head.weight"):
        return found.uniform_(-1 / sqrt(shape[1]), 1 / sqrt(shape[1]), generator=generator)
    if name == "conv_proj.weight":
        std = sqrt(1 / (shape[1] * shape[2] * shape[3]))
        return torch.nn.init.trunc_normal_(found, 0, std, -2.0, 2.0, generator=generator)
    if name.endswith("out_proj.weight"):
        return found.uniform_(-1 / sqrt(shape[1]), 1 / sqrt(shape[1]), generator=generator)
    if len(shape) == 2:
        return torch.nn.init.xavier_uniform_(found, generator=generator)
    if ".mlp." in name:
        return found.normal_(0, INITIAL_STD_OF_MLP_BIAS, generator=generator)
    return found.fill_(1) if name.endswith(".weight") else found


def _embedded(parameters: Mapping[str, Tensor], images: Tensor, model: ViT) -> Tensor:
    """The class token and the patches, each a row of pixels times the convolution's weight, with their positions."""
    replicas, batch, channels, rows, columns = images.shape
    size = model.patch_size
    cut = images.view(replicas, batch, channels, rows // size, size, columns // size, size)
    patches = cut.permute(0, 1, 3, 5, 2, 4, 6).reshape(replicas, -1, channels * size * size)
    weight = parameters["conv_proj.weight"].flatten(2)
    found = products.affine(parameters["conv_proj.bias"], patches, weight.transpose(1, 2))
    tokens = parameters["class_token"].expand(-1, batch, 1, -1)
    joined = torch.cat([tokens, found.view(replicas, batch, -1, model.d_model)], dim=2)
    return joined + parameters["encoder.pos_embedding"]


def _normed(parameters: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight, bias = (parameters[f"{name}.{each}"][:, None, None] for each in ("weight", "bias"))
    return torch.addcmul(bias, F.layer_norm(x, x.shape[-1:], eps=EPSILON), weight)


def _linear(parameters: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return _multiplied(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])


def _multiplied(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    found = products.affine(bias, x.flatten(1, 2), weight.transpose(1, 2))
    return found.view(*x.shape[:3], -1)


def _attended(parameters: Mapping[str, Tensor], name: str, x: Tensor, model: ViT) -> Tensor:
    joined = _multiplied(x, parameters[f"{name}.in_proj_weight"], parameters[f"{name}.in_proj_bias"])
    heads = joined.view(*x.shape[:3], 3, model.num_heads, -1).permute(3, 0, 1, 4, 2, 5)
    query, key, value = heads.unbind(0)
    mixed = F.scaled_dot_product_attention(query, key, value)
    return _linear(parameters, f"{name}.out_proj", mixed.transpose(2, 3).reshape(x.shape))
