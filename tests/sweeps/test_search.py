"""The searcher, driven by hand: what Tune would do is done here, on a real store."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from subind import spec as specs
from subind.fingerprint import run_id
from subind.spec import Spec, Transfer
from subind.store import HEARTBEAT_SECONDS, Heartbeat, Store
from sweeps import search
from sweeps.plan import Crew, Plan, accounts, packed
from sweeps.search import PackSearcher
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.records import small_failure
from tests.sweeps.fabricated import commit_fabricated


class Sweep:
    """A plan over two seeds in packs of one, its store and its searcher; `start` and `finish` are Tune's part."""

    def __init__(self, store: Store, cells: Sequence[Spec], *, pack_size: int = 1) -> None:
        self.store = store
        found = accounts("grid", cells, finished=store.finished(), failed=store.failed())
        self.plan: Plan = packed(found, checkpoints=(), crew=Crew(num_workers=1, pack_size=pack_size))
        self.searcher = PackSearcher(self.plan, store)
        self._trials = 0

    def start(self) -> tuple[str, tuple[Spec, ...]] | str | None:
        """A new trial and the specs of its pack; or what else the searcher says."""
        self._trials += 1
        trial = f"trial{self._trials}"
        config = self.searcher.suggest(trial)
        if not isinstance(config, dict):
            return config
        return trial, tuple(self.plan.runs[run] for run in config["runs"])

    def started(self) -> tuple[str, tuple[Spec, ...]]:
        """A new trial, which there must be."""
        found = self.start()
        assert isinstance(found, tuple), f"no pack is handed out but {found!r}"
        return found

    def all_started(self) -> dict[Spec, str]:
        """All trials that can start now: the first spec of each pack, and the trial."""
        found = {}
        while isinstance(one := self.start(), tuple):
            found[one[1][0]] = one[0]
        return found

    def finish(self, trial: str) -> None:
        """A worker commits the runs of the trial's pack and ends."""
        commit_fabricated(self.store, self.searcher.running[trial].specs)
        self.searcher.on_trial_complete(trial, result={})

    def die(self, trial: str) -> None:
        """A worker dies for the last time."""
        self.searcher.on_trial_complete(trial, error=True)


def _cells(seeds: Sequence[int] = (0, 1)) -> tuple[Transfer, ...]:
    return tuple(
        tiny_transfer("subnetwork", mask=tiny_mask(donor=tiny_donor(seed=seed), seed=seed), seed=seed) for seed in seeds
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def sweep(store: Store) -> Sweep:
    return Sweep(store, _cells())


@pytest.fixture(autouse=True)
def _looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SECONDS_BETWEEN_LOOKS", 0.0)


@pytest.fixture
def other_process() -> Iterator[int]:
    """A living process of another driver, as it were."""
    with subprocess.Popen(["sleep", "600"]) as child:
        yield child.pid
        child.kill()


def _beat(store: Store, several: Sequence[Spec], *, process: int, age: float = 0.0, pack: str = "elsewhere") -> None:
    heartbeat = Heartbeat(
        pack=pack,
        runs=tuple(map(run_id, several)),
        host=socket.gethostname(),
        process=process,
        epoch=1,
        step=1,
        num_steps=2,
        time=time.time() - age,
    )
    store.beat(heartbeat)


# ---- order


def test_searcher_at_the_start_hands_out_the_donors_only(sweep: Sweep) -> None:
    assert sweep.all_started().keys() == {tiny_donor(seed=0), tiny_donor(seed=1)}


def test_searcher_names_pack_and_runs_to_tune(sweep: Sweep) -> None:
    config: Any = sweep.searcher.suggest("trial")
    pack = sweep.plan.packs[0]
    assert config == {"pack": pack.name, "runs": list(pack.runs)}


def test_mask_of_a_finished_donor_is_handed_out_while_another_donor_is_running(sweep: Sweep) -> None:
    donors = sweep.all_started()
    sweep.finish(donors[tiny_donor(seed=0)])
    assert sweep.started()[1] == (specs.parents(_cells()[0])[0],)
    assert sweep.start() is None


def test_transfer_of_one_seed_is_handed_out_before_any_mask_of_the_other(sweep: Sweep) -> None:
    donors = sweep.all_started()
    sweep.finish(donors[tiny_donor(seed=1)])
    sweep.finish(sweep.started()[0])
    assert sweep.started()[1] == (_cells()[1],)


def test_searcher_waits_while_no_parents_are_finished(sweep: Sweep) -> None:
    sweep.all_started()
    assert sweep.start() is None


def test_run_without_parents_is_handed_out_at_once(store: Store) -> None:
    sweep = Sweep(store, [*_cells(), tiny_transfer("random_init")])
    assert tiny_transfer("random_init") in sweep.all_started()


def test_pack_waits_for_all_of_its_parents(store: Store) -> None:
    sweep = Sweep(store, _cells(), pack_size=2)
    trial, donors = sweep.started()
    commit_fabricated(store, donors[:1])
    assert sweep.start() is None
    sweep.finish(trial)
    assert len(sweep.started()[1]) == 2


def test_pack_is_handed_out_once(sweep: Sweep) -> None:
    started: list[Spec] = []
    while (one := sweep.start()) != Searcher.FINISHED:
        assert isinstance(one, tuple)
        started += one[1]
        sweep.finish(one[0])
    assert sorted(map(run_id, started)) == sorted(sweep.plan.runs)


def test_searcher_with_nothing_left_to_hand_out_says_finished(store: Store) -> None:
    donors = [tiny_donor(seed=0), tiny_donor(seed=1)]
    sweep = Sweep(store, donors)
    assert len(sweep.all_started()) == 2
    assert sweep.start() == Searcher.FINISHED


def test_searcher_of_a_finished_grid_says_finished(store: Store) -> None:
    commit_fabricated(store, list(Sweep(store, _cells()).plan.runs.values()))
    assert Sweep(store, _cells()).start() == Searcher.FINISHED


def test_searcher_that_is_stopped_hands_out_nothing_more(sweep: Sweep) -> None:
    searcher = PackSearcher(sweep.plan, sweep.store, is_stopped=lambda: True)
    assert searcher.suggest("trial") == Searcher.FINISHED


# ---- failures


def test_failed_pack_blocks_its_descendants_and_the_rest_goes_on(sweep: Sweep) -> None:
    donors = sweep.all_started()
    sweep.die(donors[tiny_donor(seed=0)])
    sweep.finish(donors[tiny_donor(seed=1)])
    while isinstance(one := sweep.start(), tuple):
        sweep.finish(one[0])
    lost = _cells()[0]
    ids = {stage: run_id(spec) for spec in specs.lineage(lost) for stage in [specs.stage(spec)]}
    assert one == Searcher.FINISHED
    assert sweep.searcher.failed == {ids["donor"]}
    assert sweep.searcher.blocked == {ids["mask"], ids["transfer"]}
    assert sweep.searcher.finished == sweep.plan.runs.keys() - set(ids.values())


def test_replica_that_failed_in_a_pack_that_ended_well_has_failed(store: Store) -> None:
    sweep = Sweep(store, _cells(), pack_size=2)
    trial, donors = sweep.started()
    commit_fabricated(store, donors[1:])
    sweep.searcher.on_trial_complete(trial, result={})
    assert sweep.searcher.failed == {run_id(donors[0])}
    assert sweep.started()[1] == tuple(specs.parents(_cells()[1]))


def test_pack_that_died_keeps_what_it_had_committed(store: Store) -> None:
    sweep = Sweep(store, _cells(), pack_size=2)
    trial, donors = sweep.started()
    commit_fabricated(store, donors[:1])
    sweep.die(trial)
    assert (sweep.searcher.finished, sweep.searcher.failed) == ({run_id(donors[0])}, {run_id(donors[1])})


def test_failures_of_the_plan_are_not_tried_again(store: Store) -> None:
    store.fail(tiny_donor(seed=0), small_failure(tiny_donor(seed=0)))
    assert Sweep(store, _cells()).all_started().keys() == {tiny_donor(seed=1)}


def test_what_another_driver_has_failed_is_not_tried_again(sweep: Sweep) -> None:
    sweep.store.fail(tiny_donor(seed=0), small_failure(tiny_donor(seed=0)))
    assert sweep.all_started().keys() == {tiny_donor(seed=1)}


def test_failure_that_a_running_pack_has_written_blocks_only_when_it_ends(store: Store) -> None:
    sweep = Sweep(store, _cells(), pack_size=2)
    trial, donors = sweep.started()
    store.fail(donors[0], small_failure(donors[0]))
    assert sweep.start() is None
    assert sweep.searcher.failed == set()
    commit_fabricated(store, donors[1:])
    sweep.searcher.on_trial_complete(trial, result={})
    assert sweep.searcher.failed == {run_id(donors[0])}


# ---- other drivers


def test_pack_that_another_driver_computes_is_left_alone(sweep: Sweep, other_process: int) -> None:
    _beat(sweep.store, [tiny_donor(seed=0)], process=other_process)
    assert sweep.all_started().keys() == {tiny_donor(seed=1)}


def test_pack_of_the_same_name_that_another_driver_computes_is_left_alone(sweep: Sweep, other_process: int) -> None:
    _beat(sweep.store, sweep.plan.packs[0].specs, process=other_process, pack=sweep.plan.packs[0].name)
    assert sweep.all_started().keys() == set(sweep.plan.packs[1].specs)


def test_pack_that_shares_a_run_with_another_drivers_pack_is_left_alone(store: Store, other_process: int) -> None:
    sweep = Sweep(store, _cells(), pack_size=2)
    _beat(store, [tiny_donor(seed=1), tiny_donor(seed=9)], process=other_process)
    assert sweep.start() is None


def test_pack_of_its_own_is_not_another_drivers(sweep: Sweep, other_process: int) -> None:
    trial, donors = sweep.started()
    _beat(sweep.store, donors, process=other_process, pack=sweep.searcher.running[trial].name)
    assert len(sweep.all_started()) == 1


def test_pack_that_another_driver_has_left_is_handed_out(sweep: Sweep, other_process: int) -> None:
    _beat(sweep.store, [tiny_donor(seed=0)], process=other_process)
    sweep.all_started()
    sweep.store.stop_beating("elsewhere")
    assert sweep.started()[1] == (tiny_donor(seed=0),)


def test_pack_of_a_driver_that_is_silent_for_a_minute_is_handed_out(sweep: Sweep) -> None:
    _beat(sweep.store, [tiny_donor(seed=0)], process=os.getpid(), age=7 * HEARTBEAT_SECONDS)
    assert tiny_donor(seed=0) in sweep.all_started()


def test_pack_of_a_dead_process_is_handed_out(sweep: Sweep) -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    _beat(sweep.store, [tiny_donor(seed=0)], process=child.pid)
    assert tiny_donor(seed=0) in sweep.all_started()


def test_what_another_driver_has_finished_is_dropped(sweep: Sweep) -> None:
    commit_fabricated(sweep.store, [tiny_donor(seed=0)])
    mask = specs.parents(_cells()[0])[0]
    assert sweep.all_started().keys() == {mask, tiny_donor(seed=1)}


def test_part_of_a_pack_that_another_driver_has_finished_is_dropped_from_it(store: Store) -> None:
    sweep = Sweep(store, _cells(), pack_size=2)
    commit_fabricated(store, [tiny_donor(seed=0)])
    assert sweep.started()[1] == (tiny_donor(seed=1),)


def test_searcher_that_only_waits_for_another_driver_says_so_each_time(sweep: Sweep, other_process: int) -> None:
    waited = []
    sweep.searcher.on_wait = lambda: waited.append(sweep.searcher.num_waiting())
    _beat(sweep.store, [tiny_donor(seed=0), tiny_donor(seed=1)], process=other_process)
    assert (sweep.start(), sweep.start()) == (None, None)
    assert waited == [6, 6]


def test_searcher_with_a_pack_of_its_own_under_way_does_not_wait(sweep: Sweep) -> None:
    waited = []
    sweep.searcher.on_wait = lambda: waited.append(True)
    sweep.all_started()
    assert waited == []
