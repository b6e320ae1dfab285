"""What the commands do, on fabricated stores: plans, forecasts, states, room on the disk."""

import os
import shutil
import socket
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.store import Heartbeat, Store
from sweeps.costs.cost_model import cpu_model
from sweeps.grids import read_grid
from sweeps.hosts.workers import Workers
from sweeps.planning.forecast import forecast
from sweeps.planning.plan import Plan
from sweeps.planning.preparation import Prepared
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import check_store, opened_store
from sweeps.store_care.retry import retry_failed, retry_failed_of_class
from sweeps.watching.picture import status_data
from tests.subind.records import small_failure
from tests.sweeps.fabricated_grid import NUM_RUNS, donor, ids, mask, runs, store_with, transfers, written_grid

WORKERS = Workers(device="cpu", num_workers=2)

DiskUsage = namedtuple("DiskUsage", ["total", "used", "free"])


def _planned(folder: Path, store: Store, *where: str) -> Plan:
    request = Request(grid=read_grid(written_grid(folder)), where=where, store=store.url)
    return accounted(request, store)


def _beat(store: Store, *several: Run) -> None:
    heartbeat = Heartbeat(
        pack="under-way",
        runs=tuple(map(run_id, several)),
        host=socket.gethostname(),
        process=os.getpid(),
        epoch=1,
        step=3,
        num_steps=9,
        time=time.time(),
    )
    store.beat(heartbeat)


# ---- plan


def test_plan_of_a_users_grid_file_is_named_after_the_file(tmp_path: Path) -> None:
    found = _planned(tmp_path, store_with(tmp_path))
    assert found.grid == "tiny"
    assert len(found.runs) == sum(NUM_RUNS.values())


def test_plan_of_a_part_has_the_parents_of_that_part_only(tmp_path: Path) -> None:
    found = _planned(tmp_path, store_with(tmp_path), "seed=1", "control=subnetwork")
    expected = ids([donor(1), mask(1), *(each for each in transfers(1) if each.start != transfers(1)[1].start)])
    assert set(found.runs) == expected


def test_plan_data_count_runs_and_stages_and_hold_the_forecast(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    store.fail(donor(1), small_failure(donor(1)))
    found = _planned(tmp_path, store)
    times = forecast(found, cpu_model(), num_workers=2, sharing=1, slowness=1.0)
    data = Prepared(plan=found, workers=WORKERS, forecast=times).data()
    expected = {
        "grid": "tiny",
        "cells": 12,
        "finished": 1,
        "failed": 1,
        "blocked": 3,
        "missing": 7,
        "stale": 0,
        "damaged": {},
        "packs": 0,
        "stages": NUM_RUNS,
        "kept": 0,
        "kept_bytes": 0,
        "unkept": 0,
        "forecast_seconds": 0.0,
        "forecast": times.data(),
    }
    assert data == expected


def test_opened_store_is_the_folder_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert opened_store("here").url == str(tmp_path / "here")


def test_opened_store_may_be_a_url() -> None:
    assert opened_store("memory://sweep").url == "memory://sweep"


def test_name_of_a_part_tells_grid_and_conditions_without_signs_of_the_shell() -> None:
    request = Request(
        grid=replace(read_grid("quickstart"), name="grids/tiny.py"), where=("seed < 2", "num_layers!=4"), store="store"
    )
    assert request.name == "tiny-seed_below_2-num_layers_not_4"


def test_name_of_a_whole_grid_is_the_grids() -> None:
    assert Request(grid=read_grid("paper-arithmetic"), where=(), store="store").name == "paper-arithmetic"


def test_plan_data_without_ground_for_a_forecast_have_none(tmp_path: Path) -> None:
    found = _planned(tmp_path, store_with(tmp_path))
    data = Prepared(plan=found, workers=WORKERS, forecast=None).data()
    assert (data["forecast_seconds"], data["forecast"]) == (None, None)


# ---- status


def test_status_counts_each_run_in_one_state(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    store.fail(donor(1), small_failure(donor(1)))
    _beat(store, mask(0))
    data = status_data(_planned(tmp_path, store), store)
    counts = {state: data[state] for state in ("finished", "running", "failed", "blocked", "missing")}
    assert counts == {"finished": 1, "running": 1, "failed": 1, "blocked": 3, "missing": 6}


def test_status_counts_each_stage(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    store.fail(donor(1), small_failure(donor(1)))
    stages = status_data(_planned(tmp_path, store), store)["stages"]
    assert stages == {
        "donor": {"finished": 1, "running": 0, "failed": 1, "blocked": 0, "missing": 0},
        "mask": {"finished": 0, "running": 0, "failed": 0, "blocked": 1, "missing": 1},
        "transfer": {"finished": 0, "running": 0, "failed": 0, "blocked": 2, "missing": 6},
    }


def test_status_says_why_a_run_failed_and_where_its_traceback_is(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(mask(0), small_failure(mask(0)))
    (failure,) = status_data(_planned(tmp_path, store), store)["failures"]
    expected = {
        "run_id": run_id(mask(0)),
        "stage": "mask",
        "error": "RuntimeError",
        "message": "out of luck",
        "traceback": store.failure_path(mask(0)),
    }
    assert failure == expected
    assert "Traceback" in Path(failure["traceback"]).read_text()


def test_status_tells_the_packs_under_way(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    _beat(store, donor(0), donor(1))
    (pack,) = status_data(_planned(tmp_path, store), store)["packs"]
    place = {"pack": "under-way", "host": socket.gethostname(), "process": os.getpid()}
    assert pack == {**place, "epoch": 1, "step": 3, "num_steps": 9}


def test_status_leaves_out_the_packs_of_other_grids(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    _beat(store, donor(7))
    assert status_data(_planned(tmp_path, store), store)["packs"] == []


# ---- failures and room


def test_retry_makes_failed_runs_and_their_descendants_missing_again(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(0), small_failure(donor(0)))
    assert retry_failed(_planned(tmp_path, store), store) == 1
    assert len(_planned(tmp_path, store).missing) == 12


def test_retry_leaves_the_failures_of_other_parts_of_the_grid(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(0), small_failure(donor(0)))
    assert retry_failed(_planned(tmp_path, store, "seed=1"), store) == 0
    assert store.failed() == ids([donor(0)])


def test_retry_of_a_class_leaves_the_failures_of_others(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(0), small_failure(donor(0), error="OutOfMemory"))
    store.fail(donor(1), small_failure(donor(1), error="WorkerDied"))
    assert retry_failed_of_class(_planned(tmp_path, store), store, "outofmemory") == 1
    assert store.failed() == ids([donor(1)])


def test_retry_of_a_class_that_no_failure_has_tells_those_that_are(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    store.fail(donor(0), small_failure(donor(0), error="WorkerDied"))
    with pytest.raises(ValueError, match=r"--class is 'Typo': the failed runs have WorkerDied \(1\)"):
        retry_failed_of_class(_planned(tmp_path, store), store, "Typo")


def test_full_disk_refuses_the_sweep_with_what_is_free_and_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_with(tmp_path)
    found = _planned(tmp_path, store)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: DiskUsage(10**12, 10**12, 10**8))
    with pytest.raises(ValueError, match=r"--store is .*: its disk has 0\.1 GB free and the sweep needs about 0\.5 GB"):
        check_store(store, found)


def test_store_that_is_not_there_yet_is_made_to_see_that_it_can_be(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "not" / "yet"))
    check_store(store, _planned(tmp_path, store))
    assert list((tmp_path / "not" / "yet").iterdir()) == []


def test_store_within_a_file_raises_an_error_that_names_it(tmp_path: Path) -> None:
    store = Store(written_grid(tmp_path) + "/store")
    with pytest.raises(OSError, match=r"tiny\.py"):
        check_store(store, _planned(tmp_path, store))


def test_store_of_a_finished_grid_needs_neither_room_nor_access(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_with(tmp_path, *runs(0), *runs(1))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: DiskUsage(1, 1, 0))
    check_store(store, _planned(tmp_path, store))


def test_disk_of_a_remote_store_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(f"memory://{tmp_path.name}")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: DiskUsage(1, 1, 0))
    check_store(store, _planned(tmp_path, store))
