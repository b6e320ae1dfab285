"""The spec of a recipient that is trained on images."""

from dataclasses import dataclass
from typing import Literal

from subind.specs.arithmetic import check_size
from subind.specs.base import Identified, at_most, not_negative, positive, require
from subind.specs.controls import (
    DataMixture,
    ImageControl,
    NewHead,
    RandomInit,
    control_name,
    control_parent,
)
from subind.specs.images import (
    Augmentation,
    ClassWeights,
    ImageDonor,
    ImageMask,
    ImageModel,
    ImageTask,
    check_model,
)
from subind.specs.optimizers import SGD, AdamW, ImagePrecision
from subind.specs.vision import MOST_IMAGES, ResNet, ViT

Held = Literal["all_but_head", "norms_and_head", "norms", "nothing"]
"""What a recipient holds at the donor's values besides the weights that its control freezes.

A NewHead holds all but its head. Others hold BatchNorm or LayerNorm with the running statistics, and the head too, or
nothing; their other biases and a ViT's class token and positions train.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTransfer(Identified):
    """A recipient trained on original images of a task (a DataMixture also on mean-pooled ones); its last epoch counts.

    Fresh weights under the mask are U(±1/√fan_in). It is evaluated `evaluations_per_epoch` times an epoch on
    validation images, original and mean-pooled, in the end on test images and on `num_cue_conflict` of two cues.
    """

    control: ImageControl
    task: ImageTask
    num_samples: int
    num_evaluation_samples: int
    num_cue_conflict: int
    evaluations_per_epoch: int
    augmentation: Augmentation
    class_weights: ClassWeights
    held: Held
    optimizer: AdamW | SGD
    batch_size: int
    num_epochs: int
    seed: int
    precision: ImagePrecision

    def _check(self) -> None:
        positive(self, "num_samples", "num_evaluation_samples", "num_cue_conflict", "batch_size", "num_epochs")
        not_negative(self, "seed")
        positive(self, "evaluations_per_epoch", "num_training_samples")
        check_size(self)
        at_most(self, MOST_IMAGES, "num_samples", "num_evaluation_samples", "num_cue_conflict")
        self._check_parent()
        check_model(self, image_model(self.control), self.task, self.precision)
        self._check_held()
        steps = -(-self.num_training_samples // self.batch_size)
        remedy = f"an epoch has {steps} steps; give at most as many"
        require(self.evaluations_per_epoch <= steps, self, "evaluations_per_epoch", remedy)

    def _check_parent(self) -> None:
        parent = control_parent(self.control)
        if parent is not None and not isinstance(parent, ImageDonor | ImageMask):
            found = f"ImageTransfer.control is {control_name(self.control)} of a {type(parent).__name__}"
            raise ValueError(f"{found}: give one of an ImageDonor or an ImageMask")
        if isinstance(self.control, RandomInit) and not isinstance(self.control.model, ResNet | ViT):
            found = f"ImageTransfer.control is random_init of a {type(self.control.model).__name__}"
            raise ValueError(f"{found}: give one of a ResNet or a ViT")

    def _check_held(self) -> None:
        match self.control:
            case RandomInit():
                remedy = "a network that inherits nothing has nothing to hold; give 'nothing'"
                require(self.held == "nothing", self, "held", remedy)
            case NewHead():
                remedy = "a new head trains on a frozen base; give 'all_but_head'"
                require(self.held == "all_but_head", self, "held", remedy)
            case _:
                remedy = "only a new_head trains its head alone; give 'norms_and_head', 'norms' or 'nothing'"
                require(self.held != "all_but_head", self, "held", remedy)
        if isinstance(image_model(self.control), ViT):
            remedy = "the mask covers a ViT's head; give 'norms' or 'nothing'"
            require(self.held != "norms_and_head", self, "held", remedy)

    @property
    def num_original(self) -> int:
        """Original images in an epoch."""
        return self._rows()[0]

    @property
    def num_pooled(self) -> int:
        """Mean-pooled images in an epoch, repetitions included."""
        return self._rows()[1]

    @property
    def num_training_samples(self) -> int:
        """Rows of one epoch."""
        return sum(self._rows())

    def _rows(self) -> tuple[int, int]:
        control = self.control
        return control.num_rows(self.num_samples) if isinstance(control, DataMixture) else (self.num_samples, 0)


def image_model(control: ImageControl) -> ImageModel:
    """The architecture of the recipient. The control's parent is one of images."""
    if isinstance(control, RandomInit):
        assert isinstance(control.model, ResNet | ViT)
        return control.model
    parent = control_parent(control)
    assert isinstance(parent, ImageDonor | ImageMask)
    return parent.model if isinstance(parent, ImageDonor) else parent.donor.model
