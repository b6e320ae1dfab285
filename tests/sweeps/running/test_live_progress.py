"""What a driver shows of its sweep while it goes on."""

from pathlib import Path
from typing import Any

import pytest

from subind.identity.run_ids import run_id
from subind.store.store import Store
from sweeps.planning.plan import Crew, accounts, packed
from sweeps.planning.run_states import total
from sweeps.running.live_progress import WAITING, LiveProgress
from sweeps.running.searcher import PackSearcher
from sweeps.watching.snapshot import Snapshot
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.records import small_failure, small_record


class Sweep:
    """Two seeds of a donor, a mask and two transfers, driven by hand."""

    def __init__(self, folder: Path) -> None:
        masks = [tiny_mask(donor=tiny_donor(seed=seed), seed=seed) for seed in (0, 1)]
        cells = [tiny_transfer(name, mask=mask) for mask in masks for name in ("subnetwork", "full_transfer")]
        self.store = Store(str(folder / "store"))
        plan = packed(accounts("tiny", cells, finished=(), failed=()), checkpoints=(), crew=Crew(num_workers=1))
        self.searcher = PackSearcher(plan, self.store)
        self.now = 0.0
        self.progress = LiveProgress(self.searcher, self.store, clock=lambda: self.now)

    def report(self, trial: str, **given: Any) -> None:
        result = {"epoch": 3, "step": 30, "num_steps": 120, "accuracies": [0.25, 0.75], "host": "here", "pid": 7}
        self.progress.take(trial, {**result, **given})

    @property
    def snapshot(self) -> Snapshot:
        return self.progress.snapshot()


def test_snapshot_says_what_happens_before_a_pack_trains(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.progress.begin("Ray is starting")
    outlooks = [sweep.snapshot.outlook]
    sweep.progress.begin("")
    outlooks.append(sweep.snapshot.outlook)
    sweep.searcher.suggest("trial")
    outlooks.append(sweep.snapshot.outlook)
    sweep.report("trial", step=0, epoch=0, accuracies=[])
    outlooks.append(sweep.snapshot.outlook)
    assert outlooks == ["Ray is starting", "packs are handed out", "workers are starting", "packs are loading"]


def test_snapshot_tells_what_a_worker_reports(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.searcher.suggest("trial")
    sweep.report("trial")
    (beat,) = sweep.snapshot.beats
    assert (beat.host, beat.process, beat.epoch, beat.step, beat.num_steps) == ("here", 7, 3, 30, 120)
    assert sweep.snapshot.accuracies == {beat.pack: (0.25, 0.75)}
    assert set(beat.runs) == {run_id(tiny_donor(seed=seed)) for seed in (0, 1)}
    assert (total(sweep.snapshot.counts, "running"), total(sweep.snapshot.counts, "missing")) == (2, 6)
    assert [(node.host, node.num_packs) for node in sweep.snapshot.nodes] == [("here", 1)]


def test_snapshot_counts_what_is_committed_and_what_has_failed(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.searcher.suggest("trial")
    sweep.report("trial")
    sweep.store.commit(tiny_donor(seed=0), small_record(tiny_donor(seed=0)), {})
    sweep.store.fail(tiny_donor(seed=1), small_failure(tiny_donor(seed=1)))
    sweep.searcher.on_trial_complete("trial")
    counts = sweep.snapshot.counts
    assert {state: total(counts, state) for state in ("finished", "failed", "blocked")} == {
        "finished": 1,
        "failed": 1,
        "blocked": 3,
    }
    assert [(each.error, each.num_runs) for each in sweep.snapshot.failure_classes] == [("RuntimeError", 1)]
    assert sweep.snapshot.nodes[0].num_finished == 1


@pytest.mark.parametrize(("seconds", "outlook"), [(1.0, "packs are handed out"), (10.0, WAITING)])
def test_snapshot_without_packs_says_that_it_waits(tmp_path: Path, seconds: float, outlook: str) -> None:
    sweep = Sweep(tmp_path)
    sweep.searcher.suggest("trial")
    assert sweep.snapshot.beats
    for seed in (0, 1):
        sweep.store.commit(tiny_donor(seed=seed), small_record(tiny_donor(seed=seed)), {})
    sweep.searcher.on_trial_complete("trial")
    sweep.now += seconds
    assert sweep.snapshot.outlook == outlook


def test_what_the_driver_does_goes_before_the_time_left(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.searcher.suggest("trial")
    sweep.progress.begin("the last runs are mirrored to MLflow")
    sweep.progress.note = "MLflow is 3 runs behind"
    assert sweep.snapshot.outlook == "the last runs are mirrored to MLflow"
    assert sweep.snapshot.note == "MLflow is 3 runs behind"
