"""The queue of packs, against a plain search through all packs."""

import random
from collections.abc import Sequence

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from sweeps.planning.plan import Pack, named_pack, with_parents
from sweeps.running.pack_queue import PackQueue
from tests.specs import tiny_donor, tiny_mask, tiny_transfer


def _packs(num_seeds: int, size: int, generator: random.Random) -> list[Pack]:
    """Donors, masks and transfers of some seeds in packs of a stage each, in any order."""
    masks = [tiny_mask(donor=tiny_donor(seed=seed), seed=seed) for seed in range(num_seeds)]
    runs = with_parents(tiny_transfer("subnetwork", mask=mask, seed=mask.seed) for mask in masks)
    found = []
    for stage in ("donor", "mask", "transfer"):
        of_stage = [spec for spec in runs.values() if spec.stage == stage]
        found += [named_pack(tuple(of_stage[start : start + size])) for start in range(0, len(of_stage), size)]
    generator.shuffle(found)
    return found


def _expected(waiting: Sequence[tuple[str, tuple[Run, ...]]], done: set[str], finished: set[str]) -> list[str]:
    """The names of the packs of which a run is left and no parent of such a run is unfinished."""
    names = []
    for name, several in waiting:
        left = [spec for spec in several if run_id(spec) not in done]
        if left and all(run_id(parent) in finished for spec in left for parent in spec.parents()):
            names.append(name)
    return names


def test_queue_through_any_course_of_events_gives_what_a_plain_search_gives() -> None:
    for seed in range(20):
        generator = random.Random(seed)
        packs = _packs(5, generator.randint(1, 3), generator)
        finished, failed = set[str](), set[str]()
        queue = PackQueue(packs, finished=finished)
        waiting = [(pack.name, pack.specs) for pack in packs]
        while waiting:
            runnable = [pack.name for pack in queue.runnable(0.0)]
            assert runnable == _expected(waiting, finished | failed, finished)
            if runnable and generator.random() < 0.7:
                taken = next(iter(queue.runnable(0.0)))
                queue.take(taken)
                waiting = [each for each in waiting if each[0] != taken.name]
                finished |= set(taken.runs)
                queue.finish(taken.runs)
            else:
                run = generator.choice([run_id(spec) for _, several in waiting for spec in several])
                if generator.random() < 0.5:
                    finished.add(run)
                    queue.finish([run])
                else:
                    failed.add(run)
                    queue.drop([run])
            waiting = [each for each in waiting if any(run_id(spec) not in finished | failed for spec in each[1])]
            assert len(queue) == len(waiting)
        assert list(queue.runnable(0.0)) == []


def test_pack_with_a_time_runs_not_before_it_and_others_do() -> None:
    first, second = (named_pack((tiny_donor(seed=seed),)) for seed in (0, 1))
    queue = PackQueue([second], finished=set())
    queue.add(first, place=-1, not_before=10.0)
    assert list(queue.runnable(9.0)) == [second]
    assert list(queue.runnable(10.0)) == [first, second]


def test_pack_that_comes_back_keeps_its_place_before_later_ones() -> None:
    first, second = (named_pack((tiny_donor(seed=seed),)) for seed in (0, 1))
    queue = PackQueue([first, second], finished=set())
    place = queue.place(first)
    queue.take(first)
    queue.add(first, place=place)
    assert list(queue.runnable(0.0)) == [first, second]
