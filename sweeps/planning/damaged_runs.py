"""Runs of which the store has something that cannot be used: what is wrong with each, and what depends on it.

Such a run counts as failed, with the class Damaged: it is not computed again before somebody has removed the damaged
file, or `subind verify --repair` has. Failures of all kinds are read and put in classes here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from subind.identity.run_ids import run_id
from subind.specs.run import Run, lineage
from subind.store.damage import REPAIR
from subind.store.results import Failure, RunRecord
from subind.store.row_values import measured_values
from subind.store.store import Store
from sweeps.planning.plan import Plan
from sweeps.planning.run_states import move_by_reason

DAMAGED = "Damaged"
"""The class of failure of a run that has no readable record, whole artifacts or readable failure."""

LONGEST_EXAMPLE = 200
"""Letters of a message that stands for its class."""


def with_damaged(plan: Plan, damaged: Mapping[str, str]) -> Plan:
    """The plan with further damaged runs, each with what is wrong with it."""
    if not damaged:
        return plan
    states = plan.states.copy()
    move_by_reason(states, damaged, "damaged")
    return replace(plan, states=states)


def with_damaged_parents(plan: Plan, store: Store) -> Plan:
    """The plan after a look at every finished run that a missing one starts from: its record, and its files' sizes."""
    wanted = {run_id(each): each for run in plan.missing for each in _ancestors(plan.runs[run])}
    several = [spec for run, spec in wanted.items() if run in plan.finished]
    return with_damaged(plan, damaged_runs(several, store)) if several else plan


def _ancestors(run: Run) -> list[Run]:
    return [each for each in lineage(run) if each is not run]


def damaged_runs(several: Sequence[Run], store: Store) -> dict[str, str]:
    """What is wrong with those of the finished runs whose record or files are damaged, as far as sizes tell."""
    records, found = _records(several, store)
    sizes = _sizes(several, store)
    for spec in several:
        if (run := run_id(spec)) in records and (why := wrong_sizes(store.folder(spec), records[run], sizes)):
            found[run] = f"{why[0]}: {REPAIR}"
    return found


def damaged_records(several: Sequence[Run], store: Store) -> dict[str, str]:
    """What is wrong with the records of those of the finished runs whose record is damaged."""
    return _records(several, store)[1]


def _records(several: Sequence[Run], store: Store) -> tuple[dict[str, RunRecord], dict[str, str]]:
    """The records by run, and why others cannot be used; those that are gone since they were listed are in neither."""
    records, damaged = {}, {}
    places = [(store.folder(spec), run_id(spec)) for spec in several]
    for (_, run), record in zip(places, store.records_or_errors(places), strict=True):
        try:
            if not isinstance(record, RunRecord):
                raise record
            measured_values(record)
            records[run] = record
        except FileNotFoundError:
            continue
        except ValueError as error:
            damaged[run] = f"{error}; {REPAIR}"
    return records, damaged


def wrong_sizes(folder: str, record: RunRecord, sizes: Mapping[str, int]) -> list[str]:
    """What is wrong with the run's artifacts as far as a listing tells: those that are gone or have another size."""
    found = []
    for artifact in record.artifacts.values():
        path = f"{folder}/{artifact.file}"
        if path not in sizes:
            found.append(f"{path} is gone")
        elif sizes[path] != artifact.num_bytes:
            found.append(f"{path} has {sizes[path]:,} bytes, and {artifact.num_bytes:,} were committed")
    return found


def _sizes(several: Sequence[Run], store: Store) -> dict[str, int]:
    """The bytes of the files of the runs by path: of a local store by folder, else by one listing of each stage."""
    parts: Iterable[tuple[str, ...]]
    if store.is_local:
        parts = [("runs", spec.stage, store.folder(spec).rpartition("/")[2]) for spec in several]
    else:
        parts = {("runs", spec.stage) for spec in several}
    return {entry.path: entry.num_bytes for each in parts for entry in store.tree(*each)}


def failure_of(run: str, plan: Plan, store: Store) -> Failure | None:
    """Why a failed run of the plan has failed; None if it has been forgiven since."""
    if run in plan.damaged:
        return damaged_failure(run, plan.damaged[run])
    try:
        return store.failure(plan.runs[run])
    except FileNotFoundError:
        return None
    except ValueError as error:
        return damaged_failure(run, f"{error}; `subind retry` removes it")


def damaged_failure(run: str, why: str) -> Failure:
    """The failure of a run of which the store has something damaged. It has no traceback and no host."""
    return Failure(run_id=run, error=DAMAGED, message=why, traceback="", host="", pack=(run,), attempts=0, time="")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureClass:
    """Failures with one error: how many runs have it, and one of them with the first line of its message."""

    error: str
    num_runs: int
    run_id: str
    example: str

    def data(self) -> dict[str, Any]:
        """The class as JSON data."""
        return {"error": self.error, "runs": self.num_runs, "run_id": self.run_id, "example": self.example}


def failure_classes(failures: Iterable[Failure]) -> tuple[FailureClass, ...]:
    """The failures by their error, the most frequent first; the example is that of the lowest run id."""
    by_error: dict[str, list[Failure]] = {}
    for failure in failures:
        by_error.setdefault(failure.error, []).append(failure)
    found = [_failure_class(error, several) for error, several in by_error.items()]
    return tuple(sorted(found, key=lambda each: (-each.num_runs, each.error)))


def _failure_class(error: str, several: list[Failure]) -> FailureClass:
    first = min(several, key=lambda each: each.run_id)
    lines = first.message.strip().splitlines() or [""]
    return FailureClass(
        error=error, num_runs=len(several), run_id=first.run_id, example=_shortened(lines[0], LONGEST_EXAMPLE)
    )


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
