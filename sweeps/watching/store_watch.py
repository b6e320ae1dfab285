"""A grid followed in its store: what changes while workers anywhere compute it, by reads that stay cheap.

Heartbeats are read at every look. The listing of the runs, which on an object store takes a request per thousand files,
is read anew only so often that it takes at most a tenth of the time. Records and failures are read once each.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from math import inf

from subind.store.listing import Listing
from subind.store.store import Heartbeat, Store
from sweeps.planning.damaged_runs import with_damaged
from sweeps.planning.plan import Plan, standing
from sweeps.planning.run_states import with_running
from sweeps.watching.nodes import Origins, Pace, nodes
from sweeps.watching.snapshot import FailureReader, Snapshot, state_counts
from sweeps.watching.time_left import TimeLeft

SHARE_OF_TIME = 0.1
"""The part of the time that listing the runs may take."""

SECONDS_OF_RECORDS = 1.0
"""How long a look may read records, to tell on which hosts runs were finished."""


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
        self._failures = FailureReader(store)
        self._time_left = TimeLeft(clock=clock)
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
        return Snapshot(
            grid=plan.grid,
            states=state_counts(with_running(plan.states, running)),
            beats=beats,
            nodes=nodes(beats, origins=self._origins.known, finished=finished, rates=self._pace.rates, now=time.time()),
            failures=self._failures.failures(plan, within_seconds=inf),
            num_unattributed=unread,
            unreadable=self._origins.unreadable,
            estimate=self._time_left.estimate(plan, beats),
        )

    def _beats(self) -> tuple[Heartbeat, ...]:
        """The heartbeats of packs with runs of the plan."""
        runs = self._plan.runs.keys()
        several = (beat for beat in self._store.heartbeats() if not runs.isdisjoint(beat.runs))
        return tuple(sorted(several, key=lambda beat: beat.pack))

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


def recounted(plan: Plan, listing: Listing, *, before: Listing | None = None) -> Plan:
    """The plan with its runs finished, failed and blocked as a later listing has them.

    What was damaged is so until its record is gone, or another than in the listing before.
    """
    now, stamps = listing.finished, listing.finished if before is None else before.finished
    still = {run: why for run, why in plan.damaged.items() if run in now and stamps.get(run) == now[run]}
    return standing(plan, finished=listing.finished, failed=listing.failed, damaged={**still, **listing.damaged})
