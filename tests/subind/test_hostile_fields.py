"""Every field of a spec with hostile values: refused in a short line that names it, or a run that can be planned."""

import time
from collections import Counter

import pytest

from subind.identity.run_ids import decode, encoded, run_id
from subind.specs.run import Run, lineage, steps_per_epoch
from subind.specs.runs import Train, TrainingRun
from subind.specs.training import FreshWeights
from subind.store.names import slug
from subind.store.row_values import planned_values
from subind.training.loop import Finished
from sweeps.costs.cost_model import cpu_model
from sweeps.costs.memory import LARGEST_DEVICE, bytes_per_replica, check_fits
from sweeps.grids.cells import planned_columns
from sweeps.planning.preparation import check_curves
from tests.hostile_values import VALUES, Case, cases
from tests.subind.packs import HandMade, finished

LONGEST_MESSAGE = 1000
SLOWEST_SECONDS = 5.0
TOLD_IN_TRAINING = {"learning_rate": "lower the learning rate", "curve": "kept_epoch.curve is", "beside": "beside has"}
"""What only a network and the first epoch tell: too fast a learning rate, and names of curves and parameters."""

MOST_STEPS, MOST_BYTES = 2000, 5e7
"""Of the accepted runs that are trained."""


def _accepted() -> tuple[dict[Case, Run], Counter[str]]:
    """The runs that are made, and how many were refused; a wrong refusal raises."""
    accepted: dict[Case, Run] = {}
    counts: Counter[str] = Counter()
    unclear: list[str] = []
    for case in cases():
        start = time.monotonic()
        try:
            accepted[case] = case.made()
        except ValueError as error:
            counts["refused"] += 1
            if not _is_clear(case, str(error)):
                unclear.append(f"{case}: {error}"[:LONGEST_MESSAGE])
        assert time.monotonic() - start < SLOWEST_SECONDS, case
    assert unclear == []
    return accepted, counts


def _is_clear(case: Case, told: str) -> bool:
    """Whether a message is one short line that names the field, or what follows from it."""
    if len(told) > LONGEST_MESSAGE or "\n" in told:
        return False
    named = {case.field, case.field.removeprefix("num_"), "rule" if case.field == "rivals" else case.field}
    of_parts = {"model", "task", "subtask", "donor", "control", "mask", "weights", "rivals", "seed"}
    of_parts |= {"num_training_samples", "photographs", "rows", "num_evaluation_samples"}
    return any(name in told for name in named | of_parts)


def _planned(spec: Run) -> bool:
    """Whether the run is planned. Every function of planning is called, and none raises anything but ValueError."""
    assert decode(encoded(spec)) == spec
    assert len(run_id(spec)) == 16
    hash(spec.pack_shape())
    planned_values(planned_columns(spec))
    assert slug(spec)
    try:
        check_fits([spec], device_bytes=LARGEST_DEVICE, device="the largest has")
        check_curves([spec])
    except ValueError as error:
        return _refused_well(str(error))
    price = cpu_model().price(spec)
    assert 0 <= price.seconds(3) < float("inf")
    return True


def _refused_well(told: str) -> bool:
    """False, after a look at the message of a refusal."""
    assert len(told) < LONGEST_MESSAGE
    of_module = ("make", "arguments", "maskable", "head")
    assert ": one replica needs" in told or ".num_epochs is" in told or any(name in told for name in of_module), told
    return False


def test_hostile_value_in_any_field_is_refused_by_name_or_gives_a_run_that_is_planned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    accepted, counts = _accepted()
    for case, spec in accepted.items():
        start = time.monotonic()
        counts["planned" if _planned(spec) else "refused while planning"] += 1
        assert time.monotonic() - start < SLOWEST_SECONDS, case
    with capsys.disabled():
        print(f"\n{counts.total():,} fields × hostile values ({len(VALUES)} values): {dict(counts)}")
    assert counts.total() >= 3000
    assert counts["refused"] > counts["planned"] > 100


def _trained(spec: Run) -> Finished:
    """The run, trained over parents that are made by hand."""
    (done,) = finished([spec], read=HandMade()).values()
    return done


def _is_small(spec: Run) -> bool:
    """Whether it is trained here in no time; photographs and weights from outside are left out."""
    if not isinstance(spec, TrainingRun) or hasattr(spec.task, "photographs"):
        return False
    steps = max(1, spec.num_epochs) * steps_per_epoch(spec)
    has_weights = all(isinstance(each.weights, FreshWeights) for each in lineage(spec) if isinstance(each, Train))
    return steps <= MOST_STEPS and bytes_per_replica(spec) < MOST_BYTES and has_weights


@pytest.mark.slow
def test_accepted_hostile_value_does_not_end_the_training(capsys: pytest.CaptureFixture[str]) -> None:
    accepted, _ = _accepted()
    small = {run_id(spec): (case, spec) for case, spec in accepted.items() if _planned(spec) and _is_small(spec)}
    failed = {}
    for case, spec in small.values():
        try:
            failure = _trained(spec).replica.failure
        except Exception as error:  # noqa: BLE001  what is reported below, with the rest
            failure = f"{type(error).__name__}: {error}"
        if failure and TOLD_IN_TRAINING.get(case.field, failure + " ") not in failure:
            failed[str(case)] = failure
    with capsys.disabled():
        print(f"\n{len(small)} accepted runs of hostile values trained, {len(failed)} failed")
    assert failed == {}, "\n".join(f"{k}: {v}"[:300] for k, v in failed.items())
    assert len(small) > 100
