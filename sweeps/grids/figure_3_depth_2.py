"""The depth-2 part of the paper's Figure 3, for a machine without GPU: one seed, nine controls, five sample counts."""

from subind.spec import Transfer
from sweeps.grids import protocol


def grid() -> tuple[Transfer, ...]:
    """45 transfers over one donor and one mask."""
    return protocol.cells(depths=(2,), seeds=(0,), disambiguation_counts=(10, 100, 250, 1000, 2500))
