"""The specs of vision: drawn images, photographs, and the networks that classify images."""

import re
from dataclasses import dataclass, field
from typing import Literal

from subind.specs.base import LARGEST_COUNT, NEUTRAL, Checked, at_most, positive, require

MOST_LAYERS, MOST_STAGES, WIDEST = 1000, 16, 65_536
"""Of one network: larger ones have more weights than one device holds."""

MOST_CLASSES = 100_000

MOST_IMAGES = 2**30
"""Of one use, such as training or validation: the generator distinguishes this many drawn images."""

LONGEST_SIDE = 8192
"""Pixels of an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapesTask(Checked):
    """Images of one of 16 shapes filled with one of 16 textures; the label is one of 16 classes.

    The shape is that of the label with the probability `shape_predictivity`, else one of the other 15; the texture
    likewise, independently. `shape_contrast` is the distance between the mean colours of object and background,
    `texture_contrast` that between the darkest and the brightest of the texture; each in 0 … 1, where 1 is the distance
    of black and white. The texture's mean over the visible object is the object's colour, whatever the texture; where
    that colour is too dark or too bright for the whole contrast, the contrast is lower. The images of an index and a
    `data_seed` never change.
    """

    image_size: int
    shape_predictivity: float
    texture_predictivity: float
    shape_contrast: float
    texture_contrast: float
    data_seed: int

    def _check(self) -> None:
        positive(self, "image_size")
        require(16 <= self.image_size <= 512, self, "image_size", "give 16 to 512 pixels")
        for name in ("shape_predictivity", "texture_predictivity"):
            require(1 / 16 <= getattr(self, name) <= 1, self, name, "give a probability from 1/16 (chance) to 1")
        for name in ("shape_contrast", "texture_contrast"):
            require(0 <= getattr(self, name) <= 1, self, name, "give 0 to 1")
        require(0 <= self.data_seed < 2**31, self, "data_seed", "give 0 to 2**31 - 1")


PARTS = ("photographs", "mean_pooled", "cue_conflict")
"""The fields of a task on photographs that say which images these are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNet16Task(Checked):
    """Photographs of the 16 classes that Geirhos et al. (2018) made of 207 of ImageNet-1k's, and the same mean-pooled.

    The balanced subset has at most `num_per_class` photographs of a class, and `evaluation_share` of each class of it
    is for evaluation alone. Training images are the rest of the subset ("balanced"), or of all photographs
    ("transfer"). `num_images` is how many the tree has in the 16 classes: 213,555 if it is whole.

    A photograph's shorter side is brought to `shorter_side` pixels; of that a square of `image_size` is cut, at random
    in training and from the middle in evaluation. `segmenter` is how photographs are cut into segments, with the
    settings that `subind data mean-pool` has of itself; "sam" has the paper's.

    `photographs`, `mean_pooled` and `cue_conflict` say which images these are: the fingerprints of the three parts of
    the folder that `--images` names, of 16 hexadecimal digits each. `subind run` fills them in. They are empty in a
    task that a grid has written and no folder has been given for; such a task takes the images of any folder.
    """

    part: Literal["balanced", "transfer"]
    num_images: int
    num_per_class: int
    evaluation_share: float
    segmenter: Literal["sam", "slic", "felzenszwalb"]
    shorter_side: int
    image_size: int
    data_seed: int
    photographs: str = field(default="", metadata={NEUTRAL: ""})
    mean_pooled: str = field(default="", metadata={NEUTRAL: ""})
    cue_conflict: str = field(default="", metadata={NEUTRAL: ""})

    def _check(self) -> None:
        positive(self, "num_images", "num_per_class", "shorter_side", "image_size")
        at_most(self, LARGEST_COUNT, "num_images", "num_per_class")
        at_most(self, LONGEST_SIDE, "shorter_side")
        require(0 < self.evaluation_share < 1, self, "evaluation_share", "give a share between 0 and 1")
        remedy = f"give at most shorter_side = {self.shorter_side}"
        require(self.image_size <= self.shorter_side, self, "image_size", remedy)
        is_said = bool(self.photographs or self.mean_pooled or self.cue_conflict)
        for name in PARTS:
            remedy = "give the 16 hexadecimal digits of a fingerprint, or leave out all three for --images to fill in"
            is_right = re.fullmatch("[0-9a-f]{16}" if is_said else "", getattr(self, name)) is not None
            require(is_right, self, name, remedy)
        require(0 <= self.data_seed < 2**31, self, "data_seed", "give 0 to 2**31 - 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet(Checked):
    """A residual network of basic blocks (He et al. 2016), with torchvision's names: ResNet-18 has four stages of two.

    `widths` are the channels of the stages and `num_blocks` their blocks; each stage but the first halves the picture.
    The stem "imagenet" is a 7×7 convolution of stride 2 and a pooling of stride 2; "small" is a 3×3 convolution.
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ViT(Checked):
    """A vision transformer (Dosovitskiy et al. 2021) without dropout, with torchvision's names: pre-LN, exact GELU."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedWeights(Checked):
    """Training starts from a file of torchvision's, by its name without the ending, such as resnet18-f37072fd.

    The name ends in the first eight hexadecimal digits of the file's SHA-256. `subind import FILE.pth` checks these and
    puts the weights into the store.
    """

    file: str

    def _check(self) -> None:
        name, dash, digits = self.file.rpartition("-")
        right = dash and name.replace("_", "").isalnum() and len(digits) == 8 and set(digits) <= set("0123456789abcdef")
        remedy = "give the name of a file of torchvision without its ending, such as resnet18-f37072fd"
        require(bool(right) and self.file.isascii(), self, "file", remedy)


RESNET_18 = ResNet(widths=(64, 128, 256, 512), num_blocks=(2, 2, 2, 2), stem="imagenet", num_classes=1000)
VIT_B_16 = ViT(image_size=224, patch_size=16, num_layers=12, num_heads=12, d_model=768, d_mlp=3072, num_classes=1000)
"""The paper's models, with the heads that they are pretrained with."""
