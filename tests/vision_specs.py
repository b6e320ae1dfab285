"""Tiny specs of runs on images, which train in a fraction of a second.

Helpers take the fields of their spec, `num_samples` for the number of original or mean-pooled images, fields of the
image task, and what `tests.specs` shortens.
"""

from dataclasses import fields, replace
from typing import Any

from subind.specs.images import ShapesTask
from subind.specs.mask_methods import ContinuousSparsification
from subind.specs.network import Network
from subind.specs.networks import ResNet, ViT
from subind.specs.optimizers import SGD, AdamW, NoClip
from subind.specs.rows import Part, RepeatedPart
from subind.specs.runs import Discover, Train, Transfer
from subind.specs.starts import (
    DataMixture,
    FullTransfer,
    LongerDonor,
    NewHead,
    RandomInit,
    Start,
    SubnetworkTrainedAlone,
    UnmaskedOnly,
)
from subind.specs.temperature import TemperatureSchedule
from subind.specs.training import EarlyStop, LastEpoch, NoEarlyStop, UniformFanIn, highest, lowest
from tests.specs import OF_A_MASK, with_method, with_stopping

RESNET = ResNet(widths=(4, 6), num_blocks=(1, 1), stem="imagenet", num_classes=16)
VIT = ViT(image_size=16, patch_size=4, num_layers=1, num_heads=2, d_model=8, d_mlp=12, num_classes=16)
ADAM = AdamW(learning_rate=1e-2, weight_decay=0.01, schedule="linear_decay", clip=NoClip())
MOMENTUM = SGD(learning_rate=0.05, momentum=0.9, weight_decay=0.1, schedule="constant", clip=NoClip())

CONTROLS: dict[str, Any] = {
    "subnetwork": OF_A_MASK["subnetwork"],
    "subnetwork_trainable": OF_A_MASK["subnetwork_trainable"],
    "random_subnetwork": OF_A_MASK["random_subnetwork"],
    "complement_subnetwork": OF_A_MASK["complement_subnetwork"],
    "subnetwork_trained_alone": SubnetworkTrainedAlone,
    "unmasked_only": UnmaskedOnly,
    "full_transfer": FullTransfer,
    "random_init": RandomInit,
    "new_head": NewHead,
    "data_mixture": DataMixture,
    "longer_donor": LongerDonor,
}

MIXTURE = (Part(name="original", num_samples=30), RepeatedPart(name="mean_pooled", num_distinct=7, num_samples=20))
"""The rows of a data mixture: 30 originals and 7 mean-pooled images repeated to 20."""


def originals(num_samples: int) -> tuple[Part, ...]:
    """Original images alone."""
    return (Part(name="original", num_samples=num_samples),)


def mean_pooled(num_samples: int) -> tuple[Part, ...]:
    """Mean-pooled images alone."""
    return (Part(name="mean_pooled", num_samples=num_samples),)


def shapes_task(**changes: Any) -> ShapesTask:
    """Drawn images of 16 pixels."""
    fields: dict[str, Any] = {"image_size": 16, "shape_contrast": 0.5, "texture_contrast": 0.5, "data_seed": 0}
    predictivities = {"shape_predictivity": 0.9, "texture_predictivity": 0.9}
    own = {"pooled": False, "augmentation": "none", "class_weights": "equal", "num_cue_conflict": 24}
    return ShapesTask(**{**fields, **predictivities, **own, **changes})


def _with_task(made: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """The changes, of which those that are fields of the image task are made in the task."""
    changes = dict(changes)
    task: Any = changes.pop("task", made.task)
    names = [field.name for field in fields(task) if field.name in changes]
    changes["task"] = replace(task, **{name: changes.pop(name) for name in names})
    return changes


def image_donor(model: Network = RESNET, **changes: Any) -> Train:
    """Two epochs of four steps."""
    made = Train(
        task=shapes_task(),
        model=RESNET,
        rows=originals(30),
        num_evaluation_samples=20,
        optimizer=ADAM,
        batch_size=8,
        num_epochs=2,
        kept_epoch=lowest("validation_loss"),
        stopping=EarlyStop(patience=5),
        seed=0,
        precision="float32",
    )
    if "num_samples" in changes:
        changes["rows"] = originals(changes.pop("num_samples"))
    changes = _with_task(made, with_stopping(changes, kept=lowest("validation_loss")))
    return replace(made, model=model, **{name: each for name, each in changes.items() if name != "model"})


def image_mask(donor: Train | None = None, **changes: Any) -> Discover:
    """A mask of a tiny donor for its images mean-pooled."""
    own = donor or image_donor()
    task: Any = own.task
    made = Discover(
        donor=own,
        task=replace(task, pooled=True),
        rows=mean_pooled(30),
        num_evaluation_samples=20,
        method=ContinuousSparsification(
            initial_logit=-0.1, penalty=1e-3, temperature=TemperatureSchedule(name="exponential", final=100.0)
        ),
        beside=(),
        statistics="donor",
        optimizer=replace(ADAM, learning_rate=0.1),
        batch_size=8,
        num_epochs=2,
        kept_epoch=highest("subtask_accuracy", ties="last"),
        seed=0,
        precision="float32",
    )
    if "num_samples" in changes:
        changes["rows"] = mean_pooled(changes.pop("num_samples"))
    if "subtask" in changes:
        changes["task"] = replace(changes.pop("subtask"), pooled=True)
    return with_method(made, _with_task(made, changes))


def image_start(name: str, mask: Discover) -> Start:
    """The start of that name over the mask, its donor or its architecture."""
    made: Start
    match name:
        case "random_init":
            made = RandomInit(model=mask.network)
        case "longer_donor":
            assert isinstance(mask.donor, Train)
            made = LongerDonor(donor=replace(mask.donor, num_epochs=mask.donor.num_epochs + 1))
        case "data_mixture" | "new_head" | "full_transfer" | "unmasked_only":
            made = CONTROLS[name](donor=mask.donor)
        case _:
            made = CONTROLS[name](mask=mask)
    return made


def image_transfer(start: str | Start = "subnetwork", mask: Discover | None = None, **changes: Any) -> Transfer:
    """A recipient of a tiny mask or donor; of a data mixture on `MIXTURE`."""
    own = image_start(start, mask or image_mask()) if isinstance(start, str) else start
    made = Transfer(
        start=own,
        task=changes.get("task", shapes_task(class_weights="inverse_frequency")),
        rows=MIXTURE if own.name == "data_mixture" else originals(30),
        num_evaluation_samples=20,
        fresh_weights=UniformFanIn(),
        held="all_but_head" if own.name == "new_head" else "nothing",
        optimizer=MOMENTUM,
        batch_size=8,
        num_epochs=2,
        kept_epoch=LastEpoch(),
        evaluations_per_epoch=1,
        stopping=NoEarlyStop(),
        seed=0,
        precision="float32",
    )
    if "num_samples" in changes:
        changes["rows"] = originals(changes.pop("num_samples"))
    return replace(made, **_with_task(made, changes))
