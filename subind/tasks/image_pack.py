"""The tasks of a pack on images: batches, the loss, and accuracy on original, mean-pooled and cue-conflict images."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from subind.specs.images import NUM_CLASSES
from subind.specs.rows import AnyPart, RepeatedPart
from subind.tasks.cue_conflict import cue_measurements
from subind.tasks.images import (
    ImageBehaviour,
    Images,
    Kind,
    TrainingImages,
    Use,
    class_weights,
    joined,
    moved_and_mirrored,
    no_images,
    repeated,
)
from subind.tasks.photographs.feed import Feed, Source
from subind.tasks.photographs.imagenet16 import logits_of_classes
from subind.tasks.photographs.stored_images import StoredImages
from subind.tasks.task import ROWS_AT_ONCE, Ask, Decisions, PackOrder, Rows
from subind.training.draws import Draws
from subind.training.tensors import Inputs, Parameters

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Of one network on some images: the mean cross-entropy, and the share of right answers."""

    loss: float
    accuracy: float


class ImagesPack:
    """Drawn images are all on the device, each set once; photographs come from a feed.

    Drawn images are moved and mirrored by draws of each step, photographs cut by those of each epoch.
    """

    def __init__(self, tasks: Sequence[ImageBehaviour], order: PackOrder) -> None:
        assert order.judged == "validation", "Task.check_tuning refuses a task without rows for tuning"
        self._tasks, self._runs = list(tasks), list(order.runs)
        self._num_evaluation_samples = order.num_evaluation_samples
        self._device, self._folder = order.device, order.images
        self._made: dict[object, Any] = {}
        self._is_pooled = tasks[0].spec.pooled
        self._normalised = tasks[0].normalised
        train = [self._training(task, tuple(parts)) for task, parts in zip(tasks, order.parts, strict=True)]
        self.num_rows = len(train[0].labels)
        weights = [
            class_weights(task.spec.class_weights, of.labels.cpu()) for task, of in zip(tasks, train, strict=True)
        ]
        self.constants: Parameters = {"class_weights": torch.stack(weights).to(order.device)}
        purpose = "augmentation" if order.purpose == "rows" else "second_augmentation"
        stream = f"{self._runs[0].stage}/{purpose}" if tasks[0].spec.augmentation == "crop_and_flip" else None
        self._images = [each for each in train if isinstance(each, Images)]
        self._sources = [
            Source(images=each, seed=run.seed, stream=stream)
            for each, run in zip(train, self._runs, strict=True)
            if isinstance(each, StoredImages)
        ]
        self._feed = Feed(order.device) if self._sources else None
        moves = stream is not None and self._feed is None
        self._draws = Draws(stream, [run.seed for run in self._runs], order.device) if stream and moves else None

    def _once(self, key: object, make: Callable[[], Made]) -> Made:
        """What was made for a key, so that replicas of the same task share it."""
        if key not in self._made:
            self._made[key] = make()
        made: Made = self._made[key]
        return made

    def _training(self, task: ImageBehaviour, parts: tuple[AnyPart, ...]) -> TrainingImages:
        def make() -> TrainingImages:
            if not parts:
                return no_images()
            made = joined([self._part(task, part) for part in parts if part.num_samples])
            return made.on(self._device) if isinstance(made, Images) else made

        return self._once((task.spec, parts), make)

    def _part(self, task: ImageBehaviour, part: AnyPart) -> TrainingImages:
        kind: Kind = "original" if part.name == "original" else "mean_pooled"
        distinct = task.training_images(kind, part.num_distinct, folder=self._folder)
        return repeated(distinct, part.num_samples) if isinstance(part, RepeatedPart) else distinct

    # ---- training

    def expect(self, epoch: int, batches: Iterable[Int[Tensor, "replica _"]]) -> None:
        """Have photographs cut ahead of the steps."""
        if self._feed is not None:
            self._feed.expect(self._sources, epoch, batches)

    def at(self, step: int) -> None:
        if self._draws is not None:
            self._draws.at(step)

    def load(self, rows: Int[Tensor, "replica batch"]) -> None:
        """Bring the photographs of a step to the device."""
        if self._feed is not None:
            self._feed.load(rows)

    def batch(self, rows: Int[Tensor, "replica batch"]) -> tuple[Inputs, Rows]:
        pixels, labels = self._drawn(rows) if self._feed is None else self._feed.batch(rows)
        return self._normalised(pixels), {"labels": labels}

    def _drawn(
        self, rows: Int[Tensor, "replica batch"]
    ) -> tuple[UInt8[Tensor, "replica batch 3 row column"], Int[Tensor, "replica batch"]]:
        pixels = [each.pixels[own] for each, own in zip(self._images, rows, strict=True)]
        labels = [each.labels[own] for each, own in zip(self._images, rows, strict=True)]
        if self._draws is not None:
            uniform = self._draws.uniform(3 * rows.shape[1]).unflatten(1, (3, -1))
            pixels = [moved_and_mirrored(each, own) for each, own in zip(pixels, uniform, strict=True)]
        return torch.stack(pixels), torch.stack(labels)

    def losses(self, outputs: Tensor, rows: Rows) -> Float[Tensor, " replica"]:
        """The cross-entropy, weighted by class."""
        # one after another, for a sum of one row need not be that of the row among others, bit for bit
        each = zip(outputs, rows["labels"], self.constants["class_weights"], strict=True)
        return torch.stack([F.cross_entropy(own, classes, weight=weights) for own, classes, weights in each])

    def select(self, index: Sequence[int]) -> None:
        self._tasks = [self._tasks[place] for place in index]
        self._runs = [self._runs[place] for place in index]
        self._images = [self._images[place] for place in index if self._images]
        self._sources = [self._sources[place] for place in index if self._sources]
        if self._draws is not None:
            self._draws.select(index)

    # ---- evaluation

    @torch.no_grad()
    def evaluate(self, ask: Ask) -> list[dict[str, float]]:
        pooled = self._judged(ask, "mean_pooled")
        if self._is_pooled:
            return [{"validation_loss": each.loss, "validation_accuracy": each.accuracy} for each in pooled]
        return [
            {
                "validation_loss": first.loss,
                "accuracy_original": first.accuracy,
                "accuracy_mean_pooled": second.accuracy,
            }
            for first, second in zip(self._judged(ask, "original"), pooled, strict=True)
        ]

    @torch.no_grad()
    def final(self, ask: Ask, index: int) -> dict[str, float]:
        """Accuracy on test images; unless the task is that of mean-pooled images, on both kinds, and cue conflict."""
        task, seed = self._tasks[index], self._runs[index].seed
        pooled = self._tested(ask, task, "mean_pooled")
        if self._is_pooled:
            return {"subtask_accuracy": pooled}
        number = task.spec.num_cue_conflict
        conflict = self._once(
            (task.spec, "conflict"), lambda: task.conflict_images(number, folder=self._folder).on(self._device)
        )
        decided = self._scores(ask, [conflict.pixels])[0].argmax(1).cpu().numpy()
        return {
            "accuracy_original": self._tested(ask, task, "original"),
            "accuracy_mean_pooled": pooled,
            **cue_measurements(conflict.shapes, conflict.textures, decided, names=task.class_names, seed=seed),
        }

    @torch.no_grad()
    def test(self, ask: Ask, index: int) -> dict[str, float]:
        """Loss and accuracy on the test images that the task is judged on: mean-pooled ones, or as they are."""
        kind: Kind = "mean_pooled" if self._is_pooled else "original"
        tested = self._set(self._tasks[index], "test", kind)
        judged = judgement(self._scores(ask, [tested.pixels])[0], tested.labels)
        return {"test_loss": judged.loss, "test_accuracy": judged.accuracy}

    @torch.no_grad()
    def decisions(self, ask: Ask, index: int) -> Decisions:
        """Of the same images."""
        task = self._tasks[index]
        tested = self._set(task, "test", "mean_pooled" if self._is_pooled else "original")
        predicted = self._scores(ask, [tested.pixels])[0].argmax(1)
        return Decisions(predicted=predicted.cpu(), expected=tested.labels.cpu(), names=task.class_names)

    def _judged(self, ask: Ask, kind: Kind) -> list[Judgement]:
        """How each replica does on the validation images of its task."""
        sets = [self._set(task, "validation", kind) for task in self._tasks]
        scores = self._scores(ask, [each.pixels for each in sets])
        return [judgement(own, each.labels) for own, each in zip(scores, sets, strict=True)]

    def _tested(self, ask: Ask, task: ImageBehaviour, kind: Kind) -> float:
        tested = self._set(task, "test", kind)
        return judgement(self._scores(ask, [tested.pixels])[0], tested.labels).accuracy

    def _set(self, task: ImageBehaviour, use: Use, kind: Kind) -> Images:
        number, folder = self._num_evaluation_samples, self._folder
        return self._once(
            (task.spec, use, kind), lambda: task.images(use, kind, number, folder=folder).on(self._device)
        )

    def _scores(
        self, ask: Ask, several: Sequence[UInt8[Tensor, "image 3 row column"]]
    ) -> list[Float[Tensor, "image 16"]]:
        """What each network gives its own images."""
        parts = []
        for first in range(0, len(several[0]), ROWS_AT_ONCE):
            pixels = torch.stack([each[first : first + ROWS_AT_ONCE] for each in several])
            parts.append(ask(self._normalised(pixels)))
        return [of_sixteen(own) for own in torch.cat(parts, dim=1)]


def judgement(scores: Float[Tensor, "image class"], labels: Int[Tensor, " image"]) -> Judgement:
    """How one network does on images of these classes."""
    right = int((scores.argmax(1) == labels).sum())
    return Judgement(loss=float(F.cross_entropy(scores, labels)), accuracy=right / len(labels))


def of_sixteen(scores: Float[Tensor, "image class"]) -> Float[Tensor, "image 16"]:
    """Of 1,000 classes the logarithm of the mean probability of those that make up each of the 16, but for a constant.

    So decisions are those of `cue_conflict.sixteen_way`, and the cross-entropy is of the 16 means over their sum.
    """
    if scores.shape[1] == NUM_CLASSES:
        return scores
    several = [list(members) for members in logits_of_classes()]
    return torch.stack([scores[:, members].logsumexp(1) - log(len(members)) for members in several], dim=1)
