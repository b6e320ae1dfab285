"""The columns that rows of runs on images have beside those of all runs. A row that has a `model` is one of them."""

import pyarrow as pa

_RATES = ("shape_rate", "texture_rate", "other_rate")
_BIASES = ("shape_bias", "shape_bias_class_mean", "shape_bias_low", "shape_bias_high")
_ACCURACIES = ("accuracy_original", "accuracy_mean_pooled")

MEASURED_VISION_COLUMNS = (*_ACCURACIES, *_BIASES, *_RATES, "num_cue_conflict")
"""Columns that a row takes from the measurements of its record by the same name."""

CUES = ("cue_shape", "cue_texture", "cue_other")
"""Decisions by shape class: maps of the measurements `cue_shape.CLASS` and so on."""

VISION_CURVES = (*_ACCURACIES, "subtask_accuracy")

VISION_FIELDS = (
    pa.field("model", pa.string()),
    pa.field("image_size", pa.int64()),
    *(pa.field(f"{cue}_predictivity", pa.float64()) for cue in ("shape", "texture")),
    *(pa.field(f"{cue}_contrast", pa.float64()) for cue in ("shape", "texture")),
    pa.field("num_training_images", pa.int64()),
    pa.field("mixture_share", pa.float64()),
    pa.field("held", pa.string()),
    pa.field("evaluations_per_epoch", pa.int64()),
    *(pa.field(name, pa.float64()) for name in (*_ACCURACIES, *_BIASES, *_RATES)),
    pa.field("num_cue_conflict", pa.int64()),
    *(pa.field(name, pa.map_(pa.string(), pa.float64())) for name in CUES),
    *(pa.field(f"curve_{name}", pa.list_(pa.float64())) for name in VISION_CURVES),
)

VISION_MEANINGS = {
    "model": "the architecture of a network for images; null in a row of arithmetic",
    "num_training_images": "images of one epoch, original and mean-pooled, repetitions included",
    "mixture_share": "share of mean-pooled images among those; null but for data mixtures",
    "held": "what a recipient holds at the donor's values beside its frozen weights",
    "evaluations_per_epoch": "values of a curve for each epoch: value i belongs to epoch (i + 1) / this, i from 0",
    "accuracy_original": "on test images, which neither training nor selection has met; curves: on validation images",
    "accuracy_mean_pooled": "the same of the same images mean-pooled",
    "shape_bias": "shape decisions over shape and texture decisions on images of two cues; null without any",
    "shape_bias_class_mean": "the mean of the shape classes' biases",
    "shape_bias_low": "shape_bias_low to shape_bias_high: 95% bootstrap interval over images",
    "num_cue_conflict": "images of two cues in conflict that the rates are over",
}
