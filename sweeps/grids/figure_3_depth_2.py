"""The depth-2 part of the paper's Figure 3, for a machine without GPU: one seed, nine starts, five sample counts.

Discovery varies from draw to draw: on this donor, mask seeds 0, 1 and 2 end at a hard accuracy on the subtask of 0.951,
0.999 and 0.985, at densities of 5.0%, 5.0% and 5.5%. The published mask has 1.00, so the recipients here start from the
first mask that reaches 0.99, chosen by the subtask alone.

What a recipient inherits depends on the donor as well: full transfer of donor seeds 0, 1 and 2 ends at a test accuracy
of 0.621, 0.566 and 0.485 with 100 samples, and of 0.746, 0.653 and 0.605 with 250; published are 0.480 and 0.619.

So the claims are about recipients of this donor and mask, and `--until-decided` adds only recipients.
"""

from dataclasses import replace

from subind.specs.rows import Part
from subind.specs.runs import Discover, Transfer
from sweeps.grids import protocol
from sweeps.grids.studies import Epochs, Range, Study, study_around

MASK_SEED = 1
DISAMBIGUATION_COUNTS = (10, 100, 250, 1000, 2500)

CLAIMS = (
    "subnetwork beats random_subnetwork in most seeds at n = 1000",
    "subnetwork beats unmasked_only in most seeds at n = 1000",
    "subnetwork beats random_init in most seeds at n = 1000",
)


def mask() -> Discover:
    """The published setting, over the donor of seed 0."""
    return replace(protocol.mask(2, seed=0), seed=MASK_SEED)


def grid() -> tuple[Transfer, ...]:
    """45 transfers over one donor and one mask."""
    starts = protocol.starts(mask())
    return tuple(
        protocol.transfer(start, num_disambiguation=count, seed=0)
        for count in DISAMBIGUATION_COUNTS
        for start in starts
    )


def studies() -> tuple[Study, ...]:
    """One search with a fifteenth of the published setting's steps, in batches of half its size.

    A trial sees 10,000 samples 8 to 24 times in batches of 250: 320 to 960 steps instead of 5,000. The published
    setting, beside which the front is drawn, has all of its data, batches and epochs.
    """
    around = study_around(mask(), num_seeds=10, num_transfer_samples=1000)
    return (
        replace(
            around,
            base=replace(around.base, rows=(Part(name="unambiguous", num_samples=10_000),), batch_size=250),
            penalty=Range(low=1e-7, high=1e-4, scale="log"),
            final_temperature=Range(low=10.0, high=1000.0, scale="log"),
            initial_logit=Range(low=-0.3, high=0.3, scale="linear"),
            learning_rate=Range(low=1e-3, high=1e-1, scale="log"),
            num_epochs=Epochs(low=8, high=24),
        ),
    )
