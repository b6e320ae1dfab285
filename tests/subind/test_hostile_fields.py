"""Every field of a spec with hostile values: refused in a short line that names it, or a run that can be planned."""

import time
from collections import Counter
from typing import Any

import pytest

from subind.identity.run_ids import decode, encoded, run_id
from subind.specs import runs as specs
from subind.specs.runs import ArithmeticSpec, Spec
from subind.stages import run as stages
from subind.training.loop import Finished, Runtime
from sweeps.cells import planned_columns
from sweeps.cost import cpu_model
from sweeps.memory import LARGEST_DEVICE, bytes_per_replica, check_fits
from sweeps.preparation import check_curves
from tests.hostile_values import VALUES, Case, cases
from tests.subind import image_packs, packs

LONGEST_MESSAGE = 1000
SLOWEST_SECONDS = 5.0
MOST_STEPS, MOST_BYTES = 2000, 5e7
"""Of the accepted runs that are trained."""


def _accepted() -> tuple[dict[Case, Spec], Counter[str]]:
    """The runs that are made, and how many were refused; a wrong refusal raises."""
    accepted: dict[Case, Spec] = {}
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
    of_parts |= {"num_training_samples", "photographs"}
    return any(name in told for name in named | of_parts)


def _planned(spec: Spec) -> bool:
    """Whether the run is planned. Every function of planning is called, and none raises anything but ValueError."""
    assert decode(encoded(spec)) == spec
    assert len(run_id(spec)) == 16
    hash(specs.pack_shape(spec))
    planned_columns(spec)
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
    assert ": one replica needs" in told or ".num_epochs is" in told
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


def _trained(spec: Spec) -> Finished:
    """The run, trained over parents that are made by hand."""
    read: Any = packs.PARENTS if isinstance(spec, ArithmeticSpec) else image_packs.parents
    runtime = Runtime(device="cpu", num_threads=1, checkpoint_seconds=float("inf"))
    (done,) = stages.run([spec], read=read, runtime=runtime, save=lambda saved: None, report=lambda progress: None)
    return done


def _is_small(spec: Spec) -> bool:
    """Whether it is trained here in no time; photographs and weights from outside are left out."""
    steps = max(1, spec.num_epochs) * specs.steps_per_epoch(spec)
    is_drawn = isinstance(spec, ArithmeticSpec) or isinstance(specs.image_task(spec), specs.ShapesTask)
    has_weights = all(
        isinstance(each.weights, specs.FreshWeights)
        for each in specs.lineage(spec)
        if isinstance(each, specs.Donor | specs.ImageDonor)
    )
    return steps <= MOST_STEPS and bytes_per_replica(spec) < MOST_BYTES and is_drawn and has_weights


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
        if failure and not (case.field == "learning_rate" and "lower the learning rate" in failure):
            failed[str(case)] = failure
    with capsys.disabled():
        print(f"\n{len(small)} accepted runs of hostile values trained, {len(failed)} failed")
    assert failed == {}, "\n".join(f"{k}: {v}"[:300] for k, v in failed.items())
    assert len(small) > 100
