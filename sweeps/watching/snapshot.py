"""How a sweep stands at a moment, as one value: the driver of a sweep and those who watch its store fill the same."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from subind.specs.run import STAGES, Stage
from subind.store.results import Failure, Status
from subind.store.store import Heartbeat, Store
from sweeps.hosts.terminal import duration
from sweeps.planning.damaged_runs import FailureClass, failure_classes, failure_of
from sweeps.planning.plan import Plan
from sweeps.planning.run_states import ROW_STATUS, STATES, TO_COMPUTE, WITHOUT_RESULT, RunStates, StageCounts, State
from sweeps.watching.nodes import Node
from sweeps.watching.time_left import NOT_KNOWN, Estimate

StateCounts = Mapping[Stage, Counter[State]]


def state_counts(states: RunStates) -> StateCounts:
    """How many runs of each stage are in each state."""
    return {stage: +Counter({state: states.num_in(stage, state) for state in STATES}) for stage in STAGES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A grid's runs by state, its packs under way, the nodes that compute them, and the failures of its runs.

    A heartbeat without a host is that of a pack whose worker is starting. `accuracies` are the last ones of the
    replicas by pack, where they are known. `num_unattributed` runs are finished on hosts that are not known yet.
    `unreadable` says by run what is wrong with a damaged record, and what to do; such a run counts as failed. `doing`
    says what happens now, where that is something else than training. `note` and `trouble` are lines for a person;
    with `trouble` the store could not be read, and the snapshot is an earlier one.
    """

    grid: str
    states: StateCounts
    beats: tuple[Heartbeat, ...] = ()
    accuracies: Mapping[str, Sequence[float]] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    failures: tuple[Failure, ...] = ()
    num_unattributed: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    estimate: Estimate = NOT_KNOWN
    doing: str = ""
    note: str = ""
    trouble: str = ""

    @property
    def counts(self) -> StageCounts:
        """How many runs of each stage have each status of a result row."""
        found: dict[Stage, Counter[Status]] = {stage: Counter() for stage in self.states}
        for stage, counts in self.states.items():
            for state, number in counts.items():
                found[stage][ROW_STATUS[state]] += number
        return found

    def num_in(self, *states: State) -> int:
        """How many runs of all stages are in any of the states."""
        return sum(counts[state] for counts in self.states.values() for state in states)

    @property
    def num_runs(self) -> int:
        """How many runs are planned."""
        return self.num_in(*STATES)

    @property
    def is_over(self) -> bool:
        """Whether nothing of the grid is running or left to compute."""
        return not self.trouble and self.num_in(*TO_COMPUTE) == 0

    @property
    def failure_classes(self) -> tuple[FailureClass, ...]:
        """The failures by their error."""
        return failure_classes(self.failures)

    @property
    def has_failed(self) -> bool:
        """Whether a run of the grid has failed."""
        return self.num_in(*WITHOUT_RESULT) > 0

    @property
    def outlook(self) -> str:
        """What is done now, or how long it still takes."""
        if self.doing:
            return self.doing
        if self.is_over:
            return "done"
        if not self.beats:
            return "no worker is heard of"
        if self.estimate.seconds_left is None:
            return _beginning(self.beats)
        seconds = self.estimate.seconds_left
        span = duration(10 * max(1, ceil(seconds / 10)) if seconds < 90 else seconds)
        return f"{'at most' if self.estimate.is_most else 'about'} {span} left"


def _beginning(beats: Sequence[Heartbeat]) -> str:
    """What packs do that have not trained for long enough to tell when they are done."""
    starting, loading = sum(not beat.host for beat in beats), sum(beat.step == 0 for beat in beats)
    if starting == len(beats):
        return "workers are starting"
    return "packs are loading" if loading == len(beats) else "time left not known yet"


class FailureReader:
    """Reads why runs have failed: each failure once, and those that are forgiven are forgotten."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Failure] = {}

    def failures(self, plan: Plan, *, within_seconds: float) -> tuple[Failure, ...]:
        """The failures of the plan's runs, as far as they can be read in that time."""
        end = time.monotonic() + within_seconds
        self._known = {run: each for run, each in self._known.items() if run in plan.failed}
        for run in sorted(plan.failed & plan.runs.keys() - self._known.keys()):
            if time.monotonic() >= end:
                break
            if (why := failure_of(run, plan, self._store)) is not None:
                self._known[run] = why
        return tuple(self._known.values())
