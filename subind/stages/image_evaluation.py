"""What networks for images answer: accuracy on original and mean-pooled images, and shape against texture."""

from dataclasses import dataclass
from functools import partial
from math import log

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from subind.networks.vision import Network
from subind.specs.images import NUM_CLASSES
from subind.specs.runs import ImageTask
from subind.stages.image_training import ImageSets
from subind.tasks import images
from subind.tasks.cue_conflict import Classes, bootstrap_interval, shape_bias
from subind.tasks.imagenet16 import logits_of_classes
from subind.tasks.images import ConflictImages, Images
from subind.training.loop import Runtime

ROWS_AT_ONCE = 250
"""Fixed, whatever the pack's size, so that a replica's products have the same shapes alone and in a pack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of one network on some images: the mean cross-entropy, and the share of right answers."""

    loss: float
    accuracy: float


class Evaluations:
    """Sets of images to evaluate the replicas of a pack on, each made once on the device."""

    def __init__(self, runtime: Runtime) -> None:
        self._sets = ImageSets(runtime.device)
        self._folder = runtime.images

    def answers(
        self, network: Network, tasks: list[ImageTask], use: images.Use, kind: images.Kind, *, num_images: int
    ) -> list[Answers]:
        """How each replica does on the images of its task."""
        found = []
        for each, task in zip(network.each(), tasks, strict=True):
            make = partial(images.images, task, use, kind, num_images, folder=self._folder)
            place = self._sets.place((task, use, kind, num_images), make)
            found.append(answers(each, self._sets[place], task))
        return found


@torch.no_grad()
def answers(network: Network, given: Images, task: ImageTask) -> Answers:
    """How one network does on the images of a task, which are on its device."""
    scores = _scores(network, given.pixels, task)
    return Answers(
        loss=float(F.cross_entropy(scores, given.labels)),
        accuracy=int((scores.argmax(1) == given.labels).sum()) / len(given.labels),
    )


@torch.no_grad()
def decisions(network: Network, pixels: UInt8[Tensor, "image 3 row column"], task: ImageTask) -> Int[Tensor, " image"]:
    """The class that one network gives each image."""
    return _scores(network, pixels, task).argmax(1)


def _scores(
    network: Network, pixels: UInt8[Tensor, "image 3 row column"], task: ImageTask
) -> Float[Tensor, "image class"]:
    parts = [images.normalised(part, task).unsqueeze(0) for part in pixels.split(ROWS_AT_ONCE)]
    return torch.cat([_of_sixteen(network.scores(part, training=False)[0]) for part in parts])


def _of_sixteen(scores: Float[Tensor, "image class"]) -> Float[Tensor, "image sixteen"]:
    """Of 1,000 classes the logarithm of the mean probability of those that make up each of the 16, but for a constant.

    So decisions are those of `cue_conflict.sixteen_way`, and the cross-entropy is of the 16 means over their sum.
    """
    if scores.shape[1] == NUM_CLASSES:
        return scores
    several = [list(members) for members in logits_of_classes()]
    return torch.stack([scores[:, members].logsumexp(1) - log(len(members)) for members in several], dim=1)


def tested(
    network: Network, task: ImageTask, *, runtime: Runtime, num_images: int, num_conflict: int, seed: int
) -> dict[str, float]:
    """The measurements of one finished network on images that neither training nor selection has met."""
    found = {}
    for kind in ("original", "mean_pooled"):
        given = images.images(task, "test", kind, num_images, folder=runtime.images)
        placed = Images(pixels=given.pixels.to(runtime.device), labels=given.labels.to(runtime.device))
        found[f"accuracy_{kind}"] = answers(network, placed, task).accuracy
    conflict = images.conflict_images(task, num_conflict, folder=runtime.images)
    decided = decisions(network, conflict.pixels.to(runtime.device), task).cpu().numpy()
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
