"""What a mask's epochs are judged on: its own samples, which are reported, or pairs that no reported evaluation has.

Both are parts of a mask's spec, so that whether a number was tuned on is part of its run's identity.
"""

from dataclasses import dataclass
from math import exp

from subind.specs.base import LARGEST_COUNT, Checked, at_most, positive

LARGEST_NUM_INTEGERS = 5000
"""All pairs of operands are listed to find those that are free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnValidation(Checked):
    """Each epoch is judged on the mask's evaluation samples, and the accuracy on these is reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningValidation(Checked):
    """Each epoch is judged on `num_samples` distinct pairs of operands that no reported evaluation has.

    Reported are the evaluations of donors, masks and transfers of the seeds 0 … num_seeds - 1, the transfers'
    validation and test on `num_transfer_samples` each, and every (a, a). A mask with another seed cannot be made, nor a
    transfer that descends from it and is evaluated on anything else: so what is tuned on is disjoint from all that is
    reported. The mask's evaluation samples meet its best epoch alone.
    """

    num_samples: int
    num_seeds: int
    num_transfer_samples: int

    def _check(self) -> None:
        positive(self, "num_samples", "num_seeds", "num_transfer_samples")
        at_most(self, LARGEST_COUNT, "num_samples", "num_seeds", "num_transfer_samples")

    def check_room(self, num_integers: int, num_reported: int) -> None:
        """Raise ValueError unless so many pairs are free of samples; a seed's donor and mask report `num_reported`."""
        if num_integers > LARGEST_NUM_INTEGERS:
            raise ValueError(f"num_integers is {num_integers}: a mask is tuned on {LARGEST_NUM_INTEGERS} at most")
        pairs, drawn = num_integers**2, self.num_seeds * (num_reported + 2 * self.num_transfer_samples)
        if self.num_transfer_samples < num_integers:
            raise ValueError(
                f"TuningValidation.num_transfer_samples is {self.num_transfer_samples}: give at least num_integers = "
                f"{num_integers}, for a transfer's evaluation samples cover every integer"
            )
        free = int((pairs - num_integers) * exp(-drawn / pairs))
        if self.num_samples > free:
            raise ValueError(
                f"TuningValidation.num_samples is {self.num_samples}: {self.num_seeds} seeds leave about {free} pairs "
                "that no reported evaluation has; give that many at most, or fewer num_seeds"
            )

    def check_seeds(self, *seeds: int) -> None:
        """Raise ValueError for a seed whose reported samples may be among those that are tuned on."""
        for seed in seeds:
            if seed >= self.num_seeds:
                raise ValueError(
                    f"seed is {seed}: the mask is tuned apart from the samples of seeds below {self.num_seeds}; "
                    "give one of these, or tune with a larger TuningValidation.num_seeds"
                )

    def check_transfer(self, num_samples: int) -> None:
        """Raise ValueError for a transfer whose evaluation samples are not those that tuning avoids."""
        if num_samples != self.num_transfer_samples:
            raise ValueError(
                f"Transfer.num_evaluation_samples is {num_samples}: its mask is tuned apart from evaluations on "
                f"{self.num_transfer_samples} samples; give that number"
            )


Validation = OwnValidation | TuningValidation
