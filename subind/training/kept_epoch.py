"""Which epoch a run keeps, and how long ago it was at its best."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import assert_never

from subind.specs.quoting import quoted
from subind.specs.training import BestEpoch, KeptEpoch, LastEpoch

Curves = Mapping[str, Sequence[float | int]]


def is_kept(rule: KeptEpoch, curves: Curves) -> bool:
    """Whether the epoch that has just been measured is to be kept, with curves up to it.

    Raises ValueError if there is no curve of the rule's name.
    """
    match rule:
        case LastEpoch():
            return True
        case BestEpoch(ties=ties):
            *earlier, last = _scores(rule, curves)
            highest = max(earlier, default=-inf)
            return last > highest or (ties == "last" and last == highest)
        case _:
            assert_never(rule)


def num_epochs_since_better(rule: KeptEpoch, curves: Curves) -> int:
    """How many epochs ago the best value was reached first; 0 where the last epoch is kept."""
    if isinstance(rule, LastEpoch):
        return 0
    scores = _scores(rule, curves)
    return len(scores) - 1 - scores.index(max(scores))


def at_epoch(curves: Curves, best_epoch: int) -> dict[str, float | int]:
    """The values of all curves at the end of the kept epoch, and that epoch."""
    place = max(place for place, epoch in enumerate(curves["epoch"]) if epoch == best_epoch)
    values = {name: curve[place] for name, curve in curves.items() if name != "epoch"}
    return {**values, "best_epoch": best_epoch}


def _scores(rule: BestEpoch, curves: Curves) -> list[float]:
    """The value at the end of each epoch, of which more is better."""
    if rule.curve not in curves:
        there = ", ".join(name for name in curves if name != "epoch")
        raise ValueError(f"kept_epoch.curve is {quoted(rule.curve)}: the run has the curves {there}")
    last = dict(zip(curves["epoch"], curves[rule.curve], strict=True))
    return [rule.score(value) for value in last.values()]
