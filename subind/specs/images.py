"""The specs of runs on images: a donor that classifies originals, and a mask for what it does on mean-pooled images.

Original images and mean-pooled ones are of one task; the recipients' spec stands in `image_transfer_spec`.
"""

from dataclasses import dataclass, field
from typing import Literal

from subind.specs.arithmetic import FreshWeights, ImportedWeights, check_discovery, check_size
from subind.specs.base import Identified, at_most, not_negative, positive, require
from subind.specs.optimizers import SGD, AdamW, ImagePrecision, KeptEpoch
from subind.specs.quoting import quoted
from subind.specs.temperature import TemperatureSchedule
from subind.specs.vision import MOST_IMAGES, ImageNet16Task, PublishedWeights, ResNet, ShapesTask, ViT

ImageTask = ShapesTask | ImageNet16Task
"""What images there are; another kind is added here, in `tasks/images.py` and in `sweeps/image_cells.py`."""
ImageModel = ResNet | ViT

NUM_CLASSES = 16
NUM_OF_IMAGENET = 1000

Augmentation = Literal["none", "crop_and_flip"]
"""Of training images: as they are, or a random crop, every second one mirrored. A photograph as it is is its middle.
Drawn images have no margin to cut off: they are moved by up to an eighth of their side, and the edge is repeated."""

ClassWeights = Literal["equal", "inverse_frequency"]
"""Of the classes in the cross-entropy: one each, or inversely as often as the class is in the training set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDonor(Identified):
    """A network trained on original images; the epoch of the lowest validation loss is kept, as a Donor's is.

    `trained` says what of the network trains: everything, or a fresh head alone on a base that is frozen, its
    BatchNorm statistics included. Imported weights are a state dict of torchvision's model of that architecture; for
    "head" theirs may have another number of classes. With num_epochs = 0 and everything as imported, the model may have
    ImageNet's 1,000 classes: photographs are decided by the mean probability of those that make up each of the 16.
    """

    task: ImageTask
    model: ImageModel
    num_samples: int
    num_evaluation_samples: int
    num_cue_conflict: int
    augmentation: Augmentation
    class_weights: ClassWeights
    optimizer: AdamW | SGD
    batch_size: int
    num_epochs: int
    kept_epoch: KeptEpoch = field(metadata={"neutral": "first_best"})
    patience: int
    seed: int
    precision: ImagePrecision
    trained: Literal["everything", "head"]
    weights: FreshWeights | ImportedWeights | PublishedWeights

    def _check(self) -> None:
        positive(self, "num_samples", "num_evaluation_samples", "num_cue_conflict", "batch_size", "patience")
        not_negative(self, "num_epochs", "seed")
        check_size(self)
        at_most(self, MOST_IMAGES, "num_samples", "num_evaluation_samples", "num_cue_conflict")
        check_model(self, self.model, self.task, self.precision, is_as_published=self._is_as_published())

    def _is_as_published(self) -> bool:
        """Whether it is a classifier of ImageNet's 1,000 classes that is not trained further, only evaluated."""
        is_theirs = not isinstance(self.weights, FreshWeights) and isinstance(self.task, ImageNet16Task)
        return is_theirs and self.num_epochs == 0 and self.trained == "everything"

    @property
    def num_training_samples(self) -> int:
        """Rows of one epoch."""
        return self.num_samples


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMask(Identified):
    """A binary mask over the frozen donor, discovered on the mean-pooled images of `subtask`, as a Mask is.

    Loss = cross-entropy + penalty · Σσ(τ·s); the logits of the epoch of the best hard-mask accuracy on mean-pooled
    validation images are kept, `kept_epoch` says of which where several are best. `beside` says what else trains:
    nothing, or a ViT's class token and position embeddings. `statistics` says by what BatchNorm normalises: the donor's
    running statistics, or those of each batch, of which running statistics are kept for the hard mask. Recipients start
    from what is trained or kept so.
    """

    donor: ImageDonor
    subtask: ImageTask
    num_samples: int
    num_evaluation_samples: int
    initial_logit: float
    penalty: float
    temperature: TemperatureSchedule
    beside: Literal["nothing", "class_token_and_positions"]
    statistics: Literal["donor", "batch"]
    optimizer: AdamW | SGD
    batch_size: int
    num_epochs: int
    kept_epoch: KeptEpoch = field(metadata={"neutral": "last_best"})
    seed: int
    precision: ImagePrecision

    def _check(self) -> None:
        positive(self, "num_samples", "num_evaluation_samples", "batch_size", "num_epochs")
        not_negative(self, "penalty", "seed")
        check_size(self)
        at_most(self, MOST_IMAGES, "num_samples", "num_evaluation_samples")
        check_discovery(self)
        check_model(self, self.donor.model, self.subtask, self.precision)
        remedy = "a ResNet has no class token; give 'nothing'"
        require(self.beside == "nothing" or isinstance(self.donor.model, ViT), self, "beside", remedy)
        remedy = "a ViT has no BatchNorm; give 'donor'"
        require(self.statistics == "donor" or isinstance(self.donor.model, ResNet), self, "statistics", remedy)

    @property
    def num_training_samples(self) -> int:
        """Rows of one epoch."""
        return self.num_samples


def check_model(
    made: object, model: ImageModel, task: ImageTask, precision: ImagePrecision, *, is_as_published: bool = False
) -> None:
    """Raise ValueError unless the model takes the task's images, has a head for its classes and can be so precise.

    One that is as it was published may have ImageNet's 1,000 classes.
    """
    name = type(made).__name__
    if isinstance(model, ViT) and precision.endswith("channels_last"):
        plain = precision.removesuffix("_channels_last")
        raise ValueError(
            f"{name}.precision is {quoted(precision)}: a ViT has no pictures within it; give {quoted(plain)}"
        )
    if model.num_classes != NUM_CLASSES and not (is_as_published and model.num_classes == NUM_OF_IMAGENET):
        raise ValueError(
            f"{name}: model.num_classes is {model.num_classes}: give {NUM_CLASSES}; a head is trained anew on imported "
            "weights with trained='head'"
        )
    if isinstance(model, ViT) and model.image_size != task.image_size:
        raise ValueError(
            f"{name}: model.image_size is {model.image_size}: give that of the task's images, {task.image_size}"
        )
