"""How often claims get a false verdict on simulated seeds, and how often a true one: a table of each.

    python -m analysis.studies.verdicts docs/statistics.md

Every row is a claim about accuracies whose mean, or share, is known. Where it lies at the claim's bound, every verdict
counts as false; elsewhere the one that is wrong. Claims are judged after every single seed up to MOST_SEEDS, which is
more often than any sweep looks. The tables stay the same for the same number of repetitions.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.rows.claims import ALPHA, bets, evidence, needed_evidence, parsed
from analysis.statistics.values import Array
from analysis.studies.coverage import check_marks, put_between

NUM_SEEDS = (6, 10, 20, 60)
MOST_SEEDS = NUM_SEEDS[-1]
NUM_REPETITIONS = 20_000
AT_ONCE = 1_000
BEGIN, END = "<!-- verdicts: begin -->", "<!-- verdicts: end -->"

Draw = Callable[[np.random.Generator, tuple[int, int]], Array]
Counted = Literal["any", "holds", "fails"]
"""Which verdict a row counts: at a bound any, for either is false there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A claim, what its seeds are like, and which verdict is counted.

    `draw` gives accuracies of shape repetitions × seeds, or differences where the claim compares two arms. The case of
    several claims has that many, each about draws of its own.
    """

    claim: str
    data: str
    draw: Draw
    counted: Counted
    num_claims: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The repetitions with the counted verdict at each of NUM_SEEDS, and at any number up to it."""

    case: Case
    at: tuple[int, ...]
    by: tuple[int, ...]


def points(values: tuple[float, ...], chances: tuple[float, ...]) -> Draw:
    """Seeds at a few values, with their chances."""
    return lambda draws, size: draws.choice(np.array(values), size, p=np.array(chances))


def normal(mean: float, spread: float) -> Draw:
    """Seeds around a mean, cut off at -1 and 1 without moving the mean: as far above it as below."""
    reach = 1 - abs(mean)
    return lambda draws, size: mean + np.clip(draws.normal(0, spread, size), -reach, reach)


def minus(first: Draw, second: Draw) -> Draw:
    """The differences of two arms that have nothing in common but their seeds' number."""
    return lambda draws, size: first(draws, size) - second(draws, size)


def beta(above: float, below: float) -> Draw:
    """Skewed accuracies, with the mean above / (above + below)."""
    return lambda draws, size: draws.beta(above, below, size)


RARE = points((0.97, 0.27), (0.9, 0.1))
GROKKED = points((0.95, 0.35), (0.7, 0.3))
ALIKE = minus(GROKKED, GROKKED)

FALSE = (
    Case(claim="a reaches 0.9 on average", data="9 in 10 at .97, 1 at .27: mean .900", draw=RARE, counted="any"),
    Case(
        claim="a reaches 0.9 on average",
        data=".97 or .27: mean .846",
        draw=points((0.97, 0.27), (0.823, 0.177)),
        counted="holds",
    ),
    Case(claim="a reaches 0.9 on average", data="skewed, Beta(9, 1): mean .9", draw=beta(9, 1), counted="any"),
    Case(claim="a reaches 0.5 on average", data="0 or 1: mean .5", draw=points((0.0, 1.0), (0.5, 0.5)), counted="any"),
    Case(
        claim="a reaches 0.1 on average",
        data="9 in 10 at 0, 1 at 1",
        draw=points((0.0, 1.0), (0.9, 0.1)),
        counted="any",
    ),
    Case(claim="a beats b on average", data="both arms learned (.95) in 70%, else .35", draw=ALIKE, counted="any"),
    Case(claim="a beats b on average", data="normal, spread .1: no difference", draw=normal(0, 0.1), counted="any"),
    Case(
        claim="a beats b on average",
        data="unequal arms of mean .9: all at .9; .97 or .27",
        draw=minus(normal(0.9, 0.01), RARE),
        counted="any",
    ),
    Case(
        claim="a beats b on average",
        data="ties in 90%, else ±.005",
        draw=points((0.0, 0.005, -0.005), (0.9, 0.05, 0.05)),
        counted="any",
    ),
    Case(
        claim="a beats b by 0.05 on average",
        data="+.1 in 9 of 10, −.4 in 1: mean .05",
        draw=points((0.1, -0.4), (0.9, 0.1)),
        counted="any",
    ),
    Case(
        claim="a matches b within 0.02 on average",
        data="no difference in 9 of 10, −.5 in 1: mean −.05",
        draw=minus(points((0.0, -0.5), (0.9, 0.1)), normal(0, 0.003)),
        counted="holds",
    ),
    Case(
        claim="a matches b within 0.02 on average",
        data="no difference in 96%, .5 in 4%: mean .02",
        draw=points((0.0, 0.5), (0.96, 0.04)),
        counted="any",
    ),
    Case(claim="a beats b in most seeds", data="normal: better in half", draw=normal(0, 0.1), counted="any"),
    Case(
        claim="a beats b in most seeds",
        data="better in 45%, ties in 55%",
        draw=points((0.1, 0.0), (0.45, 0.55)),
        counted="holds",
    ),
    Case(
        claim="a matches b within 0.02 in most seeds",
        data="inside in half, else far off",
        draw=points((0.01, 0.6), (0.5, 0.5)),
        counted="any",
    ),
    Case(
        claim="a reaches 0.9 in most seeds", data="learned in half", draw=points((1.0, 0.3), (0.5, 0.5)), counted="any"
    ),
    Case(
        claim="a reaches 0.9 in 80% of seeds", data="learned in 80%", draw=points((1.0, 0.3), (0.8, 0.2)), counted="any"
    ),
    Case(
        claim="a reaches 0.9 in 80% of seeds",
        data="learned in 90%",
        draw=points((1.0, 0.3), (0.9, 0.1)),
        counted="fails",
    ),
    Case(
        claim="a beats b in most seeds",
        data="three claims, each better in half",
        draw=normal(0, 0.1),
        counted="any",
        num_claims=3,
    ),
)

TRUE = (
    Case(claim="a beats b in most seeds", data="better in every seed", draw=points((0.1,), (1.0,)), counted="holds"),
    Case(claim="a beats b in most seeds", data="better in 90%", draw=points((0.1, -0.1), (0.9, 0.1)), counted="holds"),
    Case(
        claim="a beats b in most seeds", data="better in 75%", draw=points((0.1, -0.1), (0.75, 0.25)), counted="holds"
    ),
    Case(claim="a beats b on average", data="mean .5, spread .1", draw=normal(0.5, 0.1), counted="holds"),
    Case(claim="a beats b on average", data="mean .2, spread .1", draw=normal(0.2, 0.1), counted="holds"),
    Case(claim="a beats b on average", data="mean .05, spread .01", draw=normal(0.05, 0.01), counted="holds"),
    Case(
        claim="a reaches 0.9 in most seeds",
        data="learned in 95%",
        draw=points((1.0, 0.3), (0.95, 0.05)),
        counted="holds",
    ),
    Case(claim="a reaches 0.9 in 80% of seeds", data="learned in all", draw=points((1.0,), (1.0,)), counted="holds"),
    Case(claim="a reaches 0.9 on average", data="all at .97", draw=points((0.97,), (1.0,)), counted="holds"),
    Case(claim="a reaches 0.9 on average", data="all near .5", draw=normal(0.5, 0.1), counted="fails"),
    Case(claim="a matches b within 0.02 in most seeds", data="spread .01", draw=normal(0, 0.01), counted="holds"),
    Case(claim="a matches b within 0.02 on average", data="spread .01", draw=normal(0, 0.01), counted="holds"),
    Case(claim="a matches b within 0.3 on average", data="spread .05", draw=normal(0, 0.05), counted="holds"),
)


def study(cases: tuple[Case, ...], *, num_repetitions: int = NUM_REPETITIONS) -> Iterator[Counts]:
    """The counts of each case."""
    for case in cases:
        draws = np.random.default_rng([*case.claim.encode(), *case.data.encode()])
        parts = [
            _counted(case, draws, num_repetitions=min(AT_ONCE, num_repetitions - start))
            for start in range(0, num_repetitions, AT_ONCE)
        ]
        whole = np.concatenate(parts)
        at, by = (each.sum(axis=0) for each in (whole, np.logical_or.accumulate(whole, axis=1)))
        yield Counts(
            case=case,
            at=tuple(int(at[num - 1]) for num in NUM_SEEDS),
            by=tuple(int(by[num - 1]) for num in NUM_SEEDS),
        )


def _counted(case: Case, draws: np.random.Generator, *, num_repetitions: int) -> npt.NDArray[np.bool_]:
    """Whether any claim of the case has the counted verdict, per repetition and number of seeds."""
    claim, needed = parsed(f"{case.claim} at n = 1"), needed_evidence(case.num_claims)
    found = np.zeros((num_repetitions, MOST_SEEDS), dtype=bool)
    for _ in range(case.num_claims):
        for_it, against = evidence(claim, bets(claim, case.draw(draws, (num_repetitions, MOST_SEEDS))))
        if case.counted != "fails":
            found |= for_it >= needed
        if case.counted != "holds":
            found |= against >= needed
    return found


def upper_bound(num: int, num_repetitions: int) -> float:
    """Clopper and Pearson's upper bound of a share, 95% one-sided."""
    if num == num_repetitions:
        return 1.0
    return float(special.betaincinv(num + 1, num_repetitions - num, 0.95))


def false_table(found: list[Counts], *, num_repetitions: int) -> str:
    """Markdown: the share of repetitions with a false verdict."""
    heads = ["claim", "seeds", *(f"n = {num}" for num in NUM_SEEDS), f"ever, n ≤ {MOST_SEEDS}", "its upper bound"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for each in found:
        shares = [f"{num / num_repetitions:.2%}" for num in (*each.at, each.by[-1])]
        bound = f"{upper_bound(each.by[-1], num_repetitions):.2%}"
        lines.append(f"| {' | '.join([each.case.claim, each.case.data, *shares, bound])} |")
    said = (
        f"{num_repetitions:,} repetitions; the upper bound is Clopper and Pearson's, 95% one-sided. Level: {ALPHA:.0%}."
    )
    return "\n".join([*lines, "", said])


def true_table(found: list[Counts], *, num_repetitions: int) -> str:
    """Markdown: the share of repetitions with the true verdict."""
    heads = ["claim", "seeds", "verdict", *(f"n = {num}" for num in NUM_SEEDS), *(f"by {num}" for num in NUM_SEEDS[1:])]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for each in found:
        shares = [f"{num / num_repetitions:.0%}" for num in (*each.at, *each.by[1:])]
        lines.append(f"| {' | '.join([each.case.claim, each.case.data, each.case.counted, *shares])} |")
    error = 100 * sqrt(0.25 / num_repetitions)
    return "\n".join([*lines, "", f"{num_repetitions:,} repetitions; standard error at most {error:.1f} points."])


def write(path: Path, *, num_repetitions: int = NUM_REPETITIONS) -> None:
    """Put both tables between the marks of a file. Raises ValueError if the file lacks them."""
    check_marks(path, BEGIN, END)
    wrong, right = (list(study(cases, num_repetitions=num_repetitions)) for cases in (FALSE, TRUE))
    tables = [
        "False verdicts:",
        false_table(wrong, num_repetitions=num_repetitions),
        "True verdicts, of one claim:",
        true_table(right, num_repetitions=num_repetitions),
    ]
    put_between(path, BEGIN, END, "\n\n".join(tables))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
