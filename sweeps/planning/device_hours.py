"""What a plan costs: the device-hours of its forecast, and their money at a price that the user gives.

Two sums are told. Used are the hours in which packs train, which is what a cluster costs whose machines come and go at
once. Reserved are the hours of all devices from the command to its report: those used, and those in which workers start
or wait.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from subind.specs.run import Stage
from subind.store.store import Store
from sweeps.planning.forecast import Forecast, StageBasis
from sweeps.planning.plan import Plan

HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """What packs take: the least, if nothing is known of how early runs stop, and the most. Equal if all is known."""

    least: float
    most: float

    def times(self, factor: float) -> "Amount":
        """The amount in another unit."""
        return Amount(least=self.least * factor, most=self.most * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageBill:
    """The packs of a stage and the device-hours in which they train; `num_measured` packs of it were seen before."""

    runs: int
    packs: int
    device_hours: Amount
    basis: StageBasis
    num_measured: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a plan costs on so many devices of a name; `reserved_hours` are a bound where `used_hours` is a range.

    `idle_hours` are those reserved and, even if all runs train to the end, not used.
    """

    device: str
    num_devices: int
    at_most: bool
    stages: Mapping[Stage, StageBill]
    used_hours: Amount
    reserved_hours: float
    price_per_hour: float | None

    @property
    def idle_hours(self) -> float:
        """Device-hours reserved and not used."""
        return max(0.0, self.reserved_hours - self.used_hours.most)

    def cost(self, hours: Amount) -> Amount | None:
        """What so many device-hours cost; None where no price was given."""
        return None if self.price_per_hour is None else hours.times(self.price_per_hour)

    def data(self) -> dict[str, Any]:
        """The bill as JSON data; the costs are null where no price was given."""
        reserved = Amount(least=self.reserved_hours, most=self.reserved_hours)
        costs = {"used_cost": self.cost(self.used_hours), "reserved_cost": self.cost(reserved)}
        told = {name: each and asdict(each) for name, each in costs.items()}
        return {**asdict(self), "idle_hours": self.idle_hours, **told}


def bill(times: Forecast, *, device: str, price_per_hour: float | None = None) -> Bill:
    """The bill of a forecast on devices of that name, at a price of one device for an hour."""
    num_devices = times.num_workers // times.sharing
    stages = {stage: _stage_bill(times, stage) for stage in times.stages}
    used = Amount(
        least=sum(each.device_hours.least for each in stages.values()),
        most=sum(each.device_hours.most for each in stages.values()),
    )
    return Bill(
        device=device,
        num_devices=num_devices,
        at_most=times.at_most,
        stages=stages,
        used_hours=used,
        reserved_hours=num_devices * times.seconds / HOUR,
        price_per_hour=price_per_hour,
    )


def _stage_bill(times: Forecast, stage: Stage) -> StageBill:
    """Packs that share a device each take their part of it."""
    found = times.stages[stage]
    return StageBill(
        runs=found.runs,
        packs=found.packs,
        device_hours=Amount(least=found.least_worker_seconds, most=found.worker_seconds).times(
            1 / (HOUR * times.sharing)
        ),
        basis=found.basis,
        num_measured=found.num_measured,
    )


# ---- what is finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the finished runs of a plan took: hours of workers by device, of so many packs.

    `num_unread` finished runs are left out, for reading their records would have taken too long.
    """

    worker_hours: Mapping[str, float]
    num_packs: int
    num_runs: int
    num_unread: int

    def data(self) -> dict[str, Any]:
        """What was spent as JSON data."""
        return asdict(self)


def spent(found: Plan, store: Store, *, within_seconds: float) -> Spent:
    """What the plan's finished runs took, by their records. Those of a pack share its start, host, size and shape."""
    end, alike = time.monotonic() + within_seconds, defaultdict[tuple[object, ...], list[float]](list)
    num_read = 0
    for run in found.finished:
        if time.monotonic() >= end:
            break
        spec = found.runs[run]
        try:
            made = store.record(spec).provenance
        except (ValueError, FileNotFoundError):
            continue
        alike[made.device, made.pack_size, made.host, made.started, spec.pack_shape()].append(made.seconds)
        num_read += 1
    hours, num_packs = defaultdict[str, float](float), 0
    for (device, pack_size, *_), seconds in alike.items():
        packs = _seconds_of_packs(seconds, int(str(pack_size)))
        hours[str(device)] += sum(packs) / HOUR
        num_packs += len(packs)
    return Spent(
        worker_hours=dict(hours), num_packs=num_packs, num_runs=num_read, num_unread=len(found.finished) - num_read
    )


def _seconds_of_packs(seconds: Sequence[float], pack_size: int) -> list[float]:
    """The times of the packs that the runs were in, the longest of each; several may have started within a second."""
    return sorted(seconds, reverse=True)[:: max(1, pack_size)]
