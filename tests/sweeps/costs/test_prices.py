"""Tables of prices: the one that comes with the sweep, and what is refused in one of the user's."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from sweeps.costs.prices import COLUMNS, Offer, offers, offers_of

HEADER = ",".join(COLUMNS)
ROW = "me,big,here,NVIDIA L4,2,1.5,0.5,2026-01-31,a letter"


def _written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "prices.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def _offer(device: str, *, on_demand: float | None = 1.0, spot: float | None = None, num_devices: int = 1) -> Offer:
    return Offer(
        provider="me",
        instance="big",
        region="",
        device=device,
        num_devices=num_devices,
        on_demand_usd=on_demand,
        spot_usd=spot,
        as_of="2026-01-31",
        source="a letter",
    )


def test_every_price_that_comes_along_tells_where_and_when_it_was_read() -> None:
    found = offers()
    assert found
    for each in found:
        assert each.source.startswith("https://")
        assert date(2024, 1, 1) < date.fromisoformat(each.as_of) <= datetime.now(UTC).date()


def test_offers_are_the_rows_of_the_table(tmp_path: Path) -> None:
    (found,) = offers(_written(tmp_path, ROW))
    assert (found.instance, found.device, found.num_devices) == ("big", "NVIDIA L4", 2)
    assert (found.on_demand_usd, found.spot_usd, found.as_of) == (1.5, 0.5, "2026-01-31")


def test_price_may_be_unknown(tmp_path: Path) -> None:
    (found,) = offers(_written(tmp_path, "me,big,,cpu,2,,0.5,2026-01-31,"))
    assert (found.on_demand_usd, found.spot_usd) == (None, 0.5)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (ROW.replace("1.5", "cheap"), r"line 2 has on_demand_usd = 'cheap': give USD"),
        (ROW.replace("1.5", "-1"), r"line 2 has on_demand_usd = '-1': give USD"),
        (ROW.replace("0.5", "nan"), r"line 2 has spot_usd = 'nan': give USD"),
        (ROW.replace("L4,2", "L4,0"), r"line 2 has num_devices = '0': give 1 or more"),
        (ROW.replace("2026-01-31", "lately"), r"line 2 has as_of = 'lately': give the day"),
        (ROW.replace("NVIDIA L4", " "), r"line 2 has device = '': give the name that PyTorch reports"),
        (ROW.replace("1.5,0.5", ","), r"line 2 has neither on_demand_usd nor spot_usd"),
        (ROW + ",more", r"line 2 has not 9 columns"),
        ("me,big", r"line 2 has not 9 columns"),
    ],
)
def test_row_that_is_wrong_is_told_with_line_and_remedy(tmp_path: Path, row: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        offers(_written(tmp_path, row))


@pytest.mark.parametrize("header", ["", "device,usd", HEADER + ",more"])
def test_table_with_other_columns_is_told_which_it_needs(tmp_path: Path, header: str) -> None:
    with pytest.raises(ValueError, match=rf"let its first line be {HEADER}$"):
        offers(_written(tmp_path, header=header))


def test_offers_of_a_device_are_those_of_its_name_the_cheapest_first() -> None:
    several = [_offer("NVIDIA L4", on_demand=8.0, num_devices=4), _offer("NVIDIA L4"), _offer("NVIDIA L40S")]
    assert offers_of("NVIDIA L4", several) == (several[1], several[0])


def test_offers_of_a_card_are_none_of_a_card_whose_name_has_it_within_a_word() -> None:
    assert offers_of("H200", [_offer("NVIDIA GH200 480GB")]) == ()


def test_offers_of_a_part_of_a_name_are_all_that_have_it() -> None:
    several = [_offer("NVIDIA A100-SXM4-80GB", on_demand=2.0), _offer("NVIDIA A100-SXM4-40GB"), _offer("NVIDIA L4")]
    assert offers_of("a100", several) == (several[1], several[0])


def test_slice_of_a_card_has_no_price_of_the_card() -> None:
    assert offers_of("NVIDIA A100-SXM4-40GB MIG 1g.5gb", [_offer("NVIDIA A100-SXM4-40GB")]) == ()


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["pipe", "folder"])
@pytest.mark.timeout(10)
def test_prices_of_what_is_no_file_are_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "prices.csv")
    with pytest.raises(ValueError, match=r"--prices is '.*prices\.csv', which is no file"):
        offers(tmp_path / "prices.csv")
