"""Which epoch a run keeps, and how long ago it was at its best."""

from collections.abc import Sequence
from math import inf

from subind.specs.runs import KeptEpoch


def is_kept(score: float, earlier: Sequence[float], rule: KeptEpoch) -> bool:
    """Whether an epoch of this score, of which more is better, is to be kept after epochs of the earlier scores."""
    highest = max(earlier, default=-inf)
    return score > highest or (rule == "last_best" and score == highest)


def num_epochs_since_better(scores: Sequence[float]) -> int:
    """How many epochs ago the highest score was reached first."""
    return len(scores) - 1 - scores.index(max(scores))
