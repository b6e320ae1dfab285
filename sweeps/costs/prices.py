"""What machines cost by the hour: the table prices.csv beside this module, or one of the user's.

A row is an offer: a machine of a provider, how many devices of which name (as PyTorch reports it, `cpu` for cores) it
has, its price in USD an hour on demand and as a spot machine, empty where it is not known, and when and where the price
was read.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any

from subind.specs.quoting import quoted, quoted_path
from sweeps.costs.cost_model import names_device

TABLE = Path(__file__).with_name("prices.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A machine and its price in USD an hour; a price that is not known is None."""

    provider: str
    instance: str
    region: str
    device: str
    num_devices: int
    on_demand_usd: float | None
    spot_usd: float | None
    as_of: str
    source: str

    def data(self) -> dict[str, Any]:
        """The offer as JSON data."""
        return asdict(self)


COLUMNS = tuple(each.name for each in fields(Offer))


def offers(path: Path = TABLE) -> tuple[Offer, ...]:
    """The offers of a table.

    Raises ValueError, naming file, line, column and value, for what is no such table; OSError if it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"--prices is {quoted_path(path)}, which is no file: give a CSV of prices")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            found = ",".join(reader.fieldnames or ()) or "nothing"
            raise ValueError(f"--prices {path} begins with {quoted(found)}: let its first line be {','.join(COLUMNS)}")
        return tuple(_offer(row, f"--prices {path} line {reader.line_num}") for row in reader)


def _offer(row: Mapping[str, Any], place: str) -> Offer:
    if None in row or None in row.values():
        raise ValueError(f"{place} has not {len(COLUMNS)} columns: give {','.join(COLUMNS)}")
    if not row["device"].strip():
        raise ValueError(f"{place} has device = '': give the name that PyTorch reports, or cpu")
    on_demand, spot = (_usd(row, name, place) for name in ("on_demand_usd", "spot_usd"))
    if on_demand is None and spot is None:
        raise ValueError(f"{place} has neither on_demand_usd nor spot_usd: give at least one")
    return Offer(
        provider=row["provider"],
        instance=row["instance"],
        region=row["region"],
        device=row["device"].strip(),
        num_devices=_count(row, place),
        on_demand_usd=on_demand,
        spot_usd=spot,
        as_of=_date(row, place),
        source=row["source"],
    )


def _usd(row: Mapping[str, str], name: str, place: str) -> float | None:
    text = row[name].strip()
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not (isfinite(found) and found >= 0):
        raise ValueError(f"{place} has {name} = {quoted(text)}: give USD an hour, such as 0.35, or nothing")
    return found


def _count(row: Mapping[str, str], place: str) -> int:
    text = row["num_devices"].strip()
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{place} has num_devices = {quoted(text)}: give 1 or more")
    return int(text)


def _date(row: Mapping[str, str], place: str) -> str:
    text = row["as_of"].strip()
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(
            f"{place} has as_of = {quoted(text)}: give the day the price was read, such as 2026-01-31"
        ) from None


def offers_of(device: str, several: Sequence[Offer]) -> tuple[Offer, ...]:
    """The offers with the device of that name, else with those in whose names it is a word; the cheapest first."""
    found = [each for each in several if each.device == device]
    found = found or [each for each in several if names_device(device, each.device)]
    return tuple(sorted(found, key=_cheapest))


def _cheapest(offer: Offer) -> float:
    """The price of a device for an hour, on demand where that is known."""
    price = offer.spot_usd if offer.on_demand_usd is None else offer.on_demand_usd
    assert price is not None
    return price / offer.num_devices
