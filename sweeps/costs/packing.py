"""The packing of a plan: how many packs each group of runs is cut into, so that the forecast of the whole is shortest.

A schedule simulates what the searcher does: a worker that is free takes, of the packs whose parents are finished, the
one from which the longest chain of packs follows. The search starts from the naive rule (as few packs as memory
allows, but one for each worker) and tries other durations of the packs of a stage, then other numbers for one group at
a time. It is a heuristic: the problem contains the scheduling of jobs on identical machines, which is NP-hard. Its
effort is bounded by a number of packs scheduled, not by a time, so that equal plans are packed equally everywhere.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil

from subind.specs.run import STAGES, Stage
from sweeps.costs.cost_model import Price

EFFORT = 100_000
"""Packs that the search may schedule in all: about a second."""

RUNGS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 128.0)
"""The longest duration of a stage's packs is tried divided by these."""

WEIGHT_OF_WORK = 0.01
"""What a worker's second weighs beside one of the makespan: of two packings that end together, the cheaper is taken."""

GAIN_OF_GROUPING = 0.995
"""Another grouping than the plain one must cost less than this part of it, for its packs wait for more parents."""

NEAR_ENOUGH = 1.002
"""A packing so near the bound that none can beat is not sought to be bettered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs of one shape, in the order in which they are cut into packs of at most `most`.

    `parents` are, run by run, the missing runs that it waits for.
    """

    stage: Stage
    price: Price
    most: int
    runs: tuple[str, ...]
    parents: tuple[tuple[str, ...], ...]

    @property
    def fewest(self) -> int:
        """The fewest packs that hold all runs."""
        return ceil(len(self.runs) / self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A pack as the search sees it: its runs, what it waits for, and how long it takes."""

    stage: Stage
    runs: tuple[str, ...]
    parents: frozenset[str]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When each piece starts and ends, in seconds, and the longest chain of pieces that begins with it."""

    starts: tuple[float, ...]
    ends: tuple[float, ...]
    chains: tuple[float, ...]

    @property
    def makespan(self) -> float:
        """When the last piece ends."""
        return max(self.ends, default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """The pieces, the one to be handed out first at the front, their schedule, and the makespan of the naive rule."""

    pieces: tuple[Piece, ...]
    schedule: Schedule
    naive_makespan: float


def cut(group: Group, number: int, *, sharing: int = 1) -> tuple[Piece, ...]:
    """The group in `number` pieces, whose sizes differ by at most one."""
    size = len(group.runs)
    bounds = [index * size // number for index in range(number + 1)]
    return tuple(
        Piece(
            stage=group.stage,
            runs=group.runs[start:end],
            parents=frozenset(parent for each in set(group.parents[start:end]) for parent in each),
            seconds=group.price.seconds(end - start, sharing=sharing),
        )
        for start, end in pairwise(bounds)
    )


def schedule(pieces: Sequence[Piece], num_workers: int) -> Schedule:
    """The list schedule: parents before children, longest chain first."""
    children, num_parents = _graph(pieces)
    chains = _chains(pieces, children, num_parents)
    starts, ends = [0.0] * len(pieces), [0.0] * len(pieces)
    ready = [(-chains[index], index) for index, number in enumerate(num_parents) if number == 0]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < num_workers:
            _, index = heapq.heappop(ready)
            starts[index], ends[index] = now, now + pieces[index].seconds
            heapq.heappush(running, (ends[index], index))
        now, done = heapq.heappop(running)
        for child in children[done]:
            num_parents[child] -= 1
            if num_parents[child] == 0:
                heapq.heappush(ready, (-chains[child], child))
    return Schedule(starts=tuple(starts), ends=tuple(ends), chains=tuple(chains))


def _graph(pieces: Sequence[Piece]) -> tuple[list[list[int]], list[int]]:
    """Of each piece the pieces that wait for it, and the number of those that it waits for."""
    wanted = frozenset().union(*(piece.parents for piece in pieces))
    maker = {run: index for index, piece in enumerate(pieces) for run in piece.runs if run in wanted} if wanted else {}
    children: list[list[int]] = [[] for _ in pieces]
    num_parents = [0] * len(pieces)
    for index, piece in enumerate(pieces):
        if piece.parents:
            makers = {maker[run] for run in piece.parents if run in maker}
            num_parents[index] = len(makers)
            for each in makers:
                children[each].append(index)
    return children, num_parents


def _chains(pieces: Sequence[Piece], children: Sequence[Sequence[int]], num_parents: Sequence[int]) -> list[float]:
    chains = [piece.seconds for piece in pieces]
    for index in reversed(_parents_first(children, num_parents)):
        if children[index]:
            chains[index] += max(chains[child] for child in children[index])
    return chains


def _parents_first(children: Sequence[Sequence[int]], num_parents: Sequence[int]) -> list[int]:
    """The pieces, each after all that it waits for."""
    left = list(num_parents)
    order = [index for index, number in enumerate(left) if number == 0]
    for index in order:  # grows while it is walked
        for child in children[index]:
            left[child] -= 1
            if left[child] == 0:
                order.append(child)
    assert len(order) == len(left), "no pack waits for itself"
    return order


def naive_numbers(groups: Sequence[Group], num_workers: int) -> tuple[int, ...]:
    """As few packs of each group as hold its runs, but as many as let the workers share the runs of a stage."""
    totals = {stage: sum(len(group.runs) for group in groups if group.stage == stage) for stage in STAGES}
    return tuple(
        ceil(len(group.runs) / max(1, min(group.most, ceil(totals[group.stage] / num_workers)))) for group in groups
    )


@dataclass(slots=True, kw_only=True)
class _Search:
    """The best numbers of packs found so far for some groups, beside packs that stand."""

    groups: Sequence[Group]
    standing: Sequence[Piece]
    num_workers: int
    sharing: int
    effort: int
    numbers: tuple[int, ...] = ()
    makespan: float = float("inf")
    value: float = float("inf")
    limit: float = float("inf")
    cuts: dict[tuple[int, int], tuple[Piece, ...]] = field(default_factory=dict)

    def pieces(self, numbers: Sequence[int]) -> list[Piece]:
        found = list(self.standing)
        for index, number in enumerate(numbers):
            if (index, number) not in self.cuts:
                self.cuts[index, number] = cut(self.groups[index], number, sharing=self.sharing)
            found += self.cuts[index, number]
        return found

    def try_(self, numbers: tuple[int, ...]) -> bool:
        """Take the numbers if they are better; schedules them only if they may be."""
        if self.effort <= 0 or self._least(numbers) >= self.value:
            return False
        pieces = self.pieces(numbers)
        self.effort -= len(pieces)
        makespan = schedule(pieces, self.num_workers).makespan
        value = makespan + WEIGHT_OF_WORK * sum(piece.seconds for piece in pieces) / self.num_workers
        if value >= self.value or makespan > self.limit:
            return False
        self.numbers, self.makespan, self.value = numbers, makespan, value
        return True

    def _least(self, numbers: Sequence[int]) -> float:
        """What the numbers cost if the workers shared the work evenly."""
        total = sum(piece.seconds for piece in self.standing)
        total += sum(_seconds(group, each, self.sharing) for group, each in zip(self.groups, numbers, strict=True))
        return (1 + WEIGHT_OF_WORK) * total / self.num_workers

    def is_near_enough(self) -> bool:
        """Whether no packing can be noticeably better."""
        return self.value <= NEAR_ENOUGH * self._least([group.fewest for group in self.groups])


def _seconds(group: Group, number: int, sharing: int) -> float:
    """The seconds of all packs of a group that is cut into so many."""
    size, larger = divmod(len(group.runs), number)
    few = larger * group.price.seconds(size + 1, sharing=sharing) if larger else 0.0
    return few + (number - larger) * group.price.seconds(size, sharing=sharing)


def best_packing(
    variants: Sequence[Sequence[Group]], *, standing: Sequence[Piece] = (), num_workers: int, sharing: int = 1
) -> Packing:
    """The packing with the shortest schedule that was found, in the order of its priorities.

    `variants` are several ways to group the same runs; the first is the plain one, and a later one is taken where it is
    better. No packing is longer than that of the naive rule on the first. `standing` pieces are packs as they are.
    `sharing` packs train on one device at a time.
    """
    first = _Search(
        groups=variants[0],
        standing=standing,
        num_workers=num_workers,
        sharing=sharing,
        effort=EFFORT // len(variants),
    )
    first.try_(naive_numbers(variants[0], num_workers))
    best = first
    first.limit = first.makespan
    _improve(first)
    for groups in variants[1:]:
        other = _Search(
            groups=groups,
            standing=standing,
            num_workers=num_workers,
            sharing=sharing,
            effort=EFFORT // len(variants),
            limit=first.limit,
        )
        other.try_(tuple(group.fewest for group in groups))
        if other.numbers or other.try_(naive_numbers(groups, num_workers)):
            _improve(other)
        if other.value < GAIN_OF_GROUPING * best.value:
            best = other
    return _in_order(best.pieces(best.numbers), num_workers, naive_makespan=first.limit)


def _in_order(pieces: Sequence[Piece], num_workers: int, *, naive_makespan: float) -> Packing:
    """The pieces with their schedule, those of the longest chains in front."""
    found = schedule(pieces, num_workers)
    order = sorted(range(len(pieces)), key=lambda index: (-found.chains[index], index))
    return Packing(
        naive_makespan=naive_makespan,
        pieces=tuple(pieces[index] for index in order),
        schedule=Schedule(
            starts=tuple(found.starts[index] for index in order),
            ends=tuple(found.ends[index] for index in order),
            chains=tuple(found.chains[index] for index in order),
        ),
    )


def _improve(search: _Search) -> None:
    """Try other durations of the packs of a stage, then other numbers of packs for one group, while that helps."""
    search.try_(tuple(group.fewest for group in search.groups))
    bettered = True
    while bettered and search.effort > 0 and not search.is_near_enough():
        bettered = False
        for numbers in _by_stage(search):
            bettered |= search.try_(numbers)
        for index in _longest_first(search.groups):
            for number in _others(search, index):
                bettered |= search.try_(_changed(search.numbers, {index: number}))


def _by_stage(search: _Search) -> Iterator[tuple[int, ...]]:
    """The numbers found so far, with one stage's packs of about another duration."""
    for stage in STAGES:
        of_stage = [index for index, group in enumerate(search.groups) if group.stage == stage]
        longest = max((_longest(search.groups[index]) for index in of_stage), default=0.0)
        for rung in RUNGS:
            changes = {index: _number(search.groups[index], longest / rung) for index in of_stage}
            yield _changed(search.numbers, changes)


def _longest(group: Group) -> float:
    return group.price.seconds(min(group.most, len(group.runs)))


def _number(group: Group, seconds: float) -> int:
    """Into how many packs the group is cut so that none takes longer, if that can be."""
    price, size = group.price, group.most
    if price.each > 0:
        size = int((seconds * (1 + 1e-9) - price.start - price.passes) / price.each)
    return ceil(len(group.runs) / max(1, min(size, group.most)))


def _longest_first(groups: Sequence[Group]) -> list[int]:
    return sorted(range(len(groups)), key=lambda index: -len(groups[index].runs) * groups[index].price.each)


def _others(search: _Search, index: int) -> Iterator[int]:
    """Other numbers of packs for one group: one fewer or more, half, twice, and such that the workers share evenly."""
    group, now, workers = search.groups[index], search.numbers[index], search.num_workers
    rounds = now // workers
    for number in dict.fromkeys((now - 1, now + 1, now // 2, 2 * now, rounds * workers, (rounds + 1) * workers)):
        if group.fewest <= number <= len(group.runs) and number != now:
            yield number


def _changed(numbers: Sequence[int], changes: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(changes.get(index, number) for index, number in enumerate(numbers))
