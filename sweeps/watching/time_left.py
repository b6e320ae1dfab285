"""How long a sweep still takes, by the work that was done of late: the one estimator of all that show it.

Work is counted in operations, so that a transfer and a donor are not alike. It is as if no run stopped early: a run
that may do so counts as far as it was seen to train. So the time is an upper bound where such runs are left.

    seconds left = work left · (seconds observed + prior) / (work done in them + prior · planned speed)
"""

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from subind.store.store import Heartbeat
from sweeps.costs.work import operations
from sweeps.planning.plan import Plan

SECONDS_OF_SPEED = 900.0
"""The speed is that of the last quarter of an hour."""

LEAST_SECONDS_OF_SPEED = 20.0
"""Without a plan's forecast, an estimate needs to have seen two heartbeats of most packs."""

SECONDS_OF_PRIOR, SHARE_OF_PRIOR = 60.0, 0.05
"""For how many seconds at most, and for what part of its makespan, the plan's own forecast counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How much of the work is done, from 0 to 1, runs an hour, and the seconds left, None where nothing tells them.

    `is_most` says that it takes no longer, for some of the runs left may stop early.
    """

    share_done: float
    runs_per_hour: float | None
    seconds_left: float | None
    is_most: bool


NOT_KNOWN = Estimate(share_done=0.0, runs_per_hour=None, seconds_left=None, is_most=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """At a time: runs finished, and operations done, those of packs under way included."""

    time: float
    num_finished: int
    operations: float


def share_done(beat: Heartbeat) -> float:
    """The part of its planned steps that a pack has done."""
    return min(1.0, beat.step / max(1, beat.num_steps))


class TimeLeft:
    """Observes a sweep and estimates how long it still takes. `clock` counts seconds from any moment."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._operations: dict[str, float] = {}
        self._may_stop: set[str] = set()
        self._shares: dict[str, float] = {}
        self._first_shares: dict[str, float] = {}
        self._seen = deque[_Seen]()

    def hear(self, beat: Heartbeat) -> None:
        """Take down how far a pack is. Where it was when first heard of, from a checkpoint perhaps, tells no speed."""
        if beat.step > 0:
            shares = dict.fromkeys(beat.runs, share_done(beat))
            self._shares |= shares
            self._first_shares = shares | self._first_shares

    def estimate(self, plan: Plan, beats: Collection[Heartbeat]) -> Estimate:
        """The estimate now, when the plan stands so and these packs are under way."""
        for beat in beats:
            self.hear(beat)
        self._learn(plan)
        self._forget_fallen(plan, {run for beat in beats for run in beat.runs})
        left = plan.runs.keys() - plan.finished - plan.failed - plan.blocked
        done = sum(self._done(run) for run in plan.finished) + sum(self._begun(run) for run in left)
        work_left = sum(self._operations[run] - self._begun(run) for run in left)
        self._take_down(done, num_finished=len(plan.finished))
        elapsed, speed = self._speed(plan)
        number = self._seen[-1].num_finished - self._seen[0].num_finished
        return Estimate(
            share_done=done / (done + work_left) if left else float(bool(plan.runs)),
            runs_per_hour=3600 * number / elapsed if number and elapsed >= LEAST_SECONDS_OF_SPEED else None,
            seconds_left=work_left / speed if speed > 0 else None if left else 0.0,
            is_most=not self._may_stop.isdisjoint(left),
        )

    def _learn(self, plan: Plan) -> None:
        for run in plan.runs.keys() - self._operations.keys():
            spec = plan.runs[run]
            self._operations[run], length = operations(spec), spec.length()
            if length.fewest_epochs < length.num_epochs:
                self._may_stop.add(run)

    def _forget_fallen(self, plan: Plan, under_way: set[str]) -> None:
        """Forget how far runs were whose worker is gone: another one goes on from a checkpoint, or starts over."""
        for run in self._shares.keys() - plan.finished - (under_way & plan.runs.keys()):
            del self._shares[run], self._first_shares[run]

    def _begun(self, run: str) -> float:
        """The operations that are done of a run that is not finished."""
        return self._operations[run] * self._shares.get(run, 0.0)

    def _done(self, run: str) -> float:
        """The operations of a finished run: all; of one that may have stopped early, those that were seen."""
        return self._operations[run] * (self._shares.get(run, 1.0) if run in self._may_stop else 1.0)

    # ---- speed

    def _take_down(self, done: float, *, num_finished: int) -> None:
        """Take down how far the sweep is, forget what was long ago, and leave out the time before packs train."""
        now = self._clock()
        observed = done - sum(self._operations[run] * share for run, share in self._first_shares.items())
        if len(self._seen) == 1 and (observed, num_finished) == (self._seen[0].operations, self._seen[0].num_finished):
            self._seen.clear()
        self._seen.append(_Seen(time=now, num_finished=num_finished, operations=observed))
        while len(self._seen) > 2 and now - self._seen[1].time > SECONDS_OF_SPEED:
            self._seen.popleft()

    def _speed(self, plan: Plan) -> tuple[float, float]:
        """For how many seconds there was something to observe, and the operations a second, 0 where nothing tells."""
        first, last = self._seen[0], self._seen[-1]
        elapsed, done = last.time - first.time, last.operations - first.operations
        makespan = plan.schedule.makespan
        if makespan > 0 and done > 0:
            prior = min(SECONDS_OF_PRIOR, SHARE_OF_PRIOR * makespan)
            planned = sum(self._operations[run] for pack in plan.packs for run in pack.runs) / makespan
            return elapsed, max(0.0, done + prior * planned) / (elapsed + prior)
        return elapsed, max(0.0, done) / elapsed if elapsed >= LEAST_SECONDS_OF_SPEED else 0.0
