"""What networks for images answer: accuracy on original and mean-pooled images, and shape against texture."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from subind.image_training import ImageSets
from subind.models.vision import Network
from subind.spec import ImageTask
from subind.tasks import images
from subind.tasks.cue_conflict import Classes, bootstrap_interval, shape_bias
from subind.tasks.images import ConflictImages, Images

ROWS_AT_ONCE = 250
"""Fixed, whatever the pack's size, so that a replica's products have the same shapes alone and in a pack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of one network on some images: the mean cross-entropy, and the share of right answers."""

    loss: float
    accuracy: float


class Evaluations:
    """Sets of images to evaluate the replicas of a pack on, each made once on the device."""

    def __init__(self, device: str) -> None:
        self._sets = ImageSets(device)

    def answers(
        self, network: Network, tasks: list[ImageTask], use: images.Use, kind: images.Kind, *, num_images: int
    ) -> list[Answers]:
        """How each replica does on the images of its task."""
        found = []
        for each, task in zip(network.each(), tasks, strict=True):
            make = partial(images.images, task, use, kind, num_images)
            place = self._sets.place((task, use, kind, num_images), make)
            found.append(answers(each, self._sets[place]))
        return found


@torch.no_grad()
def answers(network: Network, given: Images) -> Answers:
    """How one network does on the images, which are on its device."""
    scores = _scores(network, given.pixels)
    return Answers(
        loss=float(F.cross_entropy(scores, given.labels)),
        accuracy=int((scores.argmax(1) == given.labels).sum()) / len(given.labels),
    )


@torch.no_grad()
def decisions(network: Network, pixels: UInt8[Tensor, "image 3 row column"]) -> Int[Tensor, " image"]:
    """The class that one network gives each image."""
    return _scores(network, pixels).argmax(1)


def _scores(network: Network, pixels: UInt8[Tensor, "image 3 row column"]) -> Float[Tensor, "image class"]:
    parts = [images.normalised(part).unsqueeze(0) for part in pixels.split(ROWS_AT_ONCE)]
    return torch.cat([network.scores(part, training=False)[0] for part in parts])


def tested(
    network: Network, task: ImageTask, *, device: str, num_images: int, num_conflict: int, seed: int
) -> dict[str, float]:
    """The measurements of one finished network on images that neither training nor selection has met."""
    found = {}
    for kind in ("original", "mean_pooled"):
        given = images.images(task, "test", kind, num_images)
        placed = Images(pixels=given.pixels.to(device), labels=given.labels.to(device))
        found[f"accuracy_{kind}"] = answers(network, placed).accuracy
    conflict = images.conflict_images(task, num_conflict)
    decided = decisions(network, conflict.pixels.to(device)).cpu().numpy()
    return found | cue_measurements(conflict, decided, images.class_names(task), seed=seed)


def cue_measurements(
    conflict: ConflictImages, decided: Classes, names: tuple[str, ...], *, seed: int
) -> dict[str, float]:
    """Shape bias in both averages with the interval over images, the rates, and the decisions by shape class.

    A bias of no decision for either cue does not exist and is left out.
    """
    bias = shape_bias(conflict.shapes, conflict.textures, decided)
    found: dict[str, float] = {
        "num_cue_conflict": float(bias.num_images),
        "shape_rate": bias.shape_rate,
        "texture_rate": bias.texture_rate,
        "other_rate": bias.other_rate,
    }
    for each in bias.classes:
        name, num_other = names[each.label], each.num_images - each.num_shape - each.num_texture
        counts = {"shape": each.num_shape, "texture": each.num_texture, "other": num_other}
        found |= {f"cue_{cue}.{name}": float(count) for cue, count in counts.items()}
    if bias.pooled is None or bias.class_mean is None:
        return found
    low, high = bootstrap_interval(conflict.shapes, conflict.textures, decided, generator=np.random.default_rng(seed))
    return found | {
        "shape_bias": bias.pooled,
        "shape_bias_class_mean": bias.class_mean,
        "shape_bias_low": low,
        "shape_bias_high": high,
    }
