"""Small records and failures of runs, as a worker would write them."""

from dataclasses import replace
from typing import Any

from subind.identity.run_ids import encoded, run_id
from subind.specs.run import Run
from subind.store.results import Failure, Provenance, RunRecord


def small_record(spec: Run, **changes: Any) -> RunRecord:
    """A record of two epochs, without artifacts."""
    provenance = Provenance(
        commit="0" * 40,
        dirty=False,
        versions={"torch": "2.15.0"},
        device="cpu",
        host="worker",
        started="2026-01-01T00:00:00+00:00",
        seconds=1.5,
        pack_size=1,
    )
    record = RunRecord(
        run_id=run_id(spec),
        stage=spec.stage,
        spec=encoded(spec),
        parents=tuple(map(run_id, spec.parents())),
        provenance=provenance,
        measurements={"test_accuracy": 0.5, "validation_loss": 2.25},
        curves={"epoch": [1.0, 2.0], "validation_loss": [2.5, 2.25]},
    )
    return replace(record, **changes)


def small_failure(spec: Run, **changes: Any) -> Failure:
    """The first failure of a run that was alone in its pack."""
    failure = Failure(
        run_id=run_id(spec),
        error="RuntimeError",
        message="out of luck",
        traceback="Traceback …",
        host="worker",
        pack=(run_id(spec),),
        attempts=1,
        time="2026-01-01T00:00:00+00:00",
    )
    return replace(failure, **changes)
