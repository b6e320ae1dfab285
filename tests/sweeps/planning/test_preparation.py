"""Plans packed for workers, with their forecast, on fabricated stores. The oracles: counting, and the model's sums."""

from dataclasses import replace
from pathlib import Path

import pytest

from subind.specs.run import Run
from subind.store.store import Store
from sweeps.costs import devices
from sweeps.costs.cost_model import cpu_model, slowness
from sweeps.costs.fit import fitted
from sweeps.grids import protocol, read_grid
from sweeps.hosts.workers import Workers, num_cores
from sweeps.planning import preparation
from sweeps.planning.preparation import Prepared, measured_runs, prepared
from sweeps.planning.request import Request
from tests.specs import tiny_donor
from tests.sweeps.fabricated import fabricated_record
from tests.sweeps.fabricated_grid import NUM_RUNS, donor, mask, runs, store_with, written_grid

H200 = Workers(device="cuda", num_workers=1, name="NVIDIA H200", free_bytes=140e9)


def _prepared(folder: Path, store: Store, *where: str, num_workers: int = 2) -> Prepared:
    request = Request(grid=read_grid(written_grid(folder)), where=where, store=store.url)
    return prepared(request, store, Workers(device="cpu", num_workers=num_workers))


def _paper(store: Store, workers: Workers, *where: str) -> Prepared:
    return prepared(Request(grid=read_grid("paper-arithmetic"), where=where, store=store.url), store, workers)


# ---- the forecast


def test_forecast_of_an_empty_store_is_that_of_the_model_on_this_machine(tmp_path: Path) -> None:
    found = _prepared(tmp_path, store_with(tmp_path))
    model = cpu_model()
    expected = model.begin + found.plan.schedule.makespan + model.end + 12 * model.end_of_run
    assert found.forecast is not None
    assert found.forecast.seconds == pytest.approx(slowness() * expected)
    assert found.forecast.basis == "calibrated"


def test_forecast_follows_the_packs_that_the_store_has_finished(tmp_path: Path) -> None:
    store = store_with(tmp_path, *runs(0))
    found = _prepared(tmp_path, store)
    model = fitted(cpu_model(), measured_runs(store), device="cpu")
    expected = model.begin + found.plan.schedule.makespan + model.end + 12 * model.end_of_run
    assert found.forecast is not None
    assert (found.forecast.basis, found.forecast.seconds) == ("measured", pytest.approx(expected))


def test_forecast_learns_from_runs_of_other_grids(tmp_path: Path) -> None:
    store = store_with(tmp_path, tiny_donor(seed=77))
    found = _prepared(tmp_path, store)
    assert found.forecast is not None
    assert found.forecast.basis == "measured"


def test_forecast_of_a_finished_grid_is_zero(tmp_path: Path) -> None:
    found = _prepared(tmp_path, store_with(tmp_path, *runs(0), *runs(1)))
    assert found.forecast is not None
    assert found.forecast.seconds == 0


def test_forecast_counts_runs_and_packs_of_each_stage(tmp_path: Path) -> None:
    found = _prepared(tmp_path, store_with(tmp_path))
    assert found.forecast is not None
    assert {stage: found.forecast.stages[stage].runs for stage in NUM_RUNS} == NUM_RUNS
    assert sum(each.packs for each in found.forecast.stages.values()) == len(found.plan.packs)


def test_forecast_of_stages_adds_up_to_the_seconds_of_all_packs(tmp_path: Path) -> None:
    found = _prepared(tmp_path, store_with(tmp_path))
    times = found.plan.schedule
    worked = sum(end - start for start, end in zip(times.starts, times.ends, strict=True))
    assert found.forecast is not None
    told = sum(each.worker_seconds for each in found.forecast.stages.values())
    assert told == pytest.approx(slowness() * worked)


def test_forecast_is_at_most_while_nothing_is_known_of_early_stopping(tmp_path: Path) -> None:
    found = _paper(Store(str(tmp_path)), Workers(device="cpu", num_workers=2), "num_layers=2", "seed=0")
    assert found.forecast is not None
    assert found.forecast.at_most


def test_forecast_that_knows_how_early_donors_stop_is_shorter_and_no_bound(tmp_path: Path) -> None:
    workers, part = Workers(device="cpu", num_workers=2), ("num_layers=2", "seed=0", "control=full_transfer")
    before = _paper(Store(str(tmp_path / "empty")), workers, *part)
    stopped, store = protocol.donor(2, seed=7), Store(str(tmp_path / "store"))
    record = fabricated_record(stopped, num_epochs=15)
    seconds = 0.3 * cpu_model().price(stopped).seconds(1)
    record = replace(record, provenance=replace(record.provenance, seconds=seconds, pack_size=1))
    store.commit(stopped, record, {})
    after = _paper(store, workers, *part)
    assert after.forecast is not None
    assert not after.forecast.at_most
    assert after.plan.schedule.makespan < 0.8 * before.plan.schedule.makespan


def test_forecast_on_an_unknown_card_is_unknown_but_its_packs_are_cut(tmp_path: Path) -> None:
    workers = Workers(device="cuda", num_workers=1, name="Abacus 3000", free_bytes=80e9)
    found = _paper(Store(str(tmp_path)), workers, "num_layers=2")
    assert found.forecast is None
    assert found.plan.packs


# ---- the packs


def _largest(found: Prepared) -> int:
    return max(len(pack.specs) for pack in found.plan.packs)


def test_packs_are_no_larger_than_memory_allows(tmp_path: Path) -> None:
    roomy, tight = (Workers(device="cpu", num_workers=2, free_bytes=free) for free in (64e9, 2.6e9))
    store = Store(str(tmp_path))
    part = ("num_layers=12", "seed=0")
    assert _largest(_paper(store, tight, *part)) == 1
    assert _largest(_paper(store, roomy, *part)) > 4


def test_packs_of_a_part_are_shared_by_the_workers(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    part = ("num_layers=2", "num_disambiguation=1000", "control=random_init")
    one, five = (_paper(store, Workers(device="cpu", num_workers=number), *part) for number in (1, 5))
    assert (_largest(one), _largest(five)) == (5, 1)


@pytest.mark.skipif(num_cores() < 2, reason="every pack on a GPU needs a core of its own")
def test_several_packs_share_a_gpu_that_one_does_not_fill(tmp_path: Path) -> None:
    found = _paper(Store(str(tmp_path)), H200, "num_layers=2")
    assert 1 < found.workers.sharing <= devices.MOST_SHARING
    assert found.workers.num_workers == found.workers.sharing


def test_one_worker_has_a_core_to_itself(tmp_path: Path) -> None:
    found = _paper(Store(str(tmp_path)), Workers(device="cpu", num_workers=2), "num_layers=2")
    assert (found.workers.sharing, found.workers.num_workers) == (1, 2)


def test_packs_that_share_a_gpu_share_its_memory() -> None:
    assert H200.shared(4).free_bytes_of_one == 35e9
    assert Workers(device="cpu", num_workers=4, free_bytes=8e9).free_bytes_of_one == 2e9


# ---- the records that are read


def test_measured_runs_are_those_of_the_store(tmp_path: Path) -> None:
    finished: list[Run] = [*runs(0), donor(1), mask(1)]
    found = list(measured_runs(store_with(tmp_path, *finished)))
    assert {spec for spec, _ in found} == set(finished)
    assert all(record.provenance.seconds == 6.0 for _, record in found)


def test_measured_runs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "MOST_RECORDS", 5)
    store = store_with(tmp_path, *(tiny_donor(seed=seed) for seed in range(9)), *runs(0))
    stages = [record.stage for _, record in measured_runs(store)]
    assert len(stages) <= 5
    assert set(stages) == {"donor", "mask", "transfer"}


def test_record_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0), donor(1))
    Path(store.folder(donor(0)), "record.json").write_text("{")
    assert [spec for spec, _ in measured_runs(store)] == [donor(1)]


# ---- what a device has not


def test_plan_of_a_tf32_grid_for_a_cpu_is_refused(tmp_path: Path) -> None:
    grid = tmp_path / "rounded.py"
    grid.write_text(
        "from dataclasses import replace\n"
        "from subind import RandomInit\nfrom sweeps.grids import protocol\n\n\n"
        "def grid():\n    start = RandomInit(model=protocol.network(2))\n"
        "    cell = protocol.transfer(start, num_disambiguation=10, seed=0)\n"
        '    return (replace(cell, precision="tf32"),)\n'
    )
    request = Request(grid=read_grid(str(grid)), where=(), store=str(tmp_path / "store"))
    with pytest.raises(ValueError, match=r"precision of run [0-9a-f]{16} is 'tf32', which only CUDA devices have"):
        prepared(request, Store(request.store), Workers(device="cpu", num_workers=1))
    assert prepared(request, Store(request.store), H200).plan.missing
