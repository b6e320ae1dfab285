"""Tiny specs of runs on images, which train in a fraction of a second."""

from dataclasses import replace
from typing import Any

from subind.specs.runs import (
    SGD,
    AdamW,
    ComplementSubnetwork,
    DataMixture,
    FreshWeights,
    FullTransfer,
    ImageControl,
    ImageDonor,
    ImageMask,
    ImageModel,
    ImageTransfer,
    LongerDonor,
    NewHead,
    NoClip,
    RandomInit,
    RandomSubnetwork,
    ResNet,
    ShapesTask,
    Subnetwork,
    SubnetworkTrainable,
    SubnetworkTrainedAlone,
    TemperatureSchedule,
    UnmaskedOnly,
    ViT,
)

RESNET = ResNet(widths=(4, 6), num_blocks=(1, 1), stem="imagenet", num_classes=16)
VIT = ViT(image_size=16, patch_size=4, num_layers=1, num_heads=2, d_model=8, d_mlp=12, num_classes=16)
ADAM = AdamW(learning_rate=1e-2, weight_decay=0.01, schedule="linear_decay", clip=NoClip())
MOMENTUM = SGD(learning_rate=0.05, momentum=0.9, weight_decay=0.1, schedule="constant", clip=NoClip())

CONTROLS: dict[str, Any] = {
    "subnetwork": Subnetwork,
    "subnetwork_trainable": SubnetworkTrainable,
    "random_subnetwork": RandomSubnetwork,
    "complement_subnetwork": ComplementSubnetwork,
    "subnetwork_trained_alone": SubnetworkTrainedAlone,
    "unmasked_only": UnmaskedOnly,
    "full_transfer": FullTransfer,
    "random_init": RandomInit,
    "new_head": NewHead,
    "data_mixture": DataMixture,
    "longer_donor": LongerDonor,
}


def shapes_task(**changes: Any) -> ShapesTask:
    """Drawn images of 16 pixels."""
    fields: dict[str, Any] = {"image_size": 16, "shape_contrast": 0.5, "texture_contrast": 0.5, "data_seed": 0}
    predictivities = {"shape_predictivity": 0.9, "texture_predictivity": 0.9}
    return ShapesTask(**{**fields, **predictivities, **changes})


def image_donor(model: ImageModel = RESNET, **changes: Any) -> ImageDonor:
    """Two epochs of four steps."""
    made = ImageDonor(
        task=shapes_task(),
        model=RESNET,
        num_samples=30,
        num_evaluation_samples=20,
        num_cue_conflict=24,
        augmentation="none",
        class_weights="equal",
        optimizer=ADAM,
        batch_size=8,
        num_epochs=2,
        kept_epoch="first_best",
        patience=5,
        seed=0,
        precision="float32",
        trained="everything",
        weights=FreshWeights(),
    )
    return replace(made, model=model, **changes)


def image_mask(donor: ImageDonor | None = None, **changes: Any) -> ImageMask:
    """A mask of a tiny donor."""
    own = donor or image_donor()
    made = ImageMask(
        donor=own,
        subtask=own.task,
        num_samples=30,
        num_evaluation_samples=20,
        initial_logit=-0.1,
        penalty=1e-3,
        temperature=TemperatureSchedule(name="exponential", final=100.0),
        beside="nothing",
        statistics="donor",
        optimizer=replace(ADAM, learning_rate=0.1),
        batch_size=8,
        num_epochs=2,
        kept_epoch="last_best",
        seed=0,
        precision="float32",
    )
    return replace(made, **changes)


def image_control(name: str, mask: ImageMask) -> ImageControl:
    """The control of that name over the mask, its donor or its architecture."""
    made: ImageControl
    match name:
        case "random_init":
            made = RandomInit(model=mask.donor.model)
        case "data_mixture":
            made = DataMixture(donor=mask.donor, num_mean_pooled=7, mean_pooled_share=0.4)
        case "longer_donor":
            made = LongerDonor(donor=mask.donor, num_more_epochs=1)
        case "new_head" | "full_transfer" | "unmasked_only":
            made = CONTROLS[name](donor=mask.donor)
        case _:
            made = CONTROLS[name](mask=mask)
    return made


def image_transfer(
    control: str | ImageControl = "subnetwork", mask: ImageMask | None = None, **changes: Any
) -> ImageTransfer:
    """A recipient of a tiny mask or donor."""
    start = image_control(control, mask or image_mask()) if isinstance(control, str) else control
    made = ImageTransfer(
        control=start,
        task=changes.get("task", shapes_task()),
        num_samples=30,
        num_evaluation_samples=20,
        num_cue_conflict=24,
        evaluations_per_epoch=1,
        augmentation="none",
        class_weights="inverse_frequency",
        held="all_but_head" if isinstance(start, NewHead) else "nothing",
        optimizer=MOMENTUM,
        batch_size=8,
        num_epochs=2,
        seed=0,
        precision="float32",
    )
    return replace(made, **changes)
