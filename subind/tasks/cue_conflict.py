"""Shape against texture: what an observer decides on images whose shape is of one class and texture of another.

The protocol of R. Geirhos et al., ICLR 2019: images whose two classes are the same are left out, and the shape bias is
the share of shape decisions among the shape and texture decisions.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from subind.specs.quoting import quoted

IMAGENET16 = (
    "airplane",
    "bear",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "car",
    "cat",
    "chair",
    "clock",
    "dog",
    "elephant",
    "keyboard",
    "knife",
    "oven",
    "truck",
)
"""The classes of 16-class ImageNet, in the order of their numbers."""

Classes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassBias:
    """The decisions on the images of one shape class; `shape_bias` is None where none was for shape or texture."""

    label: int
    num_images: int
    num_shape: int
    num_texture: int
    shape_bias: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeBias:
    """Decisions over all conflict images: rates of all images, and the bias in both of its averages.

    `pooled` is over all decisions together, `class_mean` the mean of the classes' biases; None without any decision for
    shape or texture.
    """

    num_images: int
    shape_rate: float
    texture_rate: float
    other_rate: float
    pooled: float | None
    class_mean: float | None
    classes: tuple[ClassBias, ...]


def shape_bias(shapes: Classes, textures: Classes, decisions: Classes) -> ShapeBias:
    """The bias of one observer's decisions [image]; images of one class in both cues are left out.

    Raises ValueError if no image is in conflict, or if lengths differ.
    """
    if not len(shapes) == len(textures) == len(decisions):
        raise ValueError(f"{len(shapes)} shapes, {len(textures)} textures and {len(decisions)} decisions: give as many")
    conflict = shapes != textures
    if not conflict.any():
        raise ValueError("no image has a texture of another class than its shape: give cue-conflict images")
    shapes, textures, decisions = shapes[conflict], textures[conflict], decisions[conflict]
    for_shape, for_texture = decisions == shapes, decisions == textures
    classes = tuple(
        _class_bias(int(label), for_shape[shapes == label], for_texture[shapes == label]) for label in np.unique(shapes)
    )
    biases = [each.shape_bias for each in classes if each.shape_bias is not None]
    return ShapeBias(
        num_images=len(shapes),
        shape_rate=float(for_shape.mean()),
        texture_rate=float(for_texture.mean()),
        other_rate=float(1 - for_shape.mean() - for_texture.mean()),
        pooled=_share(int(for_shape.sum()), int(for_texture.sum())),
        class_mean=sum(biases) / len(biases) if biases else None,
        classes=classes,
    )


def _class_bias(label: int, for_shape: npt.NDArray[np.bool_], for_texture: npt.NDArray[np.bool_]) -> ClassBias:
    num_shape, num_texture = int(for_shape.sum()), int(for_texture.sum())
    return ClassBias(
        label=label,
        num_images=len(for_shape),
        num_shape=num_shape,
        num_texture=num_texture,
        shape_bias=_share(num_shape, num_texture),
    )


def _share(num_shape: int, num_texture: int) -> float | None:
    decided = num_shape + num_texture
    return num_shape / decided if decided else None


def bootstrap_interval(
    shapes: Classes,
    textures: Classes,
    decisions: Classes,
    *,
    generator: np.random.Generator,
    level: float = 0.95,
    num_resamples: int = 2000,
) -> tuple[float, float]:
    """The percentile interval of the pooled shape bias over resampled conflict images.

    It says how much the bias of one network depends on the choice of images. Resamples without any decision for shape
    or texture are left out. Raises ValueError if all are left out.
    """
    conflict = shapes != textures
    for_shape = (decisions == shapes)[conflict]
    for_texture = (decisions == textures)[conflict]
    # Resampling images is drawing how many of them are for shape, for texture, and for neither.
    count = len(for_shape)
    rates = np.array([for_shape.mean(), for_texture.mean()]) if count else np.zeros(2)
    numbers = generator.multinomial(count, [*rates, max(0.0, 1 - rates.sum())], size=num_resamples)
    decided = numbers[:, 0] + numbers[:, 1]
    if not decided.any():
        raise ValueError("no decision is for the shape or the texture: there is no bias to give an interval of")
    biases = numbers[decided > 0, 0] / decided[decided > 0]
    low, high = np.quantile(biases, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def cue_measurements(
    shapes: Classes, textures: Classes, decisions: Classes, *, names: Sequence[str], seed: int
) -> dict[str, float]:
    """Shape bias in both averages with the interval over images, the rates, and the decisions by shape class.

    `names` are those of the classes. A bias of no decision for either cue does not exist and is left out.
    """
    bias = shape_bias(shapes, textures, decisions)
    measured = {
        "num_cue_conflict": float(bias.num_images),
        "shape_rate": bias.shape_rate,
        "texture_rate": bias.texture_rate,
        "other_rate": bias.other_rate,
    }
    for each in bias.classes:
        num_other = each.num_images - each.num_shape - each.num_texture
        counts = {"shape": each.num_shape, "texture": each.num_texture, "other": num_other}
        measured |= {f"cue_{cue}.{names[each.label]}": float(count) for cue, count in counts.items()}
    if bias.pooled is None or bias.class_mean is None:
        return measured
    low, high = bootstrap_interval(shapes, textures, decisions, generator=np.random.default_rng(seed))
    return measured | {
        "shape_bias": bias.pooled,
        "shape_bias_class_mean": bias.class_mean,
        "shape_bias_low": low,
        "shape_bias_high": high,
    }


def cues(file_name: str) -> tuple[int, int]:
    """Shape and texture class of an image of the published data by its file name, such as cat3-clock2.png.

    Raises ValueError if the name does not end in two of the 16 classes.
    """
    parts = file_name.rpartition(".")[0].rpartition("_")[2].split("-")
    names = [part.rstrip("0123456789") for part in parts]
    if len(names) != 2 or not set(names) <= set(IMAGENET16):
        raise ValueError(f"{quoted(file_name)} is not the name of a cue-conflict image: name it SHAPE1-TEXTURE1.png")
    return IMAGENET16.index(names[0]), IMAGENET16.index(names[1])


def observer_decisions(path: Path) -> tuple[Classes, Classes, Classes]:
    """Shapes, textures and decisions [image] from a file of raw decisions as published, one row a trial.

    A trial without an answer ("na") is the decision -1, which is neither cue. Raises ValueError for another file.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"object_response", "imagename"} <= rows[0].keys():
        raise ValueError(f"{path} has no columns object_response and imagename: give a file of raw decisions")
    pairs = np.array([cues(row["imagename"]) for row in rows], dtype=np.int64)
    decisions = np.array([_class(row["object_response"], path) for row in rows], dtype=np.int64)
    return pairs[:, 0], pairs[:, 1], decisions


def _class(answer: str, path: Path) -> int:
    if answer == "na":
        return -1
    if answer not in IMAGENET16:
        raise ValueError(f"{path} has the answer {quoted(answer)}, which is none of the 16 classes: give raw decisions")
    return IMAGENET16.index(answer)


def sixteen_way(probabilities: npt.NDArray[np.floating[npt.NBitBase]], members: Sequence[Sequence[int]]) -> Classes:
    """Decisions [image] of a classifier with more classes: the largest mean probability over the members of a class.

    `probabilities` is [image class] after the softmax; `members` are the classes of the classifier that make up each
    class. Raises ValueError if one has no members, or one that the classifier lacks.
    """
    for number, each in enumerate(members):
        if not each or not all(0 <= member < probabilities.shape[1] for member in each):
            raise ValueError(
                f"members of class {number} are {list(each)}: give classes of 0 … {probabilities.shape[1] - 1}"
            )
    means = np.stack([probabilities[:, list(each)].mean(1) for each in members], axis=1)
    found: Classes = means.argmax(1)
    return found
