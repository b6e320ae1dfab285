"""Shape against texture on drawn images: a small ResNet and a small ViT, five seeds, all starts and mixtures."""

from dataclasses import replace

from subind.specs.images import ShapesTask
from subind.specs.networks import ResNet, ViT
from subind.specs.optimizers import AdamW, NoClip
from subind.specs.runs import Transfer
from sweeps.grids import shapes_experiment as experiment
from sweeps.grids.shapes_experiment import Setting

SEEDS = (0, 1, 2, 3, 4)

TASK = ShapesTask(
    image_size=24,
    shape_predictivity=0.9,
    texture_predictivity=0.9,
    shape_contrast=0.4,
    texture_contrast=1.0,
    data_seed=0,
    pooled=False,
    augmentation="none",
    class_weights="equal",
    num_cue_conflict=experiment.NUM_CONFLICT,
)
"""At these contrasts donors prefer texture, and are near chance on mean-pooled images."""


def resnet(*, num_images: int, donor_epochs: int, mask_epochs: int, transfer_epochs: int) -> Setting:
    """A ResNet of eight layers."""
    return Setting(
        network=ResNet(widths=(12, 24, 48), num_blocks=(1, 1, 1), stem="small", num_classes=16),
        precision="float32_channels_last",
        task=TASK,
        num_images=num_images,
        batch_size=64,
        donor_epochs=donor_epochs,
        donor_rate=2e-3,
        mask_epochs=mask_epochs,
        mask_rate=0.03,
        penalty=3e-6,
        beside=(),
        statistics="batch",
        transfer_epochs=transfer_epochs,
        transfer_optimizer=experiment.momentum(0.02),
    )


def vit(*, num_images: int, donor_epochs: int, mask_epochs: int, transfer_epochs: int) -> Setting:
    """A ViT of two layers, whose patches are small enough to see an edge.

    At lower penalties its masks keep more than half of the head, and no complement has their density.
    """
    return replace(
        resnet(
            num_images=num_images,
            donor_epochs=donor_epochs,
            mask_epochs=mask_epochs,
            transfer_epochs=transfer_epochs,
        ),
        network=ViT(image_size=24, patch_size=4, num_layers=2, num_heads=4, d_model=64, d_mlp=128, num_classes=16),
        precision="float32",
        mask_rate=0.02,
        penalty=4e-5,
        beside=("class_token", "encoder.pos_embedding"),
        statistics="donor",
        transfer_optimizer=AdamW(learning_rate=1e-3, weight_decay=0.01, schedule="constant", clip=NoClip()),
    )


RESNET = resnet(num_images=3000, donor_epochs=8, mask_epochs=10, transfer_epochs=4)
VIT = vit(num_images=3000, donor_epochs=12, mask_epochs=8, transfer_epochs=4)


def grid() -> tuple[Transfer, ...]:
    """Every start of both networks at five seeds."""
    return (*experiment.cells(RESNET, SEEDS), *experiment.cells(VIT, SEEDS))
