"""What a plan costs, as tables: device-hours and money by stage, and what each offer would ask."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from subind.specs.quoting import quoted
from subind.store.store import Store
from sweeps.cli.options import out
from sweeps.costs.cost_model import CPU
from sweeps.costs.devices import imagined_workers, known_cards
from sweeps.costs.prices import COLUMNS, TABLE, offers, offers_of
from sweeps.hosts.terminal import columns, shortened, terminal
from sweeps.hosts.workers import Workers, available_workers
from sweeps.planning.device_hours import Amount, Bill, Quote, Spent, StageBill, bill, spent
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


def cost_of(made: Prepared, store: Store, prices: Path | None) -> tuple[Bill, Spent]:
    """The bill of a prepared plan at the prices of a table, and what its finished runs took.

    Raises ValueError for a bad table, and if there is no ground for a forecast on the device.
    """
    several = offers(prices or TABLE)
    if made.forecast is None:
        raise ValueError(
            f"--device-name is {quoted(made.workers.name)}: no run of this store was computed on one, and the cards "
            f"known without are {known_cards()}; give one of these as PyTorch reports it, or cpu"
        )
    found = bill(made.forecast, device=made.workers.name, offers=offers_of(made.workers.name, several))
    return found, spent(made.plan, store, within_seconds=SECONDS_OF_RECORDS)


def cost_data(found: Bill, done: Spent) -> dict[str, Any]:
    """The bill as JSON data, with what was spent."""
    return {**found.data(), "spent": done.data()}


def print_cost(plan: Plan, found: Bill, done: Spent) -> None:
    """The bill by stage, what is idle of what is reserved, the offers, and what was spent before."""
    console, unit = terminal(), "core" if found.device == CPU else "GPU"
    if plan.packs:
        out.print(f"\ncost on {_devices(found)}, {_priced(found)}")
        console.print(_stage_table(found, unit))
        for basis in {each.basis: None for each in found.stages.values() if each.packs}:
            out.print(f"{basis}: {MEANINGS[basis]}")
        out.print(_reserved(found, unit))
        if found.quotes:
            console.print(_quote_table(found, unit))
    if done.num_runs or done.num_unread:
        out.print(_spent(done))


def _devices(found: Bill) -> str:
    if found.device == CPU:
        return f"{found.num_devices} CPU core{'s' if found.num_devices > 1 else ''}"
    return f"{found.num_devices} × {found.device}"


def _priced(found: Bill) -> str:
    """Which offer the costs of the stages are at."""
    if not found.quotes:
        return f"of which no price is known: give --prices FILE.csv with the columns {','.join(COLUMNS)}"
    offer = found.quotes[0].offer
    return f"priced as {offer.provider} {offer.instance} {'on demand' if offer.on_demand_usd is not None else 'spot'}"


def _stage_table(found: Bill, unit: str) -> Table:
    table = columns("stage", numbers=("runs", "packs", f"{unit}-hours", "cost"), last="basis")
    for stage, each in found.stages.items():
        cost = _stage_cost(found, each.device_hours)
        table.add_row(stage, str(each.runs), str(each.packs), _range(each.device_hours, _hours), cost, _basis(each))
    runs, packs = (sum(counts) for counts in zip(*((s.runs, s.packs) for s in found.stages.values()), strict=True))
    cost = _stage_cost(found, found.used_hours)
    table.add_row("all", str(runs), str(packs), _range(found.used_hours, _hours), cost, "")
    return table


def _stage_cost(found: Bill, hours: Amount) -> str:
    """The money of so many device-hours at the first offer."""
    if not found.quotes:
        return ""
    offer = found.quotes[0].offer
    usd = offer.spot_usd if offer.on_demand_usd is None else offer.on_demand_usd
    return "" if usd is None else _range(hours.times(usd / offer.num_devices), _usd)


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
    return (
        f"reserved from start to end: {bound}{_hours(found.reserved_hours)} {unit}-hours, "
        f"{_hours(found.idle_hours)} of them ({share:.0%}) idle"
    )


def _quote_table(found: Bill, unit: str) -> Table:
    are_others = any(quote.offer.device != found.device for quote in found.quotes)
    numbers = (f"USD/{unit}-h", "used", "reserved", "as of")
    table = columns("offer", words=("",), numbers=numbers, last="device" if are_others else "")
    for quote in found.quotes:
        for row in _quote_rows(quote):
            device = [shortened(quote.offer.device.removeprefix("NVIDIA "))] if are_others else []
            table.add_row(shortened(f"{quote.offer.provider} {quote.offer.instance}"), *row, *device)
    return table


def _quote_rows(quote: Quote) -> list[tuple[str, ...]]:
    """A row on demand and one for spot machines, as far as there are prices."""
    offer = quote.offer
    kinds = (
        ("on demand", offer.on_demand_usd, quote.used_on_demand, quote.reserved_on_demand),
        ("spot", offer.spot_usd, quote.used_spot, quote.reserved_spot),
    )
    return [
        (kind, f"{usd / offer.num_devices:.3g}", _range(used, _usd), _usd(reserved), offer.as_of)
        for kind, usd, used, reserved in kinds
        if usd is not None and used is not None and reserved is not None
    ]


def _spent(done: Spent) -> str:
    hours = ", ".join(f"{_hours(each)} worker-hours on {device}" for device, each in sorted(done.worker_hours.items()))
    told = f"finished before: {done.num_runs} runs in {done.num_packs} packs took {hours}"
    return f"{told} ({done.num_unread} more were not read)" if done.num_unread else told


def _range(amount: Amount, told: Callable[[float], str]) -> str:
    """An amount, or both ends of one, the currency once."""
    low, high = told(amount.least), told(amount.most)
    return high if low == high else f"{low}–{high.removeprefix('$')}"


def _hours(hours: float) -> str:
    """Hours with about three digits."""
    if hours >= 100:
        return f"{hours:,.0f}"
    return f"{hours:.1f}" if hours >= 10 else f"{hours:.2f}" if hours >= 1 else f"{hours:.3f}"


def _usd(usd: float) -> str:
    """Dollars to the cent, small sums to a hundredth of one."""
    return f"${usd:,.0f}" if usd >= 1000 else f"${usd:.2f}" if usd >= 1 else f"${usd:.4f}"
