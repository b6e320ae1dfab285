"""Why runs are as they are, on stores of fabricated runs."""

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from subind.identity import run_ids as fingerprint
from subind.identity.run_ids import run_id
from subind.specs import runs as specs
from subind.specs.run import NetworkRun, Run
from subind.specs.starts import DonorStart
from subind.store.store import Checkpoint, Heartbeat, Store
from sweeps.grids import read_grid
from sweeps.hosts.workers import Workers
from sweeps.planning.plan import with_parents
from sweeps.planning.preparation import prepared
from sweeps.planning.request import Request
from sweeps.watching.checkpoint_state import STATE
from sweeps.watching.which_run import Known, folder_name, stored_runs
from sweeps.watching.why import Explainer, Explanation, Stale, num_descendants, planned_pack
from tests.specs import tiny_optimizer, tiny_transfer
from tests.subind.records import small_failure
from tests.sweeps.fabricated_grid import donor, mask, runs, store_with, transfers, written_grid

Bump = Callable[[specs.Stage, str], None]


@pytest.fixture
def bump(monkeypatch: pytest.MonkeyPatch) -> Bump:
    """Gives a stage another version, for the time of the test."""

    def bumped(stage: specs.Stage, reason: str) -> None:
        monkeypatch.setitem(fingerprint.STAGE_VERSIONS, stage, (*fingerprint.STAGE_VERSIONS[stage], reason))

    return bumped


def _known(spec: Run) -> Known:
    return Known(run=run_id(spec), stage=spec.stage, folder=folder_name(spec), grids=("tiny",), spec=spec)


def _explained(store: Store, spec: Run) -> Explanation:
    return Explainer(store).explained(_known(spec))


def _states(made: Explanation) -> list[tuple[str, str]]:
    """Stage and state of the run and of all that it descends from."""
    return [(made.stage, made.state), *(each for parent in made.parents for each in _states(parent))]


# ---- states


def test_finished_run_tells_when_where_and_what(tmp_path: Path) -> None:
    found = _explained(store_with(tmp_path, *runs(0)), transfers(0)[0]).computed
    assert found is not None
    assert (found.started, found.seconds, found.host) == ("2026-01-02T03:04:05+00:00", 6.0, "here")
    assert (found.device, found.pack_size, found.num_epochs) == ("cpu", 4, 3)
    assert found.measurements == pytest.approx({"test_accuracy": 0.204, "best_epoch": 3.0})


def test_missing_run_tells_the_states_of_all_it_descends_from(tmp_path: Path) -> None:
    made = _explained(store_with(tmp_path, donor(0)), transfers(0)[0])
    assert _states(made) == [("transfer", "planned"), ("mask", "planned"), ("donor", "finished")]


def test_failed_run_tells_its_failure_and_where_it_stands(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(0), small_failure(donor(0)))
    made = _explained(store, donor(0))
    assert (made.state, made.failure) == ("failed", small_failure(donor(0)))
    assert Path(made.traceback_path).is_file()


def test_blocked_run_names_the_ancestor_that_failed(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(0), small_failure(donor(0)))
    made = _explained(store, transfers(0)[0])
    assert _states(made) == [("transfer", "blocked"), ("mask", "blocked"), ("donor", "failed")]
    assert made.blocked_by == made.parents[0].blocked_by == run_id(donor(0))


def test_running_run_tells_its_worker(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    beat = Heartbeat(
        pack="under-way",
        runs=(run_id(donor(0)), run_id(donor(1))),
        host=socket.gethostname(),
        process=os.getpid(),
        epoch=1,
        step=3,
        num_steps=9,
        time=time.time(),
    )
    store.beat(beat)
    made = _explained(store, donor(0))
    assert (made.state, made.worker and made.worker.process, made.worker and made.worker.step) == (
        "running",
        os.getpid(),
        3,
    )
    assert made.seconds_silent is not None
    assert 0 <= made.seconds_silent < 60


def test_run_in_a_checkpoint_tells_how_far_that_is(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    state = torch.frombuffer(bytearray(b'{"epoch": 2, "step": 5}'), dtype=torch.uint8)
    checkpoint = Checkpoint(pack="under-way", runs=(run_id(donor(0)),))
    store.save_checkpoint(checkpoint, save({"zeros": torch.zeros(9), STATE: state}))
    found = _explained(store, donor(0)).checkpoint
    assert found is not None
    assert (found.pack, found.epoch, found.step) == ("under-way", 2, 5)
    assert _explained(store, donor(1)).checkpoint is None


# ---- what the store has instead


def test_stale_run_names_the_old_one_and_the_reason(tmp_path: Path, bump: Bump) -> None:
    store, before = store_with(tmp_path, *runs(0)), run_id(transfers(0)[0])
    bump("mask", "ties are broken the other way")
    made = _explained(store, transfers(0)[0])
    assert made.state == "stale"
    assert made.stale is not None
    assert (made.stale.run, made.stale.reason) == (before, "mask: ties are broken the other way")
    assert [parent.state for parent in made.parents[0].parents] == ["finished"]


def test_old_run_says_what_it_is_now(tmp_path: Path, bump: Bump) -> None:
    store, before = store_with(tmp_path, *runs(0)), _known(mask(0))
    bump("mask", "ties are broken the other way")
    made = Explainer(store).explained(before)
    assert (made.run, made.state) == (before.run, "finished")
    assert made.stale is not None
    assert (made.stale.by_current, made.stale.reason) == (run_id(mask(0)), "mask: ties are broken the other way")
    assert made.stale.by_current != before.run


def test_old_run_of_a_users_class_says_which_version_that_was(tmp_path: Path) -> None:
    store, before = store_with(tmp_path, _recipient(1)), _known(_recipient(1))
    made = Explainer(store).explained(replace(before, spec=_recipient(2)))
    reason = f"{__name__}:Mine is of version 2 and was of 1"
    assert made.stale == Stale(run=before.run, reason=reason, by_current=run_id(_recipient(2)))


def _recipient(version: int) -> specs.Transfer:
    """A run with a start of a class of that version."""

    @dataclass(frozen=True, kw_only=True)
    class Mine(DonorStart):
        donor: NetworkRun

    Mine.__qualname__ = "Mine"
    Mine.version = version
    return replace(tiny_transfer(), start=Mine(donor=donor(0)))


def test_run_whose_field_has_moved_is_compared_with_the_finished_one(tmp_path: Path) -> None:
    store = store_with(tmp_path, *runs(0))
    moved = replace(donor(0), optimizer=tiny_optimizer(learning_rate=5e-4))
    found = _explained(store, moved).similar
    assert found is not None
    assert found.run == run_id(donor(0))
    assert [(each.field, each.there, each.here) for each in found.differences] == [
        ("optimizer.learning_rate", "0.001", "0.0005")
    ]


def test_nearest_of_several_runs_is_compared(tmp_path: Path) -> None:
    far = replace(donor(0), batch_size=4, num_epochs=7)
    near = replace(donor(0), batch_size=4)
    store = store_with(tmp_path, far, near)
    found = _explained(store, donor(0)).similar
    assert found is not None
    assert (found.run, [each.field for each in found.differences]) == (run_id(near), ["batch_size"])


def test_finished_run_is_compared_with_none(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0), replace(donor(0), batch_size=4))
    assert _explained(store, donor(0)).similar is None


def test_run_without_a_record_or_a_grid_tells_what_its_folder_has(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(0), small_failure(donor(0)))
    made = Explainer(store).explained(stored_runs(store)[run_id(donor(0))])
    assert (made.state, made.failure) == ("failed", small_failure(donor(0)))
    assert made.note


# ---- the plan


def test_descendants_are_all_runs_below(tmp_path: Path) -> None:
    planned = with_parents([*transfers(0), *transfers(1)])
    assert [num_descendants(planned, run_id(spec)) for spec in (donor(0), mask(0), transfers(0)[0])] == [3, 2, 0]


def test_planned_pack_is_the_one_that_holds_the_run(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    request = Request(grid=read_grid(written_grid(tmp_path)), where=(), store=store.url)
    made = prepared(request, store, Workers(device="cpu", num_workers=1))
    found = planned_pack(run_id(mask(0)), made)
    assert found is not None
    pack = next(pack for pack in made.plan.packs if pack.name == found.pack)
    assert run_id(mask(0)) in pack.runs
    assert (found.place, found.num_runs) == (made.plan.packs.index(pack) + 1, len(pack.runs))
    assert 0 < found.starts < found.ends <= made.plan.schedule.makespan


def test_finished_run_is_in_no_planned_pack(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    request = Request(grid=read_grid(written_grid(tmp_path)), where=(), store=store.url)
    assert planned_pack(run_id(donor(0)), prepared(request, store, Workers(device="cpu", num_workers=1))) is None


def test_explanation_as_json_data_has_only_json(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    store.fail(mask(0), small_failure(mask(0)))
    data = json.loads(json.dumps(_explained(store, transfers(0)[0]).data()))
    assert data["parents"][0]["failure"]["error"] == "RuntimeError"
    assert data["parents"][0]["parents"][0]["computed"]["host"] == "here"


def test_record_that_cannot_be_read_is_not_compared(tmp_path: Path) -> None:
    store = store_with(tmp_path, replace(donor(0), batch_size=4))
    Path(store.folder(replace(donor(0), batch_size=4)), "record.json").write_text("{")
    assert _explained(store, donor(0)).similar is None
