"""The columns of a planned run on images that its spec alone decides."""

from typing import Any, assert_never

from subind.specs.images import NUM_CLASSES
from subind.specs.runs import (
    DataMixture,
    ImageDonor,
    ImageMask,
    ImageNet16Task,
    ImageSpec,
    ImageTask,
    ImageTransfer,
    ShapesTask,
    architecture_of_images,
    image_task,
)


def image_columns(spec: ImageSpec) -> dict[str, Any]:
    """Model, task and training images; of a recipient also what it holds."""
    found = _task_columns(image_task(spec)) | {"num_training_images": spec.num_training_samples}
    found["chance_accuracy"] = 1 / NUM_CLASSES
    model = architecture_of_images(spec)
    found["model"] = model.name if model.num_classes == NUM_CLASSES else f"{model.name}_{model.num_classes}"
    match spec:
        case ImageDonor() | ImageMask():
            return found
        case ImageTransfer():
            found |= {"held": spec.held, "evaluations_per_epoch": spec.evaluations_per_epoch}
            if isinstance(spec.control, DataMixture):
                found["mixture_share"] = spec.control.mean_pooled_share
            return found
        case _:
            assert_never(spec)


def _task_columns(task: ImageTask) -> dict[str, Any]:
    match task:
        case ShapesTask():
            return {
                "image_size": task.image_size,
                "shape_predictivity": task.shape_predictivity,
                "texture_predictivity": task.texture_predictivity,
                "shape_contrast": task.shape_contrast,
                "texture_contrast": task.texture_contrast,
            }
        case ImageNet16Task():
            return {"image_size": task.image_size}
        case _:
            assert_never(task)
