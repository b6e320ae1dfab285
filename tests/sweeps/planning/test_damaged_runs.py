"""Failures put in classes."""

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.results import Failure
from sweeps.planning.damaged_runs import LONGEST_EXAMPLE, failure_classes
from tests.subind.records import small_failure
from tests.sweeps.fabricated_grid import donor, transfers


def _failures(error: str, *several: Run, message: str = "out of luck") -> list[Failure]:
    return [small_failure(spec, error=error, message=message) for spec in several]


def test_failure_classes_begin_with_the_most_frequent() -> None:
    failures = [*_failures("ValueError", donor(0)), *_failures("OutOfMemoryError", *transfers(0))]
    assert [(each.error, each.num_runs) for each in failure_classes(failures)] == [
        ("OutOfMemoryError", 4),
        ("ValueError", 1),
    ]


def test_failure_class_has_an_example_whatever_the_order() -> None:
    failures = _failures("ValueError", *transfers(0))
    lowest = min(run_id(spec) for spec in transfers(0))
    assert {failure_classes(each)[0].run_id for each in (failures, failures[::-1])} == {lowest}


def test_example_of_a_failure_class_is_one_line_that_is_not_too_long() -> None:
    (found,) = failure_classes(_failures("ValueError", donor(0), message="x" * 1000 + "\nmore"))
    assert found.example == "x" * (LONGEST_EXAMPLE - 1) + "…"


def test_no_failures_have_no_classes() -> None:
    assert failure_classes([]) == ()
