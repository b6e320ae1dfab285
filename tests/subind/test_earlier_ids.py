"""The ids that runs had before a user's class got its version. The oracle is a class of the version of then."""

from dataclasses import dataclass, replace
from typing import Any

from subind.identity.earlier_ids import earlier_ids
from subind.identity.run_ids import run_id
from subind.specs.run import NetworkRun
from subind.specs.runs import Transfer
from subind.specs.starts import DonorStart
from tests.specs import tiny_donor, tiny_mask, tiny_task, tiny_transfer


def start(name: str, version: int, donor: NetworkRun) -> Any:
    """A start of a class of that name and version."""

    @dataclass(frozen=True, kw_only=True)
    class Mine(DonorStart):
        donor: NetworkRun

    Mine.__qualname__ = name
    Mine.version = version
    return Mine(donor=donor)


def recipient(outer: int, inner: int) -> Transfer:
    """A run with a start of one class that descends from a run with a start of another, of these versions."""
    first = tiny_transfer(start("Inner", inner, tiny_donor()), task=tiny_task(rule="a*b"))
    return replace(tiny_transfer(), start=start("Outer", outer, first))


def reason(**classes: tuple[int, int]) -> str:
    told = (f"{__name__}:{name} is of version {now} and was of {then}" for name, (now, then) in classes.items())
    return "; ".join(told)


def test_earlier_ids_are_those_of_the_classes_of_then() -> None:
    found = dict(earlier_ids(recipient(2, 2)))
    assert found == {
        run_id(recipient(2, 1)): reason(Inner=(2, 1)),
        run_id(recipient(1, 2)): reason(Outer=(2, 1)),
        run_id(recipient(1, 1)): reason(Inner=(2, 1), Outer=(2, 1)),
    }


def test_first_version_has_no_earlier_ids() -> None:
    assert list(earlier_ids(recipient(1, 1))) == []


def test_run_of_our_classes_has_no_earlier_ids() -> None:
    assert list(earlier_ids(tiny_transfer(mask=tiny_mask()))) == []


def test_third_version_has_two_earlier_ones() -> None:
    cell = tiny_transfer(start("Mine", 3, tiny_donor()))
    before = [run_id(tiny_transfer(start("Mine", version, tiny_donor()))) for version in (2, 1)]
    assert [run for run, _ in earlier_ids(cell)] == before
