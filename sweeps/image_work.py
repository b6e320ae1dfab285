"""What runs on images ask of a worker and of its memory: products, activations, parameters, pictures.

A step runs forward once and backward twice; an evaluation runs forward. Of a network the layers are counted that
multiply: convolutions, projections, attention, and the head.
"""

import math
from collections.abc import Iterator
from typing import assert_never

from subind.specs import runs as specs
from subind.specs.runs import (
    DataMixture,
    ImageDonor,
    ImageMask,
    ImageModel,
    ImageNet16Task,
    ImageSpec,
    ImageTransfer,
    ResNet,
    ShapesTask,
    ViT,
)
from sweeps.work import ROWS_OF_AN_EVALUATION, Work

FLOAT = 4

BYTES_OF_AN_ACTIVATION = {"ResNet": (12, 8), "ViT": (8, 6)}
"""For each number that a layer puts out, in float32 and in bfloat16: what a step keeps of it, and gradients under way.

Counted by hooks on what is saved for the gradient, at 224 pixels: ResNet-18 8.9 and 4.8, ViT-B/16 4.7 and 3.7."""

MASKED_MATRICES = 3
"""Copies of the parameters under a mask: the logits' soft masks, the masked weights, and what is frozen."""


def image_work(spec: ImageSpec) -> Work:
    """What the run asks of a worker, if it is not stopped early."""
    size, epochs = specs.image_task(spec).image_size, max(1, spec.num_epochs)
    layers = list(_layers(specs.architecture_of_images(spec), size))
    evaluated = _evaluated(spec)
    rows = epochs * spec.num_training_samples + evaluated / 3
    steps = epochs * specs.steps_per_epoch(spec) + math.ceil(evaluated / ROWS_OF_AN_EVALUATION) / 3
    return Work(
        passes=steps * len(layers),
        operations=6 * rows * sum(products for products, _ in layers),
        elements=rows * sum(activations for _, activations in layers),
    )


def _evaluated(spec: ImageSpec) -> int:
    """Images that a whole run is evaluated on: by epochs, original and mean-pooled, and in the end."""
    epochs, number = max(1, spec.num_epochs), spec.num_evaluation_samples
    match spec:
        case ImageMask():
            return (epochs + 1) * number
        case ImageDonor():
            return 2 * (epochs + 1) * number + spec.num_cue_conflict
        case ImageTransfer():
            return 2 * (epochs * spec.evaluations_per_epoch + 1) * number + spec.num_cue_conflict
        case _:
            assert_never(spec)


def num_image_parameters(model: ImageModel) -> int:
    """The parameters of one network."""
    match model:
        case ResNet():
            convolutions = sum(into * out * size**2 + 2 * out for into, out, size, _ in _convolutions(model, 32))
            return convolutions + (model.widths[-1] + 1) * model.num_classes
        case ViT():
            layer = 4 * model.d_model**2 + 2 * model.d_model * model.d_mlp + 9 * model.d_model + model.d_mlp
            patches = (3 * model.patch_size**2 + model.num_positions + 4) * model.d_model
            return model.num_layers * layer + patches + (model.d_model + 1) * model.num_classes
        case _:
            assert_never(model)


def image_bytes_by_field(spec: ImageSpec) -> dict[str, int]:
    """The memory of one replica at its peak, by the field that it grows with: state, a step's activations, pictures."""
    model, size = specs.architecture_of_images(spec), specs.image_task(spec).image_size
    whole = num_image_parameters(model)
    state = (6 + MASKED_MATRICES) * whole
    activations = sum(each for _, each in _layers(model, size))
    bytes_of_one = BYTES_OF_AN_ACTIVATION[type(model).__name__][spec.precision.startswith("bfloat16")]
    rows = min(spec.batch_size, spec.num_training_samples)
    step = bytes_of_one * activations * max(rows, ROWS_OF_AN_EVALUATION // 4)
    is_trained = spec.num_training_samples >= spec.num_evaluation_samples
    pictures = "num_samples" if is_trained else "num_evaluation_samples"
    return {"model": FLOAT * state, "batch_size": step, pictures: 3 * size**2 * _num_pictures(spec)}


def _num_pictures(spec: ImageSpec) -> int:
    """Images on the device at once: of photographs a step's and an evaluation's, for the others stay on disk."""
    evaluated = 2 * spec.num_evaluation_samples
    match specs.image_task(spec):
        case ShapesTask():
            conflicts = 0 if isinstance(spec, ImageMask) else spec.num_cue_conflict
            return spec.num_training_samples + evaluated + conflicts + _num_mean_pooled(spec)
        case ImageNet16Task():
            conflicts = 0 if isinstance(spec, ImageMask) else spec.num_cue_conflict
            return spec.batch_size + evaluated + spec.num_evaluation_samples + conflicts
        case task:
            assert_never(task)


def _num_mean_pooled(spec: ImageSpec) -> int:
    """Distinct mean-pooled images that a mixture trains on, which are drawn for themselves."""
    match spec:
        case ImageTransfer(control=DataMixture(num_mean_pooled=number)):
            return number
        case _:
            return 0


def _layers(model: ImageModel, image_size: int) -> Iterator[tuple[int, int]]:
    """Of each layer that multiplies: the products of one image, and the numbers that come out."""
    match model:
        case ResNet():
            for into, out, size, side in _convolutions(model, image_size):
                yield into * out * size**2 * side**2, out * side**2
            yield model.widths[-1] * model.num_classes, model.num_classes
        case ViT():
            tokens, width = model.num_positions, model.d_model
            yield 3 * model.patch_size**2 * width * tokens, width * tokens
            for _ in range(model.num_layers):
                yield 4 * width**2 * tokens + 2 * width * tokens**2, 5 * width * tokens + model.num_heads * tokens**2
                yield 2 * width * model.d_mlp * tokens, (2 * model.d_mlp + width) * tokens
            yield width * model.num_classes, model.num_classes
        case _:
            assert_never(model)


def _convolutions(model: ResNet, image_size: int) -> Iterator[tuple[int, int, int, int]]:
    """Channels in and out, side of the kernel, and side of the picture that comes out, of every convolution."""
    side = image_size if model.stem == "small" else math.ceil(image_size / 2)
    yield 3, model.widths[0], 3 if model.stem == "small" else 7, side
    side = side if model.stem == "small" else math.ceil(side / 2)
    into = model.widths[0]
    for stage, (width, count) in enumerate(zip(model.widths, model.num_blocks, strict=True)):
        for block in range(count):
            halves = stage > 0 and block == 0
            side = math.ceil(side / 2) if halves else side
            yield into, width, 3, side
            yield width, width, 3, side
            if halves or into != width:
                yield into, width, 1, side
            into = width
