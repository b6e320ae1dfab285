"""The packing of groups into packs: what every packing keeps, and how near it comes to the best there is.

Oracles: counting, the two bounds that no schedule beats, and on small instances all partitions in all orders.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, permutations, product
from math import ceil

import pytest

from subind.specs.run import STAGES, Stage
from sweeps.costs.cost_model import Price
from sweeps.costs.packing import Group, Packing, Piece, best_packing, cut, naive_numbers, schedule

SEEDS = range(12)


def _price(draws: random.Random) -> Price:
    return Price(start=draws.uniform(0, 3), passes=draws.uniform(0, 20), each=draws.uniform(0.1, 10))


def _group(stage: Stage, name: str, size: int, *, draws: random.Random, parents: Sequence[str] = ()) -> Group:
    return Group(
        stage=stage,
        price=_price(draws),
        most=draws.randint(1, size + 2),
        runs=tuple(f"{name}{index}" for index in range(size)),
        parents=tuple(tuple(draws.sample(parents, min(len(parents), draws.randint(0, 2)))) for _ in range(size)),
    )


def _groups(draws: random.Random, *, largest: int = 12) -> list[Group]:
    """Two groups of donors, two of masks of them, three of transfers of either."""
    found: list[Group] = []
    for stage, number in zip(STAGES, (2, 2, 3), strict=False):
        made = [run for group in found for run in group.runs]
        for index in range(number):
            size = draws.randint(1, largest)
            found.append(_group(stage, f"{stage}-{index}-", size, draws=draws, parents=made))
    return found


def _standing(draws: random.Random, groups: Sequence[Group]) -> Piece:
    """A transfer pack with a checkpoint that waits for a donor."""
    parents = frozenset(groups[0].runs[:1])
    return Piece(stage="transfer", runs=("left-off", "left-on"), parents=parents, seconds=draws.uniform(1, 40))


def _naive(groups: Sequence[Group], num_workers: int, *, standing: Sequence[Piece] = ()) -> float:
    numbers = naive_numbers(groups, num_workers)
    pieces = [piece for group, number in zip(groups, numbers, strict=True) for piece in cut(group, number)]
    return schedule([*standing, *pieces], num_workers).makespan


@pytest.fixture(params=[(seed, workers) for seed in SEEDS for workers in (1, 2, 5)], ids=str)
def instance(request: pytest.FixtureRequest) -> tuple[list[Group], Piece, int, Packing]:
    seed, num_workers = request.param
    draws = random.Random(seed)
    groups = _groups(draws)
    standing = _standing(draws, groups)
    return groups, standing, num_workers, best_packing([groups], standing=[standing], num_workers=num_workers)


Instance = tuple[list[Group], Piece, int, Packing]


# ---- what every packing keeps


def test_packing_holds_every_run_once(instance: Instance) -> None:
    groups, standing, _, found = instance
    packed = Counter(run for piece in found.pieces for run in piece.runs)
    assert packed == Counter([*standing.runs, *(run for group in groups for run in group.runs)])


def test_packing_mixes_no_groups_and_keeps_their_bound(instance: Instance) -> None:
    groups, standing, _, found = instance
    home = {run: group for group in groups for run in group.runs}
    for piece in found.pieces:
        if piece != standing:
            (group,) = {id(home[run]): home[run] for run in piece.runs}.values()
            assert len(piece.runs) <= group.most


def test_packing_leaves_a_standing_piece_as_it_is(instance: Instance) -> None:
    _, standing, _, found = instance
    assert standing in found.pieces


def test_packing_is_never_longer_than_the_naive_rule(instance: Instance) -> None:
    groups, standing, num_workers, found = instance
    naive = _naive(groups, num_workers, standing=[standing])
    assert found.schedule.makespan <= naive * (1 + 1e-9)
    assert found.naive_makespan == pytest.approx(naive)


def test_packing_is_never_shorter_than_shared_work_and_longest_chain(instance: Instance) -> None:
    _, _, num_workers, found = instance
    shared = sum(piece.seconds for piece in found.pieces) / num_workers
    longest = max(_chain(piece, found.pieces) for piece in found.pieces)
    assert found.schedule.makespan >= max(shared, longest) * (1 - 1e-9)


def _chain(piece: Piece, pieces: Sequence[Piece]) -> float:
    parents = (other for other in pieces if not piece.parents.isdisjoint(other.runs))
    return piece.seconds + max((_chain(parent, pieces) for parent in parents), default=0.0)


def test_schedule_starts_no_piece_before_its_parents_end(instance: Instance) -> None:
    found = instance[3]
    ends = {run: end for piece, end in zip(found.pieces, found.schedule.ends, strict=True) for run in piece.runs}
    for piece, start in zip(found.pieces, found.schedule.starts, strict=True):
        assert all(ends[parent] <= start for parent in piece.parents)


def test_schedule_has_never_more_pieces_than_workers(instance: Instance) -> None:
    _, _, num_workers, found = instance
    spans = list(zip(found.schedule.starts, found.schedule.ends, strict=True))
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) <= num_workers


def test_pieces_are_in_the_order_of_the_chains_that_follow_from_them(instance: Instance) -> None:
    found = instance[3]
    assert all(earlier >= later for earlier, later in pairwise(found.schedule.chains))


def test_packing_of_the_same_groups_is_the_same(instance: Instance) -> None:
    groups, standing, num_workers, found = instance
    assert best_packing([groups], standing=[standing], num_workers=num_workers) == found


def test_packing_of_a_machine_twice_as_slow_is_the_same(instance: Instance) -> None:
    groups, _, num_workers, _ = instance
    prices = [Price(start=2 * of.start, passes=2 * of.passes, each=2 * of.each) for of in (g.price for g in groups)]
    slow = [replace(group, price=price) for group, price in zip(groups, prices, strict=True)]
    one, other = (best_packing([each], num_workers=num_workers) for each in (groups, slow))
    assert [piece.runs for piece in other.pieces] == [piece.runs for piece in one.pieces]
    assert other.schedule.makespan == pytest.approx(2 * one.schedule.makespan)


def test_packing_of_nothing_is_empty() -> None:
    found = best_packing([[]], num_workers=2)
    assert (found.pieces, found.schedule.makespan) == ((), 0.0)


# ---- pieces


@pytest.mark.parametrize("number", range(1, 8))
def test_pieces_of_a_group_are_even_and_in_its_order(number: int) -> None:
    group = _group("donor", "run", 7, draws=random.Random(0))
    pieces = cut(group, number)
    assert [run for piece in pieces for run in piece.runs] == list(group.runs)
    assert max(len(piece.runs) for piece in pieces) - min(len(piece.runs) for piece in pieces) <= 1


def test_piece_waits_for_the_parents_of_its_own_runs() -> None:
    group = Group(
        stage="mask",
        price=Price(start=0, passes=0, each=1),
        most=9,
        runs=("a", "b", "c", "d"),
        parents=(("x",), ("x", "z"), ("y",), ()),
    )
    assert [piece.parents for piece in cut(group, 2)] == [{"x", "z"}, {"y"}]


# ---- what packing is for


def _alike(stage: Stage, name: str, size: int, *, each: float, parent: str | None = None, most: int = 10) -> Group:
    runs = tuple(f"{name}{index}" for index in range(size))
    parents = () if parent is None else (parent,)
    price = Price(start=1, passes=1, each=each)
    return Group(stage=stage, price=price, most=most, runs=runs, parents=(parents,) * size)


def test_long_group_among_short_ones_is_cut_so_that_workers_end_together() -> None:
    groups = [_alike("transfer", "long", 9, each=100), *(_alike("transfer", f"short{n}-", 9, each=1) for n in range(4))]
    found = best_packing([groups], num_workers=2)
    assert _naive(groups, 2) > 900
    assert found.schedule.makespan < 1.25 * sum(len(group.runs) * group.price.each for group in groups) / 2


def _apart(group: Group) -> list[Group]:
    """The runs of a group that wait for a parent, and those that wait for none."""
    found = []
    for waits in (True, False):
        members = [index for index, parent in enumerate(group.parents) if bool(parent) == waits]
        runs, parents = (tuple(every[index] for index in members) for every in (group.runs, group.parents))
        if members:
            found.append(replace(group, runs=runs, parents=parents))
    return found


def test_runs_without_parents_train_while_the_mask_is_waited_for() -> None:
    donor = _alike("donor", "donor", 1, each=100)
    recipients = Group(
        stage="transfer",
        price=Price(start=1, passes=30, each=10),
        most=8,
        runs=tuple(f"transfer{index}" for index in range(8)),
        parents=(("donor0",), ()) * 4,
    )
    plain = best_packing([[donor, recipients]], num_workers=2).schedule.makespan
    either = best_packing([[donor, recipients], [donor, *_apart(recipients)]], num_workers=2).schedule.makespan
    assert either == 102 + 51
    assert either < plain


def test_group_on_one_worker_is_cut_into_as_few_packs_as_its_bound_allows() -> None:
    found = best_packing([[_alike("transfer", "run", 25, each=1, most=10)]], num_workers=1)
    assert sorted(len(piece.runs) for piece in found.pieces) == [8, 8, 9]


def test_packing_of_thousands_of_packs_takes_seconds_at_most() -> None:
    draws = random.Random(0)
    groups = [_alike("transfer", f"{n}-", 1000, each=draws.uniform(1, 50)) for n in range(100)]
    start = time.process_time()
    best_packing([groups], num_workers=16)
    assert time.process_time() - start < 5


# ---- against all there is

FACTOR = 1.2
"""A packing is within this factor of the best of all partitions (uneven ones too) in all orders, on small instances."""


def _partitions(members: Sequence[int], most: int) -> Iterator[list[list[int]]]:
    """All ways to part the members into sets of at most `most`."""
    if not members:
        yield []
        return
    first, rest = members[0], members[1:]
    for partition in _partitions(rest, most):
        yield [[first], *partition]
        for index, part in enumerate(partition):
            if len(part) < most:
                yield [*partition[:index], [first, *part], *partition[index + 1 :]]


def _best(groups: Sequence[Group], num_workers: int) -> float:
    """The shortest of all schedules that idle no longer than they must."""
    found = float("inf")
    for partitions in product(*(list(_partitions(range(len(group.runs)), group.most)) for group in groups)):
        packs = [
            (
                {group.runs[index] for index in part},
                {parent for index in part for parent in group.parents[index]},
                group.price.start + group.price.passes + len(part) * group.price.each,
            )
            for group, partition in zip(groups, partitions, strict=True)
            for part in partition
        ]
        found = min(found, *(_length(order, num_workers) for order in permutations(packs)))
    return found


def _length(order: Sequence[tuple[set[str], set[str], float]], num_workers: int) -> float:
    """When the last pack ends if each, in this order, starts as soon as a worker and its parents allow."""
    free, ends = [0.0] * num_workers, dict[str, float]()
    for runs, parents, seconds in order:
        if not parents <= ends.keys():
            return float("inf")
        worker = min(range(num_workers), key=lambda index: free[index])
        end = max([free[worker], *(ends[parent] for parent in parents)]) + seconds
        free[worker] = end
        ends |= dict.fromkeys(runs, end)
    return max(free)


@pytest.mark.parametrize("seed", range(20))
def test_packing_of_a_small_instance_is_near_the_best_of_all(seed: int) -> None:
    draws = random.Random(seed)
    donors = _group("donor", "donor", draws.randint(1, 2), draws=draws)
    transfers = _group("transfer", "transfer", 4, draws=draws, parents=donors.runs)
    variants = [[donors, transfers], [donors, *_apart(transfers)]]
    found = best_packing(variants, num_workers=2).schedule.makespan
    assert _best([donors, transfers], 2) * (1 - 1e-9) <= found <= FACTOR * _best([donors, transfers], 2)


def test_naive_rule_takes_as_few_packs_as_hold_the_runs_and_one_for_each_worker() -> None:
    groups = [_alike("donor", "a", 3, each=1), _alike("donor", "b", 25, each=1)]
    assert naive_numbers(groups, 1) == (1, 3)
    assert naive_numbers(groups, 7) == (1, ceil(25 / 4))


def test_group_whose_runs_cost_nothing_each_is_packed_to_its_bound() -> None:
    group = Group(
        stage="donor",
        price=Price(start=2.0, passes=0.5, each=0.0),
        most=3,
        runs=tuple("abcdefg"),
        parents=((),) * 7,
    )
    assert sorted(len(piece.runs) for piece in best_packing([[group]], num_workers=1).pieces) == [2, 2, 3]
