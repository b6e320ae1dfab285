"""How often each interval covers the truth on simulated data: `python -m analysis.studies.coverage docs/statistics.md`.

The table is written between two marks in the file, and stays the same for the same number of repetitions.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import optimize, special

from analysis.statistics import (
    Interval,
    bca_interval,
    hierarchical_interval,
    probability_of_improvement,
    samples_to_reach,
    sign_flip_p,
    t_interval,
    wilson_interval,
)
from analysis.statistics.values import Array

Shape = Literal["normal", "bimodal", "rare failure", "0 or 1"]
SHAPES: tuple[Shape, ...] = ("normal", "bimodal", "rare failure", "0 or 1")
NUM_SEEDS = (3, 5, 10, 20)
NUM_REPETITIONS = 2_000
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"

SPREAD = 0.1
"""Standard deviation of normal accuracies."""
SHARE = 0.7
"""The share that learned, of normal ones what moves their mean alike."""
OTHER_SHARE = 0.4
"""The share that learned in the weaker of two arms, whose normal accuracies are lower by one standard deviation."""
SUCCESS = 0.7
"""The accuracy that counts as success: between the modes, and the mean of the normal ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """Accuracies of runs that have not learned and that have, the spread within either, and the share that learned."""

    low: float
    high: float
    within: float
    share: float


MODES: dict[Shape, Modes] = {
    "bimodal": Modes(low=0.35, high=0.95, within=0.03, share=SHARE),
    "rare failure": Modes(low=0.27, high=0.97, within=0.0, share=0.9),
    "0 or 1": Modes(low=0.0, high=1.0, within=0.0, share=SHARE),
}
RUNS_OF_A_GROUP = 3
COUNTS = np.array([0.0, 10, 40, 100, 250, 1000, 2500])
RISE = np.array([-0.3, -0.25, -0.15, -0.05, 0.1, 0.22, 0.25])
"""A learning curve: what each count adds to a seed's level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """How often a rule was right: the share of repetitions for each number of seeds."""

    rule: str
    shape: Shape
    shares: tuple[float, ...]


def accuracies(shape: Shape, size: tuple[int, ...], draws: np.random.Generator, *, share: float | None = None) -> Array:
    """Simulated test accuracies; `share` that learned, if not the shape's own, moves the mean of normal ones alike."""
    if shape == "normal":
        lower = SHARE - (SHARE if share is None else share)
        return draws.normal(SUCCESS - SPREAD * lower / (SHARE - OTHER_SHARE), SPREAD, size)
    modes = MODES[shape]
    learned = draws.random(size) < (modes.share if share is None else share)
    return np.where(learned, modes.high, modes.low) + draws.normal(0, modes.within, size)


def true_mean(shape: Shape) -> float:
    """The mean of `accuracies`."""
    if shape == "normal":
        return SUCCESS
    modes = MODES[shape]
    return modes.share * modes.high + (1 - modes.share) * modes.low


def study(*, num_repetitions: int = NUM_REPETITIONS) -> Iterator[Covered]:
    """Every rule on every shape of data."""
    for (name, rule), shape in product(RULES.items(), SHAPES):
        draws = np.random.default_rng([*name.encode(), SHAPES.index(shape)])
        yield Covered(
            rule=name,
            shape=shape,
            shares=tuple(
                sum(rule(shape, num, draws) for _ in range(num_repetitions)) / num_repetitions for num in NUM_SEEDS
            ),
        )


def markdown(found: list[Covered], *, num_repetitions: int) -> str:
    """The table, a line per rule and shape."""
    heads = ["rule", "data", *(f"n = {num}" for num in NUM_SEEDS)]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [
        f"| {' | '.join([each.rule, each.shape, *(f'{share:.1%}' for share in each.shares)])} |" for each in found
    ]
    error = 100 * sqrt(0.95 * 0.05 / num_repetitions)
    return "\n".join([*lines, "", f"{num_repetitions:,} repetitions; standard error {error:.1f} points at 95%."])


def write(path: Path, *, num_repetitions: int = NUM_REPETITIONS) -> None:
    """Put the table between the marks of a file. Raises ValueError if the file lacks them."""
    check_marks(path, BEGIN, END)
    table = markdown(list(study(num_repetitions=num_repetitions)), num_repetitions=num_repetitions)
    put_between(path, BEGIN, END, table)


def check_marks(path: Path, begin: str, end: str) -> None:
    """Raises ValueError unless the file has both marks, once."""
    text = path.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{path} must have one line {begin} and one line {end}, between which the table goes")


def put_between(path: Path, begin: str, end: str, table: str) -> None:
    """Replace what stands between two marks of a file. Raises ValueError if the file lacks them."""
    check_marks(path, begin, end)
    text = path.read_text(encoding="utf-8")
    before, after = text.split(begin)[0], text.split(end)[1]
    path.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def _holds(interval: Interval | None, truth: float) -> bool:
    assert interval is not None
    return interval.low <= truth <= interval.high


def _t(shape: Shape, num: int, draws: np.random.Generator) -> bool:
    return _holds(t_interval(accuracies(shape, (num,), draws)), true_mean(shape))


def _bca_mean(shape: Shape, num: int, draws: np.random.Generator) -> bool:
    given = accuracies(shape, (num,), draws)
    return _holds(bca_interval(given, generator=draws, num_resamples=4_000), true_mean(shape))


def _bca_median(shape: Shape, num: int, draws: np.random.Generator) -> bool:
    given = accuracies(shape, (num,), draws)
    return _holds(bca_interval(given, generator=draws, statistic="median", num_resamples=4_000), _true_median(shape))


def _true_median(shape: Shape) -> float:
    if shape == "normal":
        return SUCCESS
    modes = MODES[shape]
    if modes.within == 0:
        return modes.high

    def excess(value: float) -> float:
        below, above = (special.ndtr((value - mode) / modes.within) for mode in (modes.low, modes.high))
        return float((1 - modes.share) * below + modes.share * above) - 0.5

    return float(optimize.brentq(excess, 0.0, 1.5))


def _wilson(shape: Shape, num: int, draws: np.random.Generator) -> bool:
    successes = int((accuracies(shape, (num,), draws) >= SUCCESS).sum())
    return _holds(wilson_interval(successes, num), 0.5 if shape == "normal" else MODES[shape].share)


def _difference(shape: Shape, num: int, draws: np.random.Generator) -> bool:
    differences = accuracies(shape, (num,), draws) - accuracies(shape, (num,), draws)
    return _holds(t_interval(differences), 0.0)


def _sign_flip(shape: Shape, num: int, draws: np.random.Generator) -> bool:
    differences = accuracies(shape, (num,), draws) - accuracies(shape, (num,), draws)
    return sign_flip_p(differences) > 0.05


def _improvement(shape: Shape, num: int, draws: np.random.Generator) -> bool:
    first, second = (accuracies(shape, (num,), draws, share=share) for share in (None, OTHER_SHARE))
    found = probability_of_improvement(first, second)
    assert found is not None
    if shape == "normal":
        truth = float(special.ndtr(1 / sqrt(2)))
    else:
        share = MODES[shape].share
        truth = share * (1 - OTHER_SHARE) + (share * OTHER_SHARE + (1 - share) * (1 - OTHER_SHARE)) / 2
    return _holds(found.interval, truth)


def _groups(shape: Shape, num: int, draws: np.random.Generator) -> Array:
    """Mask draws × training seeds: each draw has a level of its own, and each run half its spread around that."""
    levels = accuracies(shape, (num, 1), draws)
    return levels + draws.normal(0, SPREAD / 2, (num, RUNS_OF_A_GROUP))


def _hierarchical(shape: Shape, num: int, draws: np.random.Generator) -> bool:
    found = hierarchical_interval(list(_groups(shape, num, draws)), generator=draws, num_resamples=2_000)
    return _holds(found, true_mean(shape))


def _pooled(shape: Shape, num: int, draws: np.random.Generator) -> bool:
    return _holds(t_interval(_groups(shape, num, draws).ravel()), true_mean(shape))


def _crossing(shape: Shape, num: int, draws: np.random.Generator) -> bool:
    given = accuracies(shape, (num, 1), draws) + RISE + draws.normal(0, 0.02, (num, len(COUNTS)))
    (found,) = samples_to_reach(given, COUNTS, thresholds=[SUCCESS], generator=draws)
    curve = true_mean(shape) + RISE
    place = int((curve >= SUCCESS).argmax())
    ends = np.log10(1 + COUNTS[place - 1 : place + 1])
    share = (SUCCESS - curve[place - 1]) / (curve[place] - curve[place - 1])
    truth = 10 ** (ends[0] + share * (ends[1] - ends[0])) - 1
    assert found.low is not None
    assert found.high is not None
    return bool(found.low <= truth <= found.high)


RULES: dict[str, Callable[[Shape, int, np.random.Generator], bool]] = {
    "mean: t": _t,
    "mean: BCa bootstrap": _bca_mean,
    "median: BCa bootstrap": _bca_median,
    "success rate: Wilson": _wilson,
    "paired difference: t": _difference,
    "paired difference of 0: sign-flip p > 0.05": _sign_flip,
    "probability of improvement: Newcombe 5": _improvement,
    f"n mask draws × {RUNS_OF_A_GROUP} seeds: hierarchical": _hierarchical,
    f"n mask draws × {RUNS_OF_A_GROUP} seeds: t over all runs, which is wrong": _pooled,
    "samples to reach an accuracy: bootstrap over seeds": _crossing,
}

if __name__ == "__main__":
    write(Path(sys.argv[1]))
