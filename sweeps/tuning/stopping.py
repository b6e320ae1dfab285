"""Median stopping of trials: when a mask that trains is worse than half of those before it in every respect.

A trial is stopped after half or three quarters of its epochs if both its training loss (of the soft mask, so that it
tells how well the subtask is solved before the hard mask can) and its density are above the medians that the finished
trials had after the same share of theirs. A temperature schedule ends wherever it was begun, so the shares compare.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from statistics import median

from subind.training.loop import Rung

SHARES = (0.5, 0.75)
MEASURES = ("train_loss", "density")
FEWEST_FINISHED = 8
"""With fewer finished trials nothing is stopped."""

Curves = Mapping[str, list[float]]


def rungs(finished: Sequence[Curves]) -> tuple[Rung, ...]:
    """The rungs that the curves of the finished trials set for those to come; none if they are few."""
    if len(finished) < FEWEST_FINISHED:
        return ()
    return tuple(
        Rung(share=share, limits={name: median(_value(each, name, share) for each in finished) for name in MEASURES})
        for share in SHARES
    )


def _value(curves: Curves, name: str, share: float) -> float:
    """The value of a curve after the share of its epochs."""
    return curves[name][ceil(share * len(curves[name])) - 1]
