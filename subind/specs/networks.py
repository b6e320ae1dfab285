"""The networks, as far as planning goes. What computes with them stands in `subind.networks`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any, ClassVar, Literal

from subind.specs.base import at_most, positive, require
from subind.specs.network import MatrixPart, Network, check_inputs
from subind.specs.network_sizes import BYTES_OF_AN_ACTIVATION, FLOAT, NetworkSize
from subind.specs.tasks import Features, Images, Signature, Tokens

MOST_LAYERS, MOST_STAGES, WIDEST = 1000, 16, 65_536
"""Of one network: larger ones have more weights than one device holds."""

MOST_CLASSES = 100_000
LONGEST_SIDE = 8192
"""Pixels of an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GPT2(Network):
    """GPT-2: pre-LN, gelu_new, MLP of four times the width, head tied to the token embedding.

    Vocabulary and number of positions are the task's.
    """

    behaviour: ClassVar[str] = "subind.networks.gpt2:Behaviour"

    num_layers: int
    d_model: int
    num_heads: int
    dropout: float

    def _check(self) -> None:
        positive(self, "num_layers", "d_model", "num_heads")
        at_most(self, MOST_LAYERS, "num_layers")
        at_most(self, WIDEST, "d_model")
        require(self.d_model % self.num_heads == 0, self, "num_heads", f"give a divisor of d_model = {self.d_model}")
        require(0 <= self.dropout < 1, self, "dropout", "give a probability from 0 to below 1")

    def check(self, signature: Signature) -> None:
        check_inputs(self, signature, Tokens)

    @property
    def name(self) -> str:
        return f"layers{self.num_layers}"

    def columns(self) -> Mapping[str, Any]:
        return {"num_layers": self.num_layers, "d_model": self.d_model}

    def matrix_parts(self) -> tuple[MatrixPart, ...]:
        """Query, key and value of every head, what every head gives out, and both matrices of the MLP."""
        return tuple(part for layer in range(self.num_layers) for part in self._parts_of_layer(layer))

    def _parts_of_layer(self, layer: int) -> Iterator[MatrixPart]:
        size = self.d_model // self.num_heads
        for place, part in enumerate(("query", "key", "value")):
            for head in range(self.num_heads):
                first = place * self.d_model + head * size
                yield _part(layer, "attn.c_attn", part, head=head, axis=1, places=(first, first + size))
        for head in range(self.num_heads):
            rows = (head * size, (head + 1) * size)
            yield _part(layer, "attn.c_proj", "output", head=head, axis=0, places=rows)
        yield _part(layer, "mlp.c_fc", "mlp.c_fc", head=None, axis=1, places=(0, 4 * self.d_model))
        yield _part(layer, "mlp.c_proj", "mlp.c_proj", head=None, axis=1, places=(0, self.d_model))

    @property
    def family(self) -> str:
        return "sequences"

    def size(self, signature: Signature, precision: str) -> NetworkSize:
        """Measured memory, on a CPU in all stages at depths 1 to 6 and batches from 32 to 500, is 0.7 to 1.15 of this.

        A layer keeps 32 floats for each position and unit of d_model: inputs of its eight products and norms, the
        MLP's at four times the width before and after gelu, dropout factors, gradients under way. The head keeps four
        for each position and word: scores, their log-softmax, and the gradients of both.
        """
        assert isinstance(signature.inputs, Tokens)
        length, words = signature.inputs.length, signature.inputs.vocabulary_size
        layers, width = self.num_layers, self.d_model
        matrices = 12 * layers * width**2
        return NetworkSize(
            num_parameters=matrices + (13 * layers + words + length + 3) * width,
            num_maskable=matrices,
            num_masks=4 * layers,
            num_layers=layers + 1,
            products=length * (matrices + words * width),
            activations=length * layers * width,
            step_bytes=FLOAT * length * (32 * layers * width + 4 * words),
            evaluation_bytes=FLOAT * length * (12 * width + 3 * words),
            is_packed=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet(Network):
    """A residual network of basic blocks (He et al. 2016), with torchvision's names: ResNet-18 has four stages of two.

    `widths` are the channels of the stages and `num_blocks` their blocks; each stage but the first halves the picture.
    The stem "imagenet" is a 7×7 convolution of stride 2 and a pooling of stride 2; "small" is a 3×3 convolution.
    """

    behaviour: ClassVar[str] = "subind.networks.resnet:Behaviour"

    widths: tuple[int, ...]
    num_blocks: tuple[int, ...]
    stem: Literal["imagenet", "small"]
    num_classes: int

    @property
    def num_layers(self) -> int:
        """The layers of the longest way through: the stem, two in every block, and the head."""
        return 2 * sum(self.num_blocks) + 2

    @property
    def d_model(self) -> int:
        """The channels of the last stage."""
        return self.widths[-1]

    @property
    def name(self) -> str:
        """What tables and folders call it: resnet18 as torchvision does, else with the channels of the stem."""
        is_18 = (self.widths, self.num_blocks, self.stem) == ((64, 128, 256, 512), (2, 2, 2, 2), "imagenet")
        return "resnet18" if is_18 else f"resnet{self.num_layers}_{self.widths[0]}"

    def _check(self) -> None:
        positive(self, "num_classes")
        at_most(self, MOST_CLASSES, "num_classes")
        right = 0 < len(self.widths) <= MOST_STAGES and 0 < min(self.widths) <= max(self.widths) <= WIDEST
        require(right, self, "widths", f"give 1 to {MOST_STAGES} numbers from 1 to {WIDEST:,}")
        remedy = f"give one positive number for each of the {len(self.widths)} widths"
        right = len(self.num_blocks) == len(self.widths) and 0 < min(self.num_blocks) <= max(self.num_blocks)
        require(right and max(self.num_blocks) <= MOST_LAYERS, self, "num_blocks", f"{remedy}, at most {MOST_LAYERS}")

    def check(self, signature: Signature) -> None:
        check_inputs(self, signature, Images)
        _check_outputs(self, signature)

    def label(self, signature: Signature) -> str:
        return _label_of_classes(self, signature)

    def columns(self) -> Mapping[str, Any]:
        return {"num_layers": self.num_layers, "d_model": self.d_model}

    def first_layer(self) -> str:
        return "conv1.weight"

    def precisions(self) -> tuple[str, ...]:
        return ("float32", "tf32", "bfloat16", "float32_channels_last", "bfloat16_channels_last")

    @property
    def family(self) -> str:
        return "images"

    def size(self, signature: Signature, precision: str) -> NetworkSize:
        """A step keeps 8.9 bytes of an activation in float32 and 4.8 in bfloat16; gradients under way are added.

        Counted by hooks on what a ResNet-18 saves for the gradient at 224 pixels.
        """
        assert isinstance(signature.inputs, Images)
        layers = [*self._convolutions(signature.inputs.image_size)]
        kernels = sum(into * out * side**2 for into, out, side, _ in layers)
        activations = sum(out * size**2 for _, out, _, size in layers) + self.num_classes
        products = sum(into * out * side**2 * size**2 for into, out, side, size in layers)
        step_bytes = (8 if precision.startswith("bfloat16") else 12) * activations
        return NetworkSize(
            num_parameters=kernels + sum(2 * out for _, out, *_ in layers) + (self.d_model + 1) * self.num_classes,
            num_maskable=kernels,
            num_masks=len(layers),
            num_layers=len(layers) + 1,
            products=products + self.d_model * self.num_classes,
            activations=activations,
            step_bytes=step_bytes,
            evaluation_bytes=step_bytes // 4,
            is_packed=True,
        )

    def _convolutions(self, image_size: int) -> Iterator[tuple[int, int, int, int]]:
        """Channels in and out, side of the kernel, and side of the picture that comes out, of every convolution."""
        size = image_size if self.stem == "small" else ceil(image_size / 2)
        yield 3, self.widths[0], 3 if self.stem == "small" else 7, size
        size = size if self.stem == "small" else ceil(size / 2)
        into = self.widths[0]
        for stage, (width, count) in enumerate(zip(self.widths, self.num_blocks, strict=True)):
            for block in range(count):
                halves = stage > 0 and block == 0
                size = ceil(size / 2) if halves else size
                yield into, width, 3, size
                yield width, width, 3, size
                if halves or into != width:
                    yield into, width, 1, size
                into = width


@dataclass(frozen=True, slots=True, kw_only=True)
class ViT(Network):
    """A vision transformer (Dosovitskiy et al. 2021) without dropout, with torchvision's names: pre-LN, exact GELU."""

    behaviour: ClassVar[str] = "subind.networks.vit:Behaviour"

    image_size: int
    patch_size: int
    num_layers: int
    num_heads: int
    d_model: int
    d_mlp: int
    num_classes: int

    def _check(self) -> None:
        positive(self, *("patch_size", "num_layers", "num_heads", "d_model", "d_mlp", "num_classes"))
        at_most(self, MOST_LAYERS, "num_layers")
        at_most(self, WIDEST, "d_model", "d_mlp")
        at_most(self, MOST_CLASSES, "num_classes")
        at_most(self, LONGEST_SIDE, "image_size")
        whole = self.image_size > 0 and self.image_size % self.patch_size == 0
        require(whole, self, "image_size", f"give a multiple of patch_size = {self.patch_size}")
        require(self.d_model % self.num_heads == 0, self, "num_heads", f"give a divisor of d_model = {self.d_model}")

    @property
    def name(self) -> str:
        """What tables and folders call it: vit_b_16 as torchvision does, else with its depth and width."""
        is_base = (self.num_layers, self.num_heads, self.d_model, self.d_mlp) == (12, 12, 768, 3072)
        size = "b" if is_base else f"{self.num_layers}x{self.d_model}"
        return f"vit_{size}_{self.patch_size}"

    @property
    def num_positions(self) -> int:
        """The patches and the class token."""
        return (self.image_size // self.patch_size) ** 2 + 1

    def check(self, signature: Signature) -> None:
        check_inputs(self, signature, Images)
        assert isinstance(signature.inputs, Images)
        remedy = f"give that of the task's images, {signature.inputs.image_size}"
        require(self.image_size == signature.inputs.image_size, self, "image_size", remedy)
        _check_outputs(self, signature)

    def label(self, signature: Signature) -> str:
        return _label_of_classes(self, signature)

    def columns(self) -> Mapping[str, Any]:
        return {"num_layers": self.num_layers, "d_model": self.d_model}

    def first_layer(self) -> str:
        return "conv_proj.weight"

    @property
    def family(self) -> str:
        return "images"

    def size(self, signature: Signature, precision: str) -> NetworkSize:
        """A step keeps 4.7 bytes of an activation in float32 and 3.7 in bfloat16; gradients under way are added.

        Counted by hooks on what a ViT-B/16 saves for the gradient at 224 pixels.
        """
        tokens, width, inner, layers = self.num_positions, self.d_model, self.d_mlp, self.num_layers
        patches, head = 3 * self.patch_size**2 * width, width * self.num_classes
        matrices = layers * (4 * width**2 + 2 * width * inner)
        attention = 5 * width * tokens + self.num_heads * tokens**2
        activations = width * tokens + layers * (attention + (2 * inner + width) * tokens) + self.num_classes
        step_bytes = (6 if precision.startswith("bfloat16") else 8) * activations
        biases = layers * (9 * width + inner) + (self.num_positions + 4) * width + self.num_classes
        return NetworkSize(
            num_parameters=matrices + patches + head + biases,
            num_maskable=matrices + patches + head,
            num_masks=4 * layers + 2,
            num_layers=2 * layers + 2,
            products=(matrices + patches) * tokens + layers * 2 * width * tokens**2 + head,
            activations=activations,
            step_bytes=step_bytes,
            evaluation_bytes=step_bytes // 4,
            is_packed=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MLP(Network):
    """Linear layers with ReLU between them, biases included; the last one is the head."""

    behaviour: ClassVar[str] = "subind.networks.mlp:Behaviour"

    widths: tuple[int, ...]

    def _check(self) -> None:
        right = 0 < len(self.widths) <= MOST_LAYERS and 0 < min(self.widths) <= max(self.widths) <= WIDEST
        require(right, self, "widths", f"give the widths of the hidden layers, each from 1 to {WIDEST:,}")

    def check(self, signature: Signature) -> None:
        check_inputs(self, signature, Features)
        if not signature.num_outputs:
            raise ValueError("the task does not say its number of outputs, which an MLP needs: give another network")

    @property
    def name(self) -> str:
        return "mlp_" + "x".join(map(str, self.widths))

    def columns(self) -> Mapping[str, Any]:
        return {"num_layers": len(self.widths) + 1, "d_model": self.widths[-1]}

    def precisions(self) -> tuple[str, ...]:
        return ("float32", "tf32")

    def size(self, signature: Signature, precision: str) -> NetworkSize:
        assert isinstance(signature.inputs, Features)
        widths = (signature.inputs.num_features, *self.widths, signature.num_outputs)
        products, activations = sum(into * out for into, out in pairwise(widths)), sum(widths[1:])
        return NetworkSize(
            num_parameters=products + activations,
            num_maskable=products,
            num_masks=len(widths) - 1,
            num_layers=len(widths) - 1,
            products=products,
            activations=activations,
            step_bytes=BYTES_OF_AN_ACTIVATION * activations,
            evaluation_bytes=BYTES_OF_AN_ACTIVATION // 4 * activations,
            is_packed=True,
        )


def _part(layer: int, kind: str, part: str, *, head: int | None, axis: int, places: tuple[int, int]) -> MatrixPart:
    first, end = places
    matrix = f"h.{layer}.{kind}.weight"
    return MatrixPart(matrix=matrix, layer=layer, part=part, head=head, axis=axis, first=first, end=end)


RESNET_18 = ResNet(widths=(64, 128, 256, 512), num_blocks=(2, 2, 2, 2), stem="imagenet", num_classes=1000)
VIT_B_16 = ViT(image_size=224, patch_size=16, num_layers=12, num_heads=12, d_model=768, d_mlp=3072, num_classes=1000)
"""The paper's models, with the heads that they are pretrained with."""


def _label_of_classes(network: "ResNet | ViT", signature: Signature) -> str:
    alike = signature.num_outputs in (0, network.num_classes)
    return network.name if alike else f"{network.name}_{network.num_classes}"


def _check_outputs(network: "ResNet | ViT", signature: Signature) -> None:
    if network.num_classes not in (*signature.other_outputs, signature.num_outputs or network.num_classes):
        remedy = f"the task has {signature.num_outputs} classes; held='all_but_head' trains a head on imported weights"
        require(False, network, "num_classes", remedy)
