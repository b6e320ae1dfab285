"""Shape against texture at small size, minutes on two CPU cores: two seeds of a small ResNet and its main controls."""

from subind.specs.runs import Transfer
from subind.specs.starts import FullTransfer, RandomInit, RandomSubnetwork, Subnetwork
from sweeps.grids import shapes_experiment as experiment
from sweeps.grids import vision_shapes
from sweeps.grids.shapes_experiment import Setting

SEEDS = (0, 1)


def setting() -> Setting:
    """The network of `vision-shapes` with fewer images and epochs."""
    return vision_shapes.resnet(num_images=2000, donor_epochs=6, mask_epochs=8, transfer_epochs=4)


def grid() -> tuple[Transfer, ...]:
    """The subnetwork and five controls at two seeds."""
    return tuple(cell for seed in SEEDS for cell in _cells(setting(), seed))


def _cells(small: Setting, seed: int) -> tuple[Transfer, ...]:
    donor = experiment.donor(small, seed=seed)
    mask = experiment.mask(small, donor)
    starts = (
        Subnetwork(mask=mask),
        RandomSubnetwork(mask=mask),
        FullTransfer(donor=donor),
        experiment.longer_donor(mask, donor),
        RandomInit(model=small.network),
    )
    recipients = (experiment.transfer(small, start, seed=seed) for start in starts)
    return (*recipients, experiment.mixture(small, mask, share=0.5))
