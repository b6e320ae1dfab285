"""A grid followed in its store: what changes while workers anywhere compute it, by reads that stay cheap.

Heartbeats are read at every look. The listing of the runs, which on an object store takes a request per thousand files,
is read anew only so often that it takes at most a tenth of the time. Records and failures are read once each.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from subind.specs.run import STAGES
from subind.store.listing import Listing
from subind.store.results import STATUSES, Failure
from subind.store.store import Heartbeat, Store
from sweeps.costs.work import operations
from sweeps.hosts.terminal import duration
from sweeps.planning.damaged_runs import FailureClass, failure_classes, failure_of, with_damaged
from sweeps.planning.plan import Plan, standing
from sweeps.planning.run_states import (
    StageCounts,
    told_stages,
    total,
    with_running,
)
from sweeps.watching.nodes import Node, Origins, Pace, nodes

SHARE_OF_TIME = 0.1
"""The part of the time that listing the runs may take."""

SECONDS_OF_RECORDS = 1.0
"""How long a look may read records, to tell on which hosts runs were finished."""

SECONDS_OF_SPEED = 900.0
"""The speed is that of the last quarter of an hour."""

LEAST_SECONDS_OF_SPEED = 20.0
"""A forecast needs to have seen two heartbeats of most packs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a look at a grid found: its runs by state, the packs under way, the failures of its runs.

    `num_unattributed` runs are finished on hosts that are not known yet. `unreadable` says by run what is wrong with a
    damaged record, and what to do; such a run counts as failed. The speed and the seconds left are None while
    too little has been seen; they hold as if nothing stopped early. `trouble` says why the store could not be read.
    """

    grid: str
    counts: StageCounts
    beats: tuple[Heartbeat, ...] = ()
    nodes: tuple[Node, ...] = ()
    failures: tuple[Failure, ...] = ()
    num_unattributed: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    runs_per_hour: float | None = None
    seconds_left: float | None = None
    trouble: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing of the grid is running or missing."""
        return not self.trouble and total(self.counts, "running") + total(self.counts, "missing") == 0

    @property
    def failure_classes(self) -> tuple[FailureClass, ...]:
        """The failures by their error."""
        return failure_classes(self.failures)

    @property
    def has_failed(self) -> bool:
        """Whether a run of the grid has failed."""
        return total(self.counts, "failed") > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Progress:
    """At a time: runs finished, and operations done, those of packs under way included."""

    time: float
    num_finished: int
    operations: float


class Watch:
    """Follows the runs of a plan that has just been accounted for; every `look` tells how they stand.

    A look reads records for at most `seconds_of_records`. `clock` counts seconds from any moment.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        *,
        seconds_of_records: float = SECONDS_OF_RECORDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._store = store
        self._seconds_of_records = seconds_of_records
        self._clock = clock
        self._origins = Origins(store)
        self._pace = Pace()
        self._failures: dict[str, Failure] = {}
        self._operations = {run: operations(spec) for run, spec in plan.runs.items()}
        self._seen: deque[_Progress] = deque()
        self._next_listing = clock()
        self._last: Snapshot | None = None
        self._listing: Listing | None = None

    def look(self) -> Snapshot:
        """How the grid stands now. A store that cannot be read just now, or a file of it, is told in the last snapshot.

        Raises OSError or ValueError if that is so at the first look.
        """
        try:
            found = self._looked()
        except (OSError, ValueError) as error:
            if self._last is None:
                raise
            found = replace(self._last, trouble=f"the store cannot be read: {error}")
        self._last = found
        return found

    def _looked(self) -> Snapshot:
        beats = self._beats()
        if self._last is not None and (self._clock() >= self._next_listing or self._has_ended(beats)):
            self._recount()
        self._pace.see(beats)
        running = {run for beat in beats for run in beat.runs}
        finished = {run: self._plan.runs[run] for run in self._plan.finished}
        unread = self._origins.learn(finished, within_seconds=self._seconds_of_records)
        self._plan = plan = with_damaged(self._plan, self._origins.unreadable)
        self._read_failures()
        self._take_down(beats)
        runs_per_hour, seconds_left = self._speed()
        return Snapshot(
            grid=plan.grid,
            counts=with_running(plan.states, running).stage_counts(),
            beats=beats,
            nodes=nodes(beats, origins=self._origins.known, finished=finished, rates=self._pace.rates, now=time.time()),
            failures=tuple(self._failures.values()),
            num_unattributed=unread,
            unreadable=self._origins.unreadable,
            runs_per_hour=runs_per_hour,
            seconds_left=seconds_left,
        )

    def _beats(self) -> tuple[Heartbeat, ...]:
        """The heartbeats of packs with runs of the plan."""
        runs = self._plan.runs.keys()
        return tuple(beat for beat in self._store.heartbeats() if not runs.isdisjoint(beat.runs))

    def _has_ended(self, beats: tuple[Heartbeat, ...]) -> bool:
        """Whether a pack that was under way is no more, so that its runs have become something else."""
        before = self._last.beats if self._last is not None else ()
        return not {beat.pack for beat in before} <= {beat.pack for beat in beats}

    def _recount(self) -> None:
        start = self._clock()
        listing = self._store.listing()
        self._plan, self._listing = recounted(self._plan, listing, before=self._listing), listing
        end = self._clock()
        self._next_listing = end + (end - start) * (1 / SHARE_OF_TIME - 1)

    def _read_failures(self) -> None:
        """Read the failures that are new and forget those that are no more."""
        kept = {run: each for run, each in self._failures.items() if run in self._plan.failed}
        new = {run: self._failure(run) for run in self._plan.runs if run in self._plan.failed and run not in kept}
        self._failures = kept | {run: each for run, each in new.items() if each is not None}

    def _failure(self, run: str) -> Failure | None:
        """The failure of a run; None if it has been forgiven since the listing."""
        return failure_of(run, self._plan, self._store)

    # ---- speed

    def _take_down(self, beats: tuple[Heartbeat, ...]) -> None:
        """Take down how far the grid is now, and forget what was long ago."""
        now, plan = self._clock(), self._plan
        done = sum(self._operations[run] for run in plan.finished) + self._under_way(beats)
        self._seen.append(_Progress(time=now, num_finished=len(plan.finished), operations=done))
        while len(self._seen) > 2 and now - self._seen[1].time > SECONDS_OF_SPEED:
            self._seen.popleft()

    def _under_way(self, beats: tuple[Heartbeat, ...]) -> float:
        done = 0.0
        for beat in beats:
            share = min(1.0, beat.step / max(1, beat.num_steps))
            done += share * sum(self._operations.get(run, 0.0) for run in beat.runs if run not in self._plan.finished)
        return done

    def _speed(self) -> tuple[float | None, float | None]:
        """Runs an hour, and the seconds left at the speed of late; None where nothing tells them."""
        first, last = self._seen[0], self._seen[-1]
        elapsed = last.time - first.time
        if elapsed < LEAST_SECONDS_OF_SPEED:
            return None, None
        left_out = self._plan.failed | self._plan.blocked
        planned = sum(each for run, each in self._operations.items() if run not in left_out)
        speed = (last.operations - first.operations) / elapsed
        runs_per_hour = 3600 * (last.num_finished - first.num_finished) / elapsed
        return runs_per_hour, max(0.0, planned - last.operations) / speed if speed > 0 else None


def recounted(plan: Plan, listing: Listing, *, before: Listing | None = None) -> Plan:
    """The plan with its runs finished, failed and blocked as a later listing has them.

    What was damaged is so until its record is gone, or another than in the listing before.
    """
    now, stamps = listing.finished, listing.finished if before is None else before.finished
    still = {run: why for run, why in plan.damaged.items() if run in now and stamps.get(run) == now[run]}
    return standing(plan, finished=listing.finished, failed=listing.failed, damaged={**still, **listing.damaged})


# ---- as text


def line(snapshot: Snapshot) -> str:
    """The snapshot in one line."""
    counts = snapshot.counts
    stages = [f"{stage}s {counts[stage]['finished']}/{sum(counts[stage].values())}" for stage in told_stages(counts)]
    others = [f"{state} {total(counts, state)}" for state in STATUSES if state != "finished"]
    where = f"packs {len(snapshot.beats)} · nodes {sum(node.num_packs > 0 for node in snapshot.nodes)}"
    parts = [*stages, *others, where, speed_told(snapshot)]
    parts += [f"{each.error} {each.num_runs}" for each in snapshot.failure_classes]
    parts += [unreadable_told(snapshot)] if snapshot.unreadable else []
    return " · ".join([*parts, snapshot.trouble] if snapshot.trouble else parts)


def change_key(snapshot: Snapshot) -> tuple[object, ...]:
    """What differs when something has happened: runs have begun, are finished or failed, or the store has trouble."""
    counts = tuple(snapshot.counts[stage][state] for stage in STAGES for state in STATUSES)
    return counts, len(snapshot.beats), len(snapshot.unreadable), bool(snapshot.trouble)


def unreadable_told(snapshot: Snapshot) -> str:
    """How many damaged records there are, and the first of them with its remedy."""
    first = next(iter(snapshot.unreadable.values()))
    return f"records that cannot be read: {len(snapshot.unreadable)}, such as {first}"


def speed_told(snapshot: Snapshot) -> str:
    """Runs an hour and the time left, as far as they are known."""
    if snapshot.is_over:
        return "done"
    if len(snapshot.beats) == 0:
        return "no worker is heard of"
    rate = "" if snapshot.runs_per_hour is None else f"{snapshot.runs_per_hour:.0f} runs/h · "
    return f"{rate}ETA {duration(snapshot.seconds_left)}"
