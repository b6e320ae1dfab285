"""What a plan costs, against sums made by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from subind.store.store import Store
from sweeps.costs.cost_model import gpu_model
from sweeps.costs.devices import card_of, imagined_workers
from sweeps.grids import protocol, read_grid
from sweeps.hosts.workers import Workers
from sweeps.planning.device_hours import Amount, bill, spent
from sweeps.planning.forecast import Forecast, StageForecast
from sweeps.planning.preparation import Prepared, prepared
from sweeps.planning.request import Request, accounted
from tests.sweeps.fabricated_grid import donor, exportable_record, runs, store_with, transfers, written_grid

PAPER = "paper-arithmetic"


def _stage(most: float, least: float | None = None) -> StageForecast:
    return StageForecast(
        runs=6,
        packs=3,
        least_replicas=2,
        most_replicas=2,
        worker_seconds=most,
        least_worker_seconds=most if least is None else least,
        basis="measured",
        num_measured=3,
    )


def _forecast(*, num_workers: int = 6, sharing: int = 1, seconds: float = 1800.0) -> Forecast:
    """Half an hour, in which donors train for 1 to 2 worker-hours, masks for half of one, transfers for none."""
    return Forecast(
        seconds=seconds,
        at_most=True,
        basis="measured",
        num_workers=num_workers,
        sharing=sharing,
        gain_of_packing=1.0,
        stages={"donor": _stage(7200.0, 3600.0), "mask": _stage(1800.0), "transfer": _stage(0.0)},
    )


def _prepared(folder: Path, store: Store, workers: Workers, *where: str, grid: str = "") -> Prepared:
    return prepared(Request(grid=read_grid(grid or written_grid(folder)), where=where, store=store.url), store, workers)


# ---- the bill of a forecast


def test_hours_used_are_the_workers_hours() -> None:
    found = bill(_forecast(), device="NVIDIA L4")
    assert found.used_hours == Amount(least=1.5, most=2.5)
    assert found.stages["donor"].device_hours == Amount(least=1.0, most=2.0)
    assert found.stages["mask"].device_hours == Amount(least=0.5, most=0.5)


def test_hours_reserved_are_those_of_all_devices_until_the_end() -> None:
    found = bill(_forecast(), device="NVIDIA L4")
    assert (found.num_devices, found.reserved_hours, found.idle_hours) == (6, 3.0, 0.5)


def test_packs_that_share_a_device_share_its_hours() -> None:
    found = bill(_forecast(sharing=2), device="NVIDIA L4")
    assert (found.num_devices, found.reserved_hours) == (3, 1.5)
    assert found.used_hours == Amount(least=0.75, most=1.25)


def test_hours_cost_the_price_of_a_device() -> None:
    found = bill(_forecast(), device="NVIDIA L4", price_per_hour=2.0)
    assert found.cost(found.used_hours) == Amount(least=3.0, most=5.0)
    assert found.data()["used_cost"] == {"least": 3.0, "most": 5.0}
    assert found.data()["reserved_cost"] == {"least": 6.0, "most": 6.0}


def test_hours_without_a_price_cost_nothing_known() -> None:
    found = bill(_forecast(), device="NVIDIA L4")
    assert (found.cost(found.used_hours), found.data()["used_cost"]) == (None, None)


# ---- from a store to the bill


def test_hours_of_a_plan_are_those_of_its_schedule(tmp_path: Path) -> None:
    store = store_with(tmp_path, *runs(0))
    made = _prepared(tmp_path, store, Workers(device="cpu", num_workers=2))
    assert made.forecast is not None
    found, times = bill(made.forecast, device="cpu"), made.plan.schedule
    trained = sum(end - start for start, end in zip(times.starts, times.ends, strict=True))
    assert found.used_hours.most == pytest.approx(trained / 3600)
    assert found.reserved_hours == pytest.approx(2 * made.forecast.seconds / 3600)
    assert 0 < found.idle_hours < found.reserved_hours


def test_basis_of_a_stage_is_measured_by_packs_of_the_store(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0), *transfers(0))
    made = _prepared(tmp_path, store, Workers(device="cpu", num_workers=2))
    assert made.forecast is not None
    found = bill(made.forecast, device="cpu").stages
    assert {stage: (each.basis, each.num_measured) for stage, each in found.items()} == {
        "donor": ("measured", 1),
        "mask": ("scaled", 0),
        "transfer": ("measured", 2),
    }


def test_donors_of_which_nothing_is_known_cost_from_their_patience_to_all_epochs(tmp_path: Path) -> None:
    part = ("num_layers=2", "seed=0", "control=full_transfer", "num_disambiguation=10")
    made = _prepared(tmp_path, Store(str(tmp_path)), imagined_workers("NVIDIA L4", num_devices=1), *part, grid=PAPER)
    assert made.forecast is not None
    found = bill(made.forecast, device="NVIDIA L4")
    model, spec = gpu_model("NVIDIA L4"), protocol.donor(2, seed=0)
    assert model is not None
    price, share = model.price(spec), spec.length().fewest_epochs / spec.num_epochs
    whole = price.start + price.passes + price.each
    part_of_it = price.start + share * (price.passes + price.each)
    assert found.stages["donor"].device_hours == Amount(
        least=pytest.approx(part_of_it / 3600), most=pytest.approx(whole / 3600)
    )
    assert found.stages["transfer"].device_hours.least == found.stages["transfer"].device_hours.most


def test_donors_of_which_something_is_known_cost_one_sum(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    stopped = protocol.donor(2, seed=7)
    store.commit(stopped, exportable_record(stopped), {})
    made = _prepared(tmp_path, store, Workers(device="cpu", num_workers=1), "num_layers=2", "seed=0", grid=PAPER)
    assert made.forecast is not None
    found = bill(made.forecast, device="cpu")
    assert not found.at_most
    assert found.used_hours.least == found.used_hours.most


# ---- what is finished


def test_spent_are_the_seconds_of_the_packs(tmp_path: Path) -> None:
    """A donor, a mask and two packs of transfers of six seconds each: the fabricated packs are of one start."""
    store = store_with(tmp_path, *runs(0))
    request = Request(grid=read_grid(written_grid(tmp_path)), where=(), store=store.url)
    found = spent(accounted(request, store), store, within_seconds=60)
    assert (found.num_runs, found.num_packs, found.num_unread) == (6, 4, 0)
    assert found.worker_hours == {"cpu": pytest.approx(24 / 3600)}


def test_spent_counts_packs_that_started_within_a_second_one_by_one(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    for spec, seconds in zip(transfers(0)[::2], (6.0, 9.0), strict=True):
        record = exportable_record(spec)
        made = replace(record.provenance, seconds=seconds, pack_size=1)
        store.commit(spec, replace(record, provenance=made), {})
    request = Request(grid=read_grid(written_grid(tmp_path)), where=(), store=store.url)
    found = spent(accounted(request, store), store, within_seconds=60)
    assert found.worker_hours == {"cpu": pytest.approx(15 / 3600)}


def test_spent_says_how_many_runs_there_was_no_time_for(tmp_path: Path) -> None:
    store = store_with(tmp_path, *runs(0))
    request = Request(grid=read_grid(written_grid(tmp_path)), where=(), store=store.url)
    found = spent(accounted(request, store), store, within_seconds=0)
    assert (found.num_runs, found.num_unread, found.worker_hours) == (0, 6, {})


# ---- devices that are not at hand


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("NVIDIA A100-SXM4-40GB", 40),
        ("NVIDIA A100-SXM4-80GB", 80),
        ("NVIDIA A100 80GB PCIe", 80),
        ("NVIDIA H200", 141),
        ("NVIDIA A10G", 24),
        ("NVIDIA GH200 480GB", 96),
    ],
)
def test_memory_of_a_card_is_that_of_its_name(name: str, gigabytes: int) -> None:
    assert imagined_workers(name, num_devices=3).free_bytes == gigabytes * 1e9


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L40", None),
        ("NVIDIA A10G", "A10"),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("Tesla T4", "T4"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA XH200", None),
    ],
)
def test_card_is_known_by_its_whole_name(name: str, card: str | None) -> None:
    known = card_of(name)
    assert (known and known.name) == card


def test_imagined_cores_each_train_a_pack(tmp_path: Path) -> None:
    made = _prepared(tmp_path, store_with(tmp_path), imagined_workers("cpu", num_devices=64))
    assert made.forecast is not None
    assert (made.workers.device, made.forecast.num_workers, made.forecast.sharing) == ("cpu", 64, 1)
    assert made.forecast.stages["donor"].packs == 2


def test_imagined_cards_may_be_shared_whatever_cores_this_machine_has(tmp_path: Path) -> None:
    workers = imagined_workers("NVIDIA H200", num_devices=4)
    made = _prepared(tmp_path, store_with(tmp_path), workers, "num_layers=2", grid=PAPER)
    assert made.forecast is not None
    assert made.forecast.sharing > 1
    assert bill(made.forecast, device="NVIDIA H200").num_devices == 4
