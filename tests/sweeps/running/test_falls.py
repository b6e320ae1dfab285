"""What the searcher does about packs that fall: which are tried again, which are halved, and which are given up."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from subind.identity.run_ids import run_id
from subind.store.store import Store
from sweeps.costs.memory import bytes_per_replica
from sweeps.running import searcher, verdicts
from sweeps.running.verdicts import NUM_LOSSES, NUM_STORE_FAILURES, Kind
from tests.small_disk import small_disk
from tests.specs import tiny_donor, tiny_model
from tests.sweeps.fabricated import commit_fabricated
from tests.sweeps.hand_driven import Sweep, cells


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def _looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searcher, "SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr(searcher, "SHARE_OF_LOOKING", math.inf)


@pytest.fixture
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "LONGEST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(verdicts, "LONGEST_WAIT_FOR_ROOM", 0.0)


def _donors(number: int) -> list[Any]:
    return [tiny_donor(seed=seed) for seed in range(number)]


def _falls(sweep: Sweep, kinds: Sequence[Kind]) -> None:
    """The only pack that can run is started and falls, once for each kind."""
    for kind in kinds:
        sweep.fall(sweep.started()[0], kind)


# ---- what counts


def test_pack_that_raised_once_is_tried_again(store: Store) -> None:
    sweep = Sweep(store, _donors(1))
    _falls(sweep, ["exception"])
    assert sweep.searcher.states.runs_in("failed") == set()
    assert sweep.started()[1] == (tiny_donor(seed=0),)


@pytest.mark.parametrize(
    "kinds", [("exception", "exception"), ("worker died", "worker died"), ("worker died", "exception")]
)
def test_pack_that_falls_twice_without_getting_on_is_given_up(store: Store, kinds: tuple[Kind, Kind]) -> None:
    sweep = Sweep(store, _donors(1))
    _falls(sweep, kinds)
    assert sweep.searcher.states.runs_in("failed") == {run_id(tiny_donor(seed=0))}
    assert sweep.start() == Searcher.FINISHED


def test_failure_of_a_pack_given_up_tells_class_message_host_pack_and_attempts(store: Store) -> None:
    sweep = Sweep(store, _donors(2), pack_size=2)
    _falls(sweep, ["exception", "exception"])
    found = store.failure(tiny_donor(seed=1))
    assert (found.error, found.message, found.traceback) == ("SomeError", "it fell", "a traceback")
    assert (found.host, found.attempts) == ("there", 2)
    assert found.pack == tuple(run_id(each) for each in _donors(2))


def test_pack_under_retry_is_not_failed_in_the_store(store: Store) -> None:
    _falls(Sweep(store, _donors(1)), ["exception"])
    assert store.failed() == frozenset()


def test_pack_that_saved_a_checkpoint_since_begins_to_count_anew(store: Store) -> None:
    sweep = Sweep(store, _donors(1))
    for _ in range(3):
        trial, _donor = sweep.started()
        sweep.searcher.on_trial_result(trial, {"num_saved": 1})
        sweep.fall(trial, "worker died")
    assert sweep.searcher.states.runs_in("failed") == set()
    sweep.fall(sweep.started()[0], "worker died")
    assert sweep.searcher.states.runs_in("failed") == {run_id(tiny_donor(seed=0))}
    assert store.failure(tiny_donor(seed=0)).attempts == 4


def test_pack_that_committed_a_run_since_begins_to_count_anew_with_the_rest(store: Store) -> None:
    sweep = Sweep(store, _donors(2), pack_size=2)
    _falls(sweep, ["worker died"])
    trial, donors = sweep.started()
    commit_fabricated(store, donors[:1])
    sweep.fall(trial, "worker died")
    assert sweep.searcher.states.runs_in("finished") == {run_id(donors[0])}
    assert sweep.started()[1] == donors[1:]


# ---- what does not


@pytest.mark.usefixtures("_without_pauses")
@pytest.mark.parametrize(("kind", "most"), [("node lost", NUM_LOSSES), ("store failed", NUM_STORE_FAILURES)])
def test_lost_nodes_and_store_failures_are_borne_up_to_a_bound(store: Store, kind: Kind, most: int) -> None:
    sweep = Sweep(store, _donors(1))
    _falls(sweep, [kind] * (most - 1))
    assert sweep.searcher.states.runs_in("failed") == set()
    _falls(sweep, [kind])
    assert sweep.searcher.states.runs_in("failed") == {run_id(tiny_donor(seed=0))}


@pytest.mark.usefixtures("_without_pauses")
def test_full_disk_is_waited_for_however_often_it_fails_a_pack(store: Store) -> None:
    sweep = Sweep(store, _donors(1))
    _falls(sweep, ["disk full"] * 3 * NUM_STORE_FAILURES)
    assert sweep.searcher.states.runs_in("failed") == set()
    assert sweep.started()[1] == (tiny_donor(seed=0),)


@pytest.mark.usefixtures("_without_pauses")
def test_lost_nodes_do_not_count_against_the_attempts(store: Store) -> None:
    sweep = Sweep(store, _donors(1))
    _falls(sweep, ["node lost", "node lost", "exception", "node lost"])
    assert sweep.searcher.states.runs_in("failed") == set()


def test_pack_that_lost_its_node_pauses_while_others_go_on(store: Store) -> None:
    sweep = Sweep(store, _donors(2))
    trial, first = sweep.started()
    sweep.fall(trial, "node lost")
    assert sweep.started()[1] != first
    assert sweep.start() is None


@pytest.mark.usefixtures("_without_pauses")
def test_worker_whose_node_has_died_since_counts_as_lost_with_it(store: Store) -> None:
    nodes = {"a", "b"}
    sweep = Sweep(store, _donors(1), nodes=nodes)
    sweep.fall(sweep.started()[0], "worker died", node="a")
    nodes.discard("a")
    sweep.fall(sweep.started()[0], "worker died", node="b")
    assert sweep.searcher.states.runs_in("failed") == set()


def test_descendants_wait_while_a_pack_may_come_back(store: Store) -> None:
    sweep = Sweep(store, cells((0,)))
    _falls(sweep, ["exception"])
    assert sweep.searcher.states.runs_in("blocked") == set()
    sweep.finish(sweep.started()[0])
    assert len(sweep.started()[1]) == 1


def test_sweep_that_is_told_to_stop_gives_up_nothing(store: Store) -> None:
    sweep = Sweep(store, _donors(1))
    _falls(sweep, ["worker died"])
    assert store.failed() == frozenset()
    assert sweep.searcher.num_waiting() == 1


# ---- memory


def test_pack_without_enough_memory_is_tried_in_halves(store: Store) -> None:
    sweep = Sweep(store, _donors(5), pack_size=5)
    _falls(sweep, ["out of memory"])
    halves = list(sweep.all_started())
    sizes = sorted(len(pack.specs) for pack in sweep.searcher.running.values())
    assert (len(halves), sizes) == (2, [2, 3])
    assert {run for pack in sweep.searcher.running.values() for run in pack.runs} == set(sweep.plan.runs)


def test_halves_are_told_how_often_they_were_halved(store: Store) -> None:
    sweep = Sweep(store, _donors(4), pack_size=4)
    _falls(sweep, ["out of memory", "out of memory"])
    config: Any = sweep.searcher.suggest("next")
    told = [config["num_halvings"]]
    while isinstance(config := sweep.searcher.suggest(f"next{len(told)}"), dict):
        told.append(config["num_halvings"])
    assert sorted(told) == [2, 2, 2, 2]


def test_halving_goes_down_to_single_runs_and_gives_up_what_does_not_fit_alone(store: Store) -> None:
    sweep = Sweep(store, _donors(2), pack_size=2)
    _falls(sweep, ["out of memory"] * 5)
    assert sweep.searcher.states.runs_in("failed") == set(sweep.plan.runs)
    assert sweep.start() == Searcher.FINISHED


def test_what_was_committed_before_the_memory_gave_out_is_not_run_again(store: Store) -> None:
    sweep = Sweep(store, _donors(4), pack_size=4)
    trial, donors = sweep.started()
    commit_fabricated(store, donors[:2])
    sweep.fall(trial, "out of memory")
    assert {spec for pack in sweep.all_started() for spec in [pack]} == set(donors[2:])


def test_waiting_packs_that_need_as_much_memory_are_cut_before_they_start(store: Store) -> None:
    wide = [tiny_donor(seed=seed, model=tiny_model(d_model=32)) for seed in range(4)]
    sweep = Sweep(store, [*_donors(1), *wide[:2], *wide[2:]], pack_size=2)
    trials = {}
    while isinstance(one := sweep.start(), tuple) and len(one[1]) == 1:
        trials[one[0]] = one[1]
    assert isinstance(one, tuple)
    sweep.fall(one[0], "out of memory")
    sweep.all_started()
    largest = max(len(pack.specs) * bytes_per_replica(pack.specs[0]) for pack in sweep.searcher.running.values())
    assert largest < 2 * bytes_per_replica(wide[0])
    assert {run for pack in sweep.searcher.running.values() for run in pack.runs} == set(sweep.plan.runs)


# ---- nodes


def test_pack_avoids_the_node_that_failed_it_last(store: Store) -> None:
    sweep = Sweep(store, _donors(1), nodes={"a", "b"})
    sweep.fall(sweep.started()[0], "exception", node="a")
    config: Any = sweep.searcher.suggest("next")
    assert config["avoid"] == ["a"]


def test_only_node_is_not_avoided(store: Store) -> None:
    sweep = Sweep(store, _donors(1), nodes={"a"})
    sweep.fall(sweep.started()[0], "exception", node="a")
    config: Any = sweep.searcher.suggest("next")
    assert config["avoid"] == []


def test_node_that_fails_whatever_comes_is_avoided_by_all(store: Store) -> None:
    sweep = Sweep(store, _donors(3), nodes={"a", "b"})
    trials = [sweep.started()[0] for _ in range(2)]
    for trial in trials:
        sweep.fall(trial, "store failed", node="a")
    config: Any = sweep.searcher.suggest("next")
    assert config["runs"] == [run_id(tiny_donor(seed=2))]
    assert config["avoid"] == ["a"]


def test_node_that_finished_a_pack_between_is_not_avoided_by_all(store: Store) -> None:
    sweep = Sweep(store, _donors(4), nodes={"a", "b"})
    trials = [sweep.started()[0] for _ in range(3)]
    sweep.fall(trials[0], "store failed", node="a")
    sweep.searcher.on_trial_result(trials[1], {"node": "a", "host": "there"})
    sweep.finish(trials[1])
    sweep.fall(trials[2], "store failed", node="a")
    config: Any = sweep.searcher.suggest("next")
    assert config["avoid"] == []


# ---- what is told


def test_fall_is_told_in_a_line(store: Store) -> None:
    sweep = Sweep(store, _donors(2), pack_size=2)
    name = sweep.plan.packs[0].name
    _falls(sweep, ["out of memory"])
    assert sweep.told == [f"{name}: out of memory with 2 runs; it is tried again in halves"]


def test_failure_that_the_disk_has_no_room_for_is_written_when_there_is_some(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        sweep = Sweep(Store(str(disk.path / "store")), _donors(1))
        disk.fill()
        _falls(sweep, ["exception", "exception"])
        assert sweep.searcher.states.runs_in("failed") == {run_id(tiny_donor(seed=0))}
        assert sweep.start() is None
        assert sum("cannot be written" in each for each in sweep.told) == 1
        disk.make_room()
        sweep.searcher._next_writing = 0.0
        assert sweep.start() == Searcher.FINISHED
        assert sweep.store.failure(tiny_donor(seed=0)).error == "SomeError"
