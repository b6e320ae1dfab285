"""How a grid stands, as JSON data."""

from typing import Any

from subind.specs.run import Run
from subind.store.results import STATUSES, Failure
from subind.store.store import Heartbeat, Store
from sweeps.planning.plan import Plan
from sweeps.planning.run_states import told_stages, total
from sweeps.watching.snapshot import Snapshot, Watch


def status_data(found: Plan, store: Store, snapshot: Snapshot | None = None) -> dict[str, Any]:
    """The state of every run of a plan as JSON data, with the packs under way, the nodes and why runs have failed.

    A snapshot that the caller has taken tells it; `unattributed` are the finished runs whose nodes it does not know,
    and `unreadable` says by run why its record cannot be read.
    """
    taken = snapshot or Watch(found, store, seconds_of_records=0).look()
    counts = taken.counts
    return {
        "grid": found.grid,
        **{state: total(counts, state) for state in STATUSES},
        "stages": {stage: {state: counts[stage][state] for state in STATUSES} for stage in told_stages(counts)},
        "packs": [_pack_data(beat) for beat in taken.beats],
        "nodes": [node.data() for node in taken.nodes],
        "unattributed": taken.num_unattributed,
        "unreadable": dict(taken.unreadable),
        "failures": [_failure_data(found.runs[failure.run_id], store, failure) for failure in taken.failures],
        "failure_classes": [each.data() for each in taken.failure_classes],
    }


def _pack_data(beat: Heartbeat) -> dict[str, Any]:
    return {
        "pack": beat.pack,
        "host": beat.host,
        "process": beat.process,
        "step": beat.step,
        "num_steps": beat.num_steps,
    }


def _failure_data(spec: Run, store: Store, failure: Failure) -> dict[str, str]:
    return {
        "run_id": failure.run_id,
        "stage": spec.stage,
        "error": failure.error,
        "message": failure.message,
        "traceback": store.failure_path(spec) if failure.traceback else "",
    }
