"""The mask that `subind tune figure-3-depth-2` chose and the mask of the published setting, over the same donor.

Two sample counts and three seeds of the recipients; the two masks differ in their setting alone, and so do their
recipients.
"""

from subind.specs.runs import Transfer
from subind.specs.starts import Subnetwork
from sweeps.grids import figure_3_depth_2, protocol, tuned

TUNED_GRID = "figure-3-depth-2"
DISAMBIGUATION_COUNTS = (100, 250)
SEEDS = (0, 1, 2)


def grid() -> tuple[Transfer, ...]:
    """12 transfers over one donor and two masks."""
    published = figure_3_depth_2.mask()
    masks = (published, tuned.mask(published, grid=TUNED_GRID))
    return tuple(
        protocol.transfer(Subnetwork(mask=mask), num_disambiguation=count, seed=seed)
        for count in DISAMBIGUATION_COUNTS
        for seed in SEEDS
        for mask in masks
    )
