"""What a plan costs: device-hours by stage, and their money at the price that the user gives."""

from typing import Any

from rich.table import Table

from subind.specs.quoting import quoted
from subind.store.store import Store
from sweeps.cli.options import out
from sweeps.costs.devices import CPU, imagined_workers, known_cards
from sweeps.hosts.terminal import columns, terminal
from sweeps.hosts.workers import Workers, available_workers
from sweeps.planning.device_hours import Amount, Bill, Spent, StageBill, bill, spent
from sweeps.planning.forecast import StageBasis
from sweeps.planning.plan import Plan
from sweeps.planning.preparation import Prepared

SECONDS_OF_RECORDS = 2.0
"""How long records are read to tell what the finished runs took."""


def chosen_workers(device: str, device_name: str | None, num_devices: int | None) -> Workers:
    """The workers of this machine, or imagined ones. Raises ValueError for a number of devices without a name."""
    if device_name is not None:
        return imagined_workers(device_name, num_devices=num_devices or 1)
    if num_devices is not None:
        raise ValueError(f"--num-devices is {num_devices}: give --device-name too, such as 'NVIDIA L4' or cpu")
    return available_workers(device)


def cost_of(made: Prepared, store: Store, price_per_hour: float | None) -> tuple[Bill, Spent]:
    """The bill of a prepared plan, and what its finished runs took.

    Raises ValueError if there is no ground for a forecast on the device.
    """
    if made.forecast is None:
        raise ValueError(
            f"--device-name is {quoted(made.workers.name)}: no run of this store was computed on one, and the cards "
            f"known without are {known_cards()}; give one of these as PyTorch reports it, or cpu"
        )
    found = bill(made.forecast, device=made.workers.name, price_per_hour=price_per_hour)
    return found, spent(made.plan, store, within_seconds=SECONDS_OF_RECORDS)


def cost_data(found: Bill, done: Spent) -> dict[str, Any]:
    """The bill as JSON data, with what was spent."""
    return {**found.data(), "spent": done.data()}


def print_cost(plan: Plan, found: Bill, done: Spent) -> None:
    """The bill by stage, what is idle of what is reserved, and what was spent before."""
    console, unit = terminal(), "core" if found.device == CPU else "GPU"
    if plan.packs:
        price = "" if found.price_per_hour is None else f", {found.price_per_hour:g} an hour each"
        out.print(f"\ncost on {_devices(found)}{price}")
        console.print(_stage_table(found, unit))
        for basis in {each.basis: None for each in found.stages.values() if each.packs}:
            out.print(f"{basis}: {MEANINGS[basis]}")
        out.print(_reserved(found, unit))
    if done.num_runs or done.num_unread:
        out.print(_spent(done))


def _devices(found: Bill) -> str:
    if found.device == CPU:
        return f"{found.num_devices} CPU core{'s' if found.num_devices > 1 else ''}"
    return f"{found.num_devices} × {found.device}"


def _stage_table(found: Bill, unit: str) -> Table:
    table = columns("stage", numbers=("runs", "packs", f"{unit}-hours", "cost"), last="basis")
    for stage, each in found.stages.items():
        cost = _range(found.cost(each.device_hours))
        table.add_row(stage, str(each.runs), str(each.packs), _range(each.device_hours), cost, _basis(each))
    runs, packs = (sum(counts) for counts in zip(*((s.runs, s.packs) for s in found.stages.values()), strict=True))
    cost = _range(found.cost(found.used_hours))
    table.add_row("all", str(runs), str(packs), _range(found.used_hours), cost, "")
    return table


def _basis(each: StageBill) -> str:
    match each.basis:
        case _ if not each.packs:
            return ""
        case "measured":
            return f"measured, {each.num_measured} pack{'s' if each.num_measured > 1 else ''}"
        case other:
            return other


MEANINGS: dict[StageBasis, str] = {
    "measured": "from finished packs of this store on that device",
    "scaled": "a default, scaled by what was measured of other stages",
    "calibrated": "a default, scaled by how fast this machine multiplies matrices now",
    "assumed": "by the maker's figures of the card; nothing was measured on one",
}


def _reserved(found: Bill, unit: str) -> str:
    share = found.idle_hours / found.reserved_hours if found.reserved_hours else 0.0
    bound = "at most " if found.at_most else ""
    cost = _range(found.cost(Amount(least=found.reserved_hours, most=found.reserved_hours)))
    return (
        f"reserved from start to end: {bound}{_hours(found.reserved_hours)} {unit}-hours, "
        f"{_hours(found.idle_hours)} of them ({share:.0%}) idle{cost and f'; cost {bound}{cost}'}"
    )


def _spent(done: Spent) -> str:
    hours = ", ".join(f"{_hours(each)} worker-hours on {device}" for device, each in sorted(done.worker_hours.items()))
    told = f"finished before: {done.num_runs} runs in {done.num_packs} packs took {hours}"
    return f"{told} ({done.num_unread} more were not read)" if done.num_unread else told


def _range(amount: Amount | None) -> str:
    """An amount, or both ends of one; nothing for None."""
    if amount is None:
        return ""
    low, high = _hours(amount.least), _hours(amount.most)
    return high if low == high else f"{low}–{high}"


def _hours(hours: float) -> str:
    """A number of hours or of money with about three digits."""
    if hours >= 100:
        return f"{hours:,.0f}"
    return f"{hours:.1f}" if hours >= 10 else f"{hours:.2f}" if hours >= 1 else f"{hours:.3f}"
