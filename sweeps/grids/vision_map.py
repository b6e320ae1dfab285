"""Where the subnetwork leads to shape bias: the small ResNet of vision-shapes with one parameter changed at a time.

Predictivity of each cue below and above the other's, and contrast of each cue halved. The setting that both grids have
is trained once.
"""

from dataclasses import replace

from subind.specs.images import ShapesTask
from subind.specs.runs import Transfer
from subind.specs.starts import FullTransfer, RandomSubnetwork, Subnetwork
from sweeps.grids import shapes_experiment as experiment
from sweeps.grids import vision_shapes
from sweeps.grids.shapes_experiment import Setting
from sweeps.grids.vision_shapes import SEEDS, TASK

TASKS = (
    TASK,
    replace(TASK, texture_predictivity=0.8),
    replace(TASK, texture_predictivity=1.0),
    replace(TASK, shape_predictivity=0.8),
    replace(TASK, shape_predictivity=1.0),
    replace(TASK, texture_contrast=0.5),
    replace(TASK, shape_contrast=0.2),
)


def setting(task: ShapesTask) -> Setting:
    """The ResNet of vision-shapes on other images."""
    return replace(vision_shapes.RESNET, task=task)


def cells(given: Setting, *, seed: int) -> tuple[Transfer, ...]:
    """The subnetwork, one of equal density drawn at random, and the whole donor."""
    own = experiment.donor(given, seed=seed)
    mask = experiment.mask(given, own)
    starts = (Subnetwork(mask=mask), RandomSubnetwork(mask=mask), FullTransfer(donor=own))
    return tuple(experiment.transfer(given, start, seed=seed) for start in starts)


def grid() -> tuple[Transfer, ...]:
    """Three starts in seven settings at five seeds."""
    return tuple(cell for task in TASKS for seed in SEEDS for cell in cells(setting(task), seed=seed))
