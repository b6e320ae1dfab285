"""What became of the runs of a plan: the state of each, counts by stage, and their failures by class."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from subind.specs.run import STAGES, Stage
from subind.store.results import Failure, Status
from sweeps.planning.plan import Plan

LONGEST_EXAMPLE = 200
"""Letters of a message that stands for its class."""

StageCounts = dict[Stage, Counter[Status]]


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


def told_stages(counts: StageCounts) -> tuple[Stage, ...]:
    """The stages that are shown: those of a sweep, and measurements where there are any."""
    return tuple(stage for stage in STAGES if stage != "measurement" or counts[stage])


def state_of(*, is_finished: bool, is_failed: bool, is_blocked: bool, is_running: bool) -> Status:
    """The state of a run: the first of these that holds, else missing. All that say a state say this one.

    A failure counts while its pack is still computed, for what has failed is not tried again before it is forgiven.
    """
    if is_finished:
        return "finished"
    if is_failed:
        return "failed"
    if is_blocked:
        return "blocked"
    return "running" if is_running else "missing"


def status(plan: Plan, run: str, running: Collection[str]) -> Status:
    """The state of one planned run."""
    return state_of(
        is_finished=run in plan.finished,
        is_failed=run in plan.failed,
        is_blocked=run in plan.blocked,
        is_running=run in running,
    )


def states(plan: Plan, running: Collection[str]) -> dict[str, Status]:
    """The state of every planned run, by id; `running` are those that a living worker computes."""
    return {run: status(plan, run, running) for run in plan.runs}


def stage_counts(plan: Plan, of_runs: Mapping[str, Status]) -> StageCounts:
    """How many runs of each stage are in each state."""
    counts: StageCounts = {stage: Counter() for stage in STAGES}
    for run, state in of_runs.items():
        counts[plan.runs[run].stage][state] += 1
    return counts


def total(counts: StageCounts, state: Status) -> int:
    """How many runs of all stages are in the state."""
    return sum(each[state] for each in counts.values())


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
