"""The published accuracies of the arithmetic experiment, under this project's names of the controls.

`published/arithmetic_accuracy.csv` was read off the vector figures of "Instilling Inductive Biases with Subnetworks"
(Zhang, Lepori, Pavlick, arXiv 2310.10899): figure 3, the figures per depth and that of appendix B.3. The paper's random
and complement controls are those that its released code runs, which keep the donor everywhere *except* on a set of the
subnetwork's size; so they stand beside `random_as_released` and `complement_as_released`, never beside
`random_subnetwork` or `complement_subnetwork`.
"""

from functools import cache
from pathlib import Path

import pandas as pd

SOURCE = "arXiv 2310.10899"
CSV = Path(__file__).parent / "published" / "arithmetic_accuracy.csv"

PROTOCOL = {
    "rule": "a ** 2 + a * b",
    "modulus": 7,
    "num_integers": 1000,
    "d_model": 128,
    "num_ambiguous": 1000,
    "subtask": "a * b",
    "penalty": 1e-7,
    "final_temperature": 100.0,
}
"""The published setting, as far as the columns of a row tell it. The last three do not apply to every control."""


def accuracies() -> pd.DataFrame:
    """One row per published point: depths, control, num_disambiguation, published_accuracy, _runs and _source.

    `depths` is the depth, or the depths of a mean, in text such as "2,4,6,8,10,12". Where a point was published twice,
    the one of more runs is here. A mean over depths has one run per depth.
    """
    return _accuracies().copy()


CURVES = CSV.with_name("vision_curves.csv")
STEPS_PER_EPOCH = 1658
"""Of the published vision runs: 212,125 images in batches of 128."""

OBSERVERS = CSV.with_name("shape_bias.csv")
OBSERVERS_SOURCE = "R. Geirhos et al., ICLR 2019, raw decisions"
NUM_CUE_CONFLICT = 1200
"""Images that the observers decided on; shape bias on other images is no match for theirs."""

CHANCE_OF_IMAGES = 1 / 16
"""Of the published accuracies on images: one class in 16, on a balanced subset."""


def vision_curves() -> pd.DataFrame:
    """One row per point of the published training curves on ImageNet.

    Columns: model ("resnet18" or "vitb16"), control, evaluation_set ("original" or "mean_pooled"), epoch, accuracy.
    They were read off the vector figure of the same paper and are of one run each.
    """
    read = pd.read_csv(CURVES)
    names = read["model"].str.replace("_", "")
    return read.assign(model=names, epoch=read["optimizer_step"] / STEPS_PER_EPOCH).drop(columns="optimizer_step")


def observers() -> pd.DataFrame:
    """Shape bias of people and of networks trained on ImageNet, a row per observer, counted from raw decisions.

    Columns: observer, num_conflict_images, shape_decisions, texture_decisions, other_decisions, shape_bias_pooled,
    shape_bias_class_mean.
    """
    return pd.read_csv(OBSERVERS)


def is_comparable(transfers: pd.DataFrame) -> bool:
    """Whether the rows have the published setting, so that published numbers may stand beside them."""
    return all((transfers[name].dropna() == value).all() for name, value in PROTOCOL.items())


@cache
def _accuracies() -> pd.DataFrame:
    read = pd.read_csv(CSV, dtype={"num_layers": "string"})
    wiring = zip(read["control"], read["subnetwork_weights"], strict=True)
    points = pd.DataFrame(
        {
            "depths": read["num_layers"],
            "control": [_control(name, weights) for name, weights in wiring],
            "num_disambiguation": read["num_disambiguation"],
            "published_accuracy": read["test_accuracy"],
            "published_runs": read["num_runs"],
            "published_source": SOURCE + ", " + read["source"],
        }
    )
    best_first = points.sort_values("published_runs", ascending=False, kind="stable")
    key = ["depths", "control", "num_disambiguation"]
    return best_first.drop_duplicates(key).sort_values(key, ignore_index=True)


def _control(name: str, weights: str) -> str:
    """Our name of a published control; `random_as_released_trainable` is one that no grid of ours has."""
    match name, weights:
        case "subnetwork", "frozen":
            return "subnetwork"
        case "subnetwork", "trainable":
            return "subnetwork_trainable"
        case (("full_transfer" | "random_init"), "trainable"):
            return name
        case "sampled_as_coded", "frozen":
            return "random_as_released"
        case "sampled_as_coded", "trainable":
            return "random_as_released_trainable"
        case "complement_as_coded", "frozen":
            return "complement_as_released"
        case _:
            raise ValueError(
                f"{CSV.name} has the control {name!r} with {weights!r} weights: map it to a control of ours"
            )
