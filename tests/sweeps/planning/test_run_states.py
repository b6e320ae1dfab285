"""States of planned runs, counts by stage, and failures by class."""

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.results import Failure
from sweeps.planning.plan import accounts
from sweeps.planning.run_states import LONGEST_EXAMPLE, failure_classes, stage_counts, states, total
from tests.subind.records import small_failure
from tests.sweeps.fabricated_grid import NUM_RUNS, donor, mask, transfers


def _failures(error: str, *several: Run, message: str = "out of luck") -> list[Failure]:
    return [small_failure(spec, error=error, message=message) for spec in several]


def test_states_put_each_run_in_the_first_that_holds() -> None:
    plan = accounts("tiny", transfers(0), finished=[run_id(donor(0))], failed=[run_id(mask(0))])
    found = states(plan, [run_id(donor(0)), run_id(transfers(0)[1])])
    expected = {donor(0): "finished", mask(0): "failed", transfers(0)[0]: "blocked", transfers(0)[1]: "running"}
    assert {spec: found[run_id(spec)] for spec in expected} == expected


def test_counts_of_stages_add_up_to_the_runs_of_each() -> None:
    plan = accounts("tiny", [*transfers(0), *transfers(1)], finished=[run_id(donor(0))], failed=[])
    counts = stage_counts(plan, states(plan, []))
    assert {stage: sum(each.values()) for stage, each in counts.items()} == {**NUM_RUNS, "measurement": 0}
    assert (total(counts, "finished"), total(counts, "missing")) == (1, 11)


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
