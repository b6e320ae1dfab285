"""The searcher in quiet times and with failures that are final; what it does about those that are not is test_falls."""

import math
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from subind.identity.run_ids import run_id
from subind.specs.run import Run, lineage
from subind.store.store import HEARTBEAT_SECONDS, Heartbeat, Store
from sweeps.running import searcher, verdicts
from sweeps.running.searcher import PackSearcher
from tests.specs import tiny_donor, tiny_transfer
from tests.subind.records import small_failure
from tests.sweeps.fabricated import commit_fabricated
from tests.sweeps.hand_driven import Sweep, cells


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def sweep(store: Store) -> Sweep:
    return Sweep(store, cells())


@pytest.fixture(autouse=True)
def _looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searcher, "SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr(searcher, "SHARE_OF_LOOKING", math.inf)


@pytest.fixture(autouse=True)
def _gives_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "NUM_ATTEMPTS", 1)


@pytest.fixture
def other_process() -> Iterator[int]:
    """A living process of another driver, as it were."""
    with subprocess.Popen(["sleep", "600"]) as child:
        yield child.pid
        child.kill()


def _beat(store: Store, several: Sequence[Run], *, process: int, age: float = 0.0, pack: str = "elsewhere") -> None:
    heartbeat = Heartbeat(
        pack=pack,
        runs=tuple(map(run_id, several)),
        host=socket.gethostname(),
        process=process,
        epoch=1,
        step=1,
        num_steps=2,
        time=time.time(),
    )
    store.beat(heartbeat)
    path = Path(store.url) / "running" / f"{pack}.json"
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))  # a beat is as old as its file, by the clock of the file system


# ---- order


def test_searcher_at_the_start_hands_out_the_donors_only(sweep: Sweep) -> None:
    assert sweep.all_started().keys() == {tiny_donor(seed=0), tiny_donor(seed=1)}


def test_searcher_names_pack_and_runs_to_tune(sweep: Sweep) -> None:
    config: Any = sweep.searcher.suggest("trial")
    pack = sweep.plan.packs[0]
    assert config == {"pack": pack.name, "runs": list(pack.runs), "num_halvings": 0, "avoid": []}


def test_mask_of_a_finished_donor_is_handed_out_while_another_donor_is_running(sweep: Sweep) -> None:
    donors = sweep.all_started()
    sweep.finish(donors[tiny_donor(seed=0)])
    assert sweep.started()[1] == (cells()[0].parents()[0],)
    assert sweep.start() is None


def test_transfer_of_one_seed_is_handed_out_before_any_mask_of_the_other(sweep: Sweep) -> None:
    donors = sweep.all_started()
    sweep.finish(donors[tiny_donor(seed=1)])
    sweep.finish(sweep.started()[0])
    assert sweep.started()[1] == (cells()[1],)


def test_searcher_waits_while_no_parents_are_finished(sweep: Sweep) -> None:
    sweep.all_started()
    assert sweep.start() is None


def test_run_without_parents_is_handed_out_at_once(store: Store) -> None:
    sweep = Sweep(store, [*cells(), tiny_transfer("random_init")])
    assert tiny_transfer("random_init") in sweep.all_started()


def test_pack_waits_for_all_of_its_parents(store: Store) -> None:
    sweep = Sweep(store, cells(), pack_size=2)
    trial, donors = sweep.started()
    commit_fabricated(store, donors[:1])
    assert sweep.start() is None
    sweep.finish(trial)
    assert len(sweep.started()[1]) == 2


def test_pack_is_handed_out_once(sweep: Sweep) -> None:
    started: list[Run] = []
    while (one := sweep.start()) != Searcher.FINISHED:
        assert isinstance(one, tuple)
        started += one[1]
        sweep.finish(one[0])
    assert sorted(map(run_id, started)) == sorted(sweep.plan.runs)


def test_searcher_says_finished_only_when_no_pack_may_come_back(store: Store) -> None:
    sweep = Sweep(store, [tiny_donor(seed=0), tiny_donor(seed=1)])
    trials = sweep.all_started()
    assert len(trials) == 2
    for trial in trials.values():
        assert sweep.start() is None
        sweep.finish(trial)
    assert sweep.start() == Searcher.FINISHED


def test_searcher_of_a_finished_grid_says_finished(store: Store) -> None:
    commit_fabricated(store, list(Sweep(store, cells()).plan.runs.values()))
    assert Sweep(store, cells()).start() == Searcher.FINISHED


def test_searcher_that_is_stopped_hands_out_nothing_more(sweep: Sweep) -> None:
    searcher = PackSearcher(sweep.plan, sweep.store, is_stopped=lambda: True)
    assert searcher.suggest("trial") == Searcher.FINISHED


def test_searcher_tells_once_what_a_worker_notes(sweep: Sweep) -> None:
    trial, _ = sweep.started()
    for notes in ([], ["it starts over"], ["it starts over"], ["it starts over", "and again"]):
        sweep.searcher.on_trial_result(trial, {"notes": notes})
    name = sweep.searcher.running[trial].name
    assert sweep.told == [f"{name}: it starts over", f"{name}: and again"]


# ---- failures


def test_failed_pack_blocks_its_descendants_and_the_rest_goes_on(sweep: Sweep) -> None:
    donors = sweep.all_started()
    sweep.fall(donors[tiny_donor(seed=0)])
    sweep.finish(donors[tiny_donor(seed=1)])
    while isinstance(one := sweep.start(), tuple):
        sweep.finish(one[0])
    lost = cells()[0]
    ids = {stage: run_id(spec) for spec in lineage(lost) for stage in [spec.stage]}
    assert one == Searcher.FINISHED
    assert sweep.searcher.states.runs_in("failed") == {ids["donor"]}
    assert sweep.searcher.states.runs_in("blocked") == {ids["mask"], ids["transfer"]}
    assert sweep.searcher.states.runs_in("finished") == sweep.plan.runs.keys() - set(ids.values())


def test_replica_that_failed_in_a_pack_that_ended_well_has_failed(store: Store) -> None:
    sweep = Sweep(store, cells(), pack_size=2)
    trial, donors = sweep.started()
    commit_fabricated(store, donors[1:])
    sweep.searcher.on_trial_complete(trial, result={})
    assert sweep.searcher.states.runs_in("failed") == {run_id(donors[0])}
    assert sweep.started()[1] == cells()[1].parents()[:1]


def test_pack_that_died_keeps_what_it_had_committed(store: Store) -> None:
    sweep = Sweep(store, cells(), pack_size=2)
    trial, donors = sweep.started()
    commit_fabricated(store, donors[:1])
    sweep.fall(trial)
    assert (sweep.searcher.states.runs_in("finished"), sweep.searcher.states.runs_in("failed")) == (
        {run_id(donors[0])},
        {run_id(donors[1])},
    )


def test_failures_of_the_plan_are_not_tried_again(store: Store) -> None:
    store.fail(tiny_donor(seed=0), small_failure(tiny_donor(seed=0)))
    assert Sweep(store, cells()).all_started().keys() == {tiny_donor(seed=1)}


def test_what_another_driver_has_failed_is_not_tried_again(sweep: Sweep) -> None:
    sweep.store.fail(tiny_donor(seed=0), small_failure(tiny_donor(seed=0)))
    assert sweep.all_started().keys() == {tiny_donor(seed=1)}


def test_failure_that_a_running_pack_has_written_counts_at_once(store: Store) -> None:
    sweep = Sweep(store, cells(), pack_size=2)
    trial, donors = sweep.started()
    store.fail(donors[0], small_failure(donors[0]))
    assert sweep.start() is None
    assert sweep.searcher.states.runs_in("failed") == {run_id(donors[0])}
    assert len(sweep.searcher.states.runs_in("blocked")) == 2
    commit_fabricated(store, donors[1:])
    sweep.searcher.on_trial_complete(trial, result={})
    assert sweep.searcher.states.runs_in("failed") == {run_id(donors[0])}
    assert sweep.started()[1] == cells()[1].parents()[:1]


def test_run_that_is_committed_after_a_failure_frees_what_waits_for_it(store: Store) -> None:
    sweep = Sweep(store, cells(), pack_size=2)
    trial, donors = sweep.started()
    store.fail(donors[0], small_failure(donors[0]))
    assert sweep.start() is None
    commit_fabricated(store, donors)
    sweep.searcher.on_trial_complete(trial, result={})
    assert not sweep.searcher.states.runs_in("blocked", "failed")
    assert len(sweep.started()[1]) == 2


# ---- other drivers


def test_pack_that_another_driver_computes_is_left_alone(sweep: Sweep, other_process: int) -> None:
    _beat(sweep.store, [tiny_donor(seed=0)], process=other_process)
    assert sweep.all_started().keys() == {tiny_donor(seed=1)}


def test_pack_of_the_same_name_that_another_driver_computes_is_left_alone(sweep: Sweep, other_process: int) -> None:
    _beat(sweep.store, sweep.plan.packs[0].specs, process=other_process, pack=sweep.plan.packs[0].name)
    assert sweep.all_started().keys() == set(sweep.plan.packs[1].specs)


def test_pack_that_shares_a_run_with_another_drivers_pack_is_left_alone(store: Store, other_process: int) -> None:
    sweep = Sweep(store, cells(), pack_size=2)
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
    mask = cells()[0].parents()[0]
    assert sweep.all_started().keys() == {mask, tiny_donor(seed=1)}


def test_part_of_a_pack_that_another_driver_has_finished_is_dropped_from_it(store: Store) -> None:
    sweep = Sweep(store, cells(), pack_size=2)
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
