"""The paper's whole arithmetic experiment with five seeds: 6 depths × 5 seeds × 17 sample counts × 9 starts."""

from subind.specs.runs import Transfer
from sweeps.grids import protocol

SEEDS = (0, 1, 2, 3, 4)

CLAIMS = (
    "subnetwork beats random_subnetwork in most seeds at n = 1000, depth 12",
    "subnetwork beats unmasked_only in most seeds at n = 1000, depth 12",
    "subnetwork beats random_init in most seeds at n = 1000, depth 12",
    "subnetwork beats random_as_released in most seeds at n = 1000, depth 12",
    "subnetwork beats random_subnetwork in most seeds at n = 1000",
)


def grid() -> tuple[Transfer, ...]:
    """4,590 transfers over 30 donors and 30 masks."""
    return protocol.cells(depths=protocol.DEPTHS, seeds=SEEDS, disambiguation_counts=protocol.DISAMBIGUATION_COUNTS)
