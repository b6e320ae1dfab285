"""Trials in Optuna's storage and the feed of packs; a test plays the workers."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from subind.identity.run_ids import run_id
from subind.specs.runs import Discover
from subind.store.store import Checkpoint, Store
from sweeps.grids.studies import Range
from sweeps.mirror.experiment import Content
from sweeps.planning.plan import Pack
from sweeps.tuning import trial_feed as feeding
from sweeps.tuning import trials as trialling
from sweeps.tuning.objective import Floor
from sweeps.tuning.trial_feed import TrialFeed
from sweeps.tuning.trials import Trials
from tests.specs import tiny_mask
from tests.subind.records import small_failure
from tests.sweeps.studies import commit_made_up, made_up_record, small_study, small_trials, stopped


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def _looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "SECONDS_BETWEEN_LOOKS", 0.0)


def small_feed(trials: Trials, store: Store, *, num_trials: int = 10, batch: int = 4, most: int = 100) -> TrialFeed:
    return TrialFeed([trials], store, num_trials=num_trials, batch=batch, most_replicas=lambda _mask: most, stops=True)


def packs(feed: TrialFeed, store: Store) -> Iterator[Pack]:
    """All packs that the feed gives; each is trained before the next is asked for."""
    while several := feed.more():
        for pack in several:
            commit_made_up(store, [spec for spec in pack.specs if isinstance(spec, Discover)])
            yield pack


def states(trials: Trials) -> list[TrialState]:
    return [each.state for each in trials.study.get_trials()]


def touched(folder: Path, act: Callable[[], object]) -> list[str]:
    """The paths below a folder that are opened or listed while something is done."""
    found, is_on = [], True

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if is_on and event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(f"{folder}/"):
            found.append(str(arguments[0]))

    sys.addaudithook(note)
    act()
    is_on = False
    return found


# ---- asking


def test_study_is_asked_in_batches_until_it_has_its_trials(tmp_path: Path, store: Store) -> None:
    trials = small_trials(tmp_path)
    feed = small_feed(trials, store)
    assert [len(pack.specs) for pack in packs(feed, store)] == [4, 4, 2]
    assert feed.more() is None
    assert states(trials) == [TrialState.COMPLETE] * 10


def test_feed_says_how_many_of_its_trials_are_over(tmp_path: Path, store: Store) -> None:
    feed = small_feed(small_trials(tmp_path), store)
    notes = [feed.note for _ in packs(feed, store)]
    assert notes == [f"{over} of 10 trials are over" for over in (0, 4, 8)]


def test_pack_of_a_feed_is_no_larger_than_memory_allows(tmp_path: Path, store: Store) -> None:
    feed = small_feed(small_trials(tmp_path), store, most=3)
    assert [len(pack.specs) for pack in packs(feed, store)] == [3, 3, 3, 1]


def test_asked_trials_differ_and_lie_in_their_ranges(tmp_path: Path, store: Store) -> None:
    trials = small_trials(tmp_path)
    masks = [spec for pack in packs(small_feed(trials, store), store) for spec in pack.specs]
    definition = small_study()
    assert len({run_id(mask) for mask in masks}) == 10
    for mask in masks:
        assert isinstance(mask, Discover)
        assert definition.penalty.low <= mask.method.searched()["penalty"] <= definition.penalty.high
        assert definition.num_epochs.low <= mask.num_epochs <= definition.num_epochs.high
        assert replace(mask, seed=0, donor=mask.donor).validation == definition.base.validation


def test_study_that_is_resumed_at_every_batch_asks_the_same_trials(tmp_path: Path, store: Store) -> None:
    (tmp_path / "other").mkdir()
    whole = [pack.runs for pack in packs(small_feed(small_trials(tmp_path), store), store)]
    other, resumed = Store(str(tmp_path / "other" / "store")), []
    for num_trials in (4, 8, 10):
        feed = small_feed(small_trials(tmp_path / "other"), other, num_trials=num_trials)
        resumed += [pack.runs for pack in packs(feed, other)]
    assert resumed == whole


def test_trial_whose_run_the_store_holds_is_told_and_not_trained(tmp_path: Path, store: Store) -> None:
    first = small_trials(tmp_path)
    list(packs(small_feed(first, store), store))
    (tmp_path / "new").mkdir()
    again = small_trials(tmp_path / "new")
    assert small_feed(again, store).more() is None
    assert [each.values for each in again.study.get_trials()] == [each.values for each in first.study.get_trials()]


def test_feed_that_waits_looks_at_no_run_but_its_own(tmp_path: Path, store: Store) -> None:
    commit_made_up(store, [tiny_mask(seed=seed) for seed in range(3)])
    feed = small_feed(small_trials(tmp_path), store, num_trials=4)
    (pack,) = feed.more() or ()
    paths = touched(Path(store.url), feed.settle)
    assert paths
    assert [path for path in paths if not any(run in path for run in pack.runs)] == []


def test_study_says_every_argument_of_its_sampler(tmp_path: Path) -> None:
    said = small_trials(tmp_path).study.user_attrs["sampler"]
    arguments = set(optuna.samplers.TPESampler.__init__.__kwdefaults__ or {})
    assert arguments - {"seed", "constraints_func"} <= set(said)


def test_trial_says_its_run_and_the_seed_of_its_sampler(tmp_path: Path) -> None:
    trials = small_trials(tmp_path)
    asked = [trials.ask(), trials.ask()]
    attributes = [trials.attributes(each) for each in asked]
    assert [each["run_id"] for each in attributes] == [run_id(each.mask) for each in asked]
    assert attributes[0]["sampler_seed"] != attributes[1]["sampler_seed"]


def test_study_of_another_definition_under_the_same_name_is_refused(tmp_path: Path) -> None:
    small_trials(tmp_path)
    other = small_study(penalty=Range(low=1e-9, high=1e-8, scale="log"))
    with pytest.raises(ValueError, match="'small' of this storage has another definition: give another --name"):
        small_trials(tmp_path, study=other)


# ---- telling


def test_front_study_is_told_accuracy_and_density_and_keeps_the_gap(tmp_path: Path, store: Store) -> None:
    trials = small_trials(tmp_path)
    list(packs(small_feed(trials, store, num_trials=3), store))
    for each, trial in zip(trials.study.get_trials(), trials.completed(), strict=True):
        measured = made_up_record(trial.mask).measurements
        assert each.values == [measured["tuning_accuracy"], measured["density"]]
        assert each.user_attrs["soft_hard_gap"] == measured["soft_hard_gap"]


def test_floor_study_takes_the_smallest_mask_that_reaches_the_floor(tmp_path: Path, store: Store) -> None:
    trials = small_trials(tmp_path, objective=Floor(accuracy=0.9))
    list(packs(small_feed(trials, store), store))
    records = [made_up_record(trial.mask).measurements for trial in trials.completed()]
    feasible = [each["density"] for each in records if each["tuning_accuracy"] >= 0.9]
    assert 0 < len(feasible) < len(records)
    assert trials.study.best_trial.value == min(feasible)


def test_trial_that_failed_is_failed_with_its_message_and_the_rest_goes_on(tmp_path: Path, store: Store) -> None:
    trials = small_trials(tmp_path)
    feed = small_feed(trials, store, num_trials=8)
    (first,) = feed.more() or ()
    bad, *others = first.specs
    store.fail(bad, small_failure(bad, error="RunFailed", message="train_loss not finite in epoch 1"))
    commit_made_up(store, [spec for spec in others if isinstance(spec, Discover)])
    assert len(list(packs(feed, store))) == 1
    failed = trials.study.get_trials(states=(TrialState.FAIL,))
    assert [each.user_attrs["run_id"] for each in failed] == [run_id(bad)]
    assert failed[0].user_attrs["message"] == "RunFailed: train_loss not finite in epoch 1"


def test_trial_that_was_stopped_is_pruned_and_leaves_no_failed_run(tmp_path: Path, store: Store) -> None:
    trials = small_trials(tmp_path)
    feed = small_feed(trials, store, num_trials=4)
    (pack,) = feed.more() or ()
    slow = pack.specs[0]
    assert isinstance(slow, Discover)
    store.fail(slow, stopped(slow))
    commit_made_up(store, [spec for spec in pack.specs[1:] if isinstance(spec, Discover)])
    assert feed.more() is None
    assert states(trials).count(TrialState.PRUNED) == 1
    assert store.failed() == frozenset()
    assert feed.stopped == {run_id(slow)}


def test_packs_after_enough_finished_trials_carry_the_rungs_of_their_medians(tmp_path: Path, store: Store) -> None:
    feed = small_feed(small_trials(tmp_path), store, num_trials=16, batch=8)
    (first,) = feed.more() or ()
    assert feed.config(first)["rungs"] == []
    commit_made_up(store, [spec for spec in first.specs if isinstance(spec, Discover)])
    (second,) = feed.more() or ()
    assert [each["share"] for each in feed.config(second)["rungs"]] == [0.5, 0.75]
    assert set(feed.config(second)["specs"]) == set(second.runs)


# ---- dead drivers

ASKS = """
import sys
from pathlib import Path
from tests.sweeps.studies import small_trials
trials = small_trials(Path(sys.argv[1]))
asked = [trials.ask() for _ in range(3)]
print("asked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A driver that has asked for three trials and lives."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    child = subprocess.Popen(
        [sys.executable, "-c", ASKS, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "asked\n"
    yield child
    child.kill()
    child.communicate()


def test_trials_of_a_driver_that_lives_are_left_to_it(
    tmp_path: Path, store: Store, asking: subprocess.Popen[str]
) -> None:
    trials = small_trials(tmp_path)
    assert asking.poll() is None
    assert [len(pack.specs) for pack in packs(small_feed(trials, store), store)] == [4, 3]
    assert states(trials).count(TrialState.RUNNING) == 3


def test_trials_of_a_driver_that_was_killed_are_trained_first_under_their_numbers(
    tmp_path: Path, store: Store, asking: subprocess.Popen[str]
) -> None:
    asking.kill()
    asking.communicate()
    trials = small_trials(tmp_path)
    asked = [each.user_attrs["run_id"] for each in trials.study.get_trials()]
    found = [set(pack.runs) for pack in packs(small_feed(trials, store), store)]
    assert found[0] == set(asked)
    assert [each.number for each in trials.completed()] == list(range(10))
    assert [each.user_attrs["run_id"] for each in trials.study.get_trials()][:3] == asked


def test_run_that_a_killed_driver_left_finished_is_told_and_not_trained(
    tmp_path: Path, store: Store, asking: subprocess.Popen[str]
) -> None:
    asking.kill()
    asking.communicate()
    trials = small_trials(tmp_path)
    first = trials.definition.mask(trials.study.get_trials()[0].params)
    commit_made_up(store, [first])
    found = [pack.runs for pack in packs(small_feed(trials, store), store)]
    assert len(found[0]) == 2
    assert run_id(first) not in {run for runs in found for run in runs}


def test_pack_that_a_killed_driver_had_checkpointed_comes_back_as_it_was(
    tmp_path: Path, store: Store, asking: subprocess.Popen[str]
) -> None:
    asking.kill()
    asking.communicate()
    trials = small_trials(tmp_path)
    runs = [each.user_attrs["run_id"] for each in trials.study.get_trials()]
    store.save_checkpoint(Checkpoint(pack="mask-before", runs=(runs[2], runs[0])), b"state")
    several = small_feed(trials, store).more() or ()
    assert (several[0].name, several[0].runs) == ("mask-before", (runs[2], runs[0]))
    assert several[1].runs == (runs[1],)


def test_trial_of_a_silent_driver_elsewhere_is_adopted_after_its_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = small_trials(tmp_path)
    asked = trials.ask()
    elsewhere = {"host": "another-host", "process": 1, "started": 0.0}
    trials.storage.set_trial_user_attr(asked.trial_id, "driver", elsewhere)
    assert trials.adopt() == []
    monkeypatch.setattr(trials.storage, "grace_period", -1)
    assert trials.adopt() == [asked]


def test_trial_whose_driver_died_while_it_asked_is_failed_with_a_message(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = small_trials(tmp_path)
    trials.study.ask()
    monkeypatch.setattr(trialling, "GRACE_SECONDS", -1)
    assert small_feed(trials, store).more()
    (failed,) = trials.study.get_trials(states=(TrialState.FAIL,))
    assert failed.user_attrs["message"] == "the driver died while it asked for this trial"


# ---- what is shown


def test_mirror_names_a_run_by_the_number_that_optuna_gives_its_trial(tmp_path: Path, store: Store) -> None:
    trials = small_trials(tmp_path)
    feed = small_feed(trials, store, num_trials=4)
    list(packs(feed, store))
    for number, each in enumerate(trials.study.get_trials()):
        given = content(each.user_attrs["run_id"])
        found = feed.labelled(given)
        assert found.name == f"trial-{number:03d}"
        assert found.run_id == given.run_id
        assert found.tags == {"kept": "tag", "optuna.study": "small", "optuna.trial": str(number)}


def test_mirror_leaves_a_run_that_is_no_trial_as_it_is(tmp_path: Path, store: Store) -> None:
    assert small_feed(small_trials(tmp_path), store).labelled(content("other")) == content("other")


def content(run: str) -> Content:
    return Content(
        run_id=run, name="mask", started=0, ended=1, params={}, tags={"kept": "tag"}, points=(), artifacts={}
    )


def test_feed_that_is_alive_beats_for_its_trials(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "HEARTBEAT_SECONDS", 0.01)
    feed = small_feed(small_trials(tmp_path), store)
    assert feed.more()
    with closing(sqlite3.connect(tmp_path / "optuna.db", timeout=30)) as database:
        database.execute("DELETE FROM trial_heartbeats")
        database.commit()
        with feed.alive():
            until = time.monotonic() + 60
            while time.monotonic() < until and len(_beating(database)) < 4:
                database.rollback()
        assert len(_beating(database)) == 4


def _beating(database: sqlite3.Connection) -> list[tuple[int]]:
    return database.execute("SELECT trial_id FROM trial_heartbeats").fetchall()


def test_feed_whose_database_is_gone_says_so(tmp_path: Path, store: Store) -> None:
    feed = small_feed(small_trials(tmp_path), store)
    with closing(sqlite3.connect(tmp_path / "optuna.db")) as database:
        database.execute("DROP TABLE trial_params")
        database.commit()
    with pytest.raises(OSError, match=r"the studies' database does not answer .*: the same command goes on"):
        feed.more()
