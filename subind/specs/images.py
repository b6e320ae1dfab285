"""Images of 16 classes, drawn or photographs, as they are and mean-pooled."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, ClassVar, Literal

from subind.specs.base import LARGEST_COUNT, NEUTRAL, at_most, positive, require
from subind.specs.networks import LONGEST_SIDE
from subind.specs.quoting import quoted
from subind.specs.rows import AnyPart
from subind.specs.tasks import Images, Signature, Task

MOST_IMAGES = 2**30
"""Of one use, such as training or validation: the generator distinguishes this many drawn images."""

NUM_CLASSES = 16
NUM_OF_IMAGENET = 1000

PARTS = ("original", "mean_pooled")
"""The parts of the data: images as they are, and mean-pooled over their segments."""

Augmentation = Literal["none", "crop_and_flip"]
"""Of training images: as they are, or a random crop, every second one mirrored. A photograph as it is is its middle.
Drawn images have no margin to cut off: they are moved by up to an eighth of their side, and the edge is repeated."""

ClassWeights = Literal["equal", "inverse_frequency"]
"""Of the classes in the cross-entropy: one each, or inversely as often as the class is in the training set."""


class ImageTask(Task):
    """A base of tasks on images of 16 classes.

    `pooled` says that the task is that of the mean-pooled images: epochs and tests are judged on these. A network is
    also asked about `num_cue_conflict` images whose shape is of one class and texture of another.
    """

    __slots__ = ()

    image_size: int
    pooled: bool
    augmentation: Augmentation
    class_weights: ClassWeights
    num_cue_conflict: int

    def signature(self) -> Signature:
        return Signature(inputs=Images(image_size=self.image_size, num_channels=3), num_outputs=NUM_CLASSES)

    def check_parts(self, parts: tuple[AnyPart, ...]) -> None:
        for part in parts:
            if part.name not in PARTS:
                raise ValueError(f"rows has the part {quoted(part.name)}: images have {', '.join(PARTS)}")
            if max(part.num_samples, part.num_distinct) > MOST_IMAGES:
                most = max(part.num_samples, part.num_distinct)
                raise ValueError(f"rows has {most} images: give at most {MOST_IMAGES:,}")

    def check_evaluation(self, num_samples: int) -> None:
        if num_samples > MOST_IMAGES:
            raise ValueError(f"num_evaluation_samples is {num_samples}: give at most {MOST_IMAGES:,}")

    def part_columns(self, parts: tuple[AnyPart, ...]) -> Mapping[str, Any]:
        total, pooled = (sum(each.num_samples for each in parts if each.name in names) for names in (PARTS, PARTS[1:]))
        found = {"num_training_images": total}
        return found if self.pooled else found | {"mixture_share": pooled / total}

    def evaluated_rows(self, run: Any) -> tuple[int, int]:
        """Networks are asked about original and mean-pooled images, and in the end about those of two cues."""
        number = run.num_evaluation_samples
        return (number, number) if self.pooled else (2 * number, 2 * number + self.num_cue_conflict)

    def bytes_of_rows(self, run: Any) -> int:
        """Images are bytes, three for a pixel."""
        return 3 * self.image_size**2 * (self._num_on_device(run) + sum(self.evaluated_rows(run)))

    def _num_on_device(self, run: Any) -> int:
        """Training images that are on the device at once."""
        raise NotImplementedError

    def chance_accuracy(self) -> float | None:
        return 1 / NUM_CLASSES

    def pack_shape(self) -> tuple[object, ...]:
        fixed = (self.pooled, self.augmentation, self.num_cue_conflict)
        return type(self), self.image_size, *fixed


def _check_images(task: ImageTask) -> None:
    positive(task, "num_cue_conflict")
    at_most(task, MOST_IMAGES, "num_cue_conflict")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapesTask(ImageTask):
    """Images of one of 16 shapes filled with one of 16 textures; the label is one of 16 classes.

    The shape is that of the label with the probability `shape_predictivity`, else one of the other 15; the texture
    likewise, independently. `shape_contrast` is the distance between the mean colours of object and background,
    `texture_contrast` that between the darkest and the brightest of the texture; each in 0 … 1, where 1 is the distance
    of black and white. The texture's mean over the visible object is the object's colour, whatever the texture; where
    that colour is too dark or too bright for the whole contrast, the contrast is lower. The images of an index and a
    `data_seed` never change.
    """

    behaviour: ClassVar[str] = "subind.tasks.images:DrawnImages"

    image_size: int
    shape_predictivity: float
    texture_predictivity: float
    shape_contrast: float
    texture_contrast: float
    data_seed: int
    pooled: bool
    augmentation: Augmentation
    class_weights: ClassWeights
    num_cue_conflict: int

    def _check(self) -> None:
        positive(self, "image_size")
        require(16 <= self.image_size <= 512, self, "image_size", "give 16 to 512 pixels")
        for name in ("shape_predictivity", "texture_predictivity"):
            require(1 / 16 <= getattr(self, name) <= 1, self, name, "give a probability from 1/16 (chance) to 1")
        for name in ("shape_contrast", "texture_contrast"):
            require(0 <= getattr(self, name) <= 1, self, name, "give 0 to 1")
        require(0 <= self.data_seed < 2**31, self, "data_seed", "give 0 to 2**31 - 1")
        _check_images(self)

    def columns(self) -> Mapping[str, Any]:
        names = ("image_size", "shape_predictivity", "texture_predictivity", "shape_contrast", "texture_contrast")
        return {name: getattr(self, name) for name in names}

    def _num_on_device(self, run: Any) -> int:
        distinct = sum(min(part.num_distinct, part.num_samples) for part in run.rows)
        return int(distinct)

    def sheet_title(self) -> str:
        return (
            f"{self.image_size}×{self.image_size} pixels; predictivity of shape {self.shape_predictivity:g}, of "
            f"texture {self.texture_predictivity:g}; contrast of shape {self.shape_contrast:g}, of texture "
            f"{self.texture_contrast:g}"
        )

    def label(self) -> str:
        return "mean_pooled" if self.pooled else "drawn shapes"


FINGERPRINTS = ("photographs", "mean_pooled", "cue_conflict")
"""The fields of a task on photographs that say which images these are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNet16Task(ImageTask):
    """Photographs of the 16 classes that Geirhos et al. (2018) made of 207 of ImageNet-1k's, and the same mean-pooled.

    The balanced subset has at most `num_per_class` photographs of a class, and `evaluation_share` of each class of it
    is for evaluation alone. Training images are the rest of the subset ("balanced"), or of all photographs
    ("transfer"). `num_images` is how many the tree has in the 16 classes: 213,555 if it is whole.

    A photograph's shorter side is brought to `shorter_side` pixels; of that a square of `image_size` is cut, at random
    in training and from the middle in evaluation. `segmenter` is how photographs are cut into segments, with the
    settings that `subind data mean-pool` has by default; "sam" has the paper's.

    `photographs`, `mean_pooled` and `cue_conflict` say which images these are: the fingerprints of the three parts of
    the folder that `--images` names, of 16 hexadecimal digits each. `subind run` fills them in. They are empty in a
    task that a grid has written and no folder has been given for; such a task takes the images of any folder.
    """

    behaviour: ClassVar[str] = "subind.tasks.images:PhotographImages"

    part: Literal["balanced", "transfer"]
    num_images: int
    num_per_class: int
    evaluation_share: float
    segmenter: Literal["sam", "slic", "felzenszwalb"]
    shorter_side: int
    image_size: int
    data_seed: int
    pooled: bool
    augmentation: Augmentation
    class_weights: ClassWeights
    num_cue_conflict: int
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
        for name in FINGERPRINTS:
            remedy = "give the 16 hexadecimal digits of a fingerprint, or leave out all three for --images to fill in"
            is_right = re.fullmatch("[0-9a-f]{16}" if is_said else "", getattr(self, name)) is not None
            require(is_right, self, name, remedy)
        require(0 <= self.data_seed < 2**31, self, "data_seed", "give 0 to 2**31 - 1")
        _check_images(self)

    def signature(self) -> Signature:
        return replace(ImageTask.signature(self), other_outputs=(NUM_OF_IMAGENET,))

    def columns(self) -> Mapping[str, Any]:
        return {"image_size": self.image_size}

    def _num_on_device(self, run: Any) -> int:
        """Those of a step: the others stay on disk."""
        return int(run.batch_size)

    def needs_images(self) -> bool:
        return True

    def lacks_fingerprints(self) -> bool:
        return not self.photographs

    def with_fingerprints(self, parts: Mapping[str, str]) -> "ImageNet16Task":
        if self.photographs:
            return self
        known: dict[str, Any] = {name: parts[name] for name in FINGERPRINTS}
        return replace(self, **known)

    def files_needed(self, run: Any) -> tuple[tuple[str, int], ...]:
        """Sets are "evaluation", "cue conflict", "train original" and "train mean_pooled"."""
        trained = [(f"train {part.name}", part.num_distinct) for part in run.rows if part.num_samples]
        conflicts = [] if self.pooled else [("cue conflict", self.num_cue_conflict)]
        return (("evaluation", run.num_evaluation_samples), *conflicts, *trained)

    def check_files(self, needed: Iterable[tuple[str, int]], folder: str) -> None:
        photographs = import_module("subind.tasks.photographs.folder")
        photographs.check_folder(folder)
        photographs.check_pixels(self, folder)
        for part, number in needed:
            match part:
                case "evaluation":
                    photographs.evaluation_places(self, "test", "original", number, folder=folder)
                case "cue conflict":
                    photographs.check_conflict(self, number, folder)
                case _:
                    photographs.training_places(self, part.removeprefix("train "), number, folder=folder)

    def sheet_title(self) -> str:
        return f"16-class ImageNet; {self.image_size}×{self.image_size} pixels; segments by {self.segmenter}"

    def label(self) -> str:
        return "mean_pooled" if self.pooled else "photographs"
