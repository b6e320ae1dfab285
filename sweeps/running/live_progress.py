"""What a driver knows of its sweep while it goes on, as snapshots that the display shows."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from subind.store.results import Failure
from subind.store.store import Heartbeat, Store
from sweeps.planning.plan import Pack
from sweeps.running.searcher import PackSearcher
from sweeps.watching.nodes import Origin, Pace, nodes
from sweeps.watching.snapshot import FailureReader, Snapshot, state_counts
from sweeps.watching.time_left import TimeLeft

SECONDS_OF_FAILURES = 0.5
"""How long a snapshot may read why runs have failed: the sweep waits meanwhile."""


SECONDS_BETWEEN_PACKS = 5.0
WAITING = "waiting: what is left is computed elsewhere, or tried again in a moment"


class LiveProgress:
    """Takes what workers report, and gives snapshots of the searcher's sweep.

    `note` is a line about something beside the sweep.
    """

    def __init__(self, searcher: PackSearcher, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.note = ""
        self._doing = ""
        self._clock = clock
        self._last_busy = clock()
        self._searcher = searcher
        self._failures = FailureReader(store)
        self._time_left = TimeLeft(clock=clock)
        self._pace = Pace()
        self._beats: dict[str, Heartbeat] = {}
        self._accuracies: dict[str, tuple[float, ...]] = {}
        self._origins: dict[str, Origin] = {}

    def begin(self, doing: str) -> None:
        """Say what the driver does from now on while no pack is under way; empty if packs are."""
        self._doing, self._last_busy = doing, self._clock()

    def take(self, trial: str, result: Mapping[str, Any]) -> None:
        """Take what the worker of a trial has reported of its pack."""
        pack = self._searcher.running.get(trial)
        if pack is None or "step" not in result:
            return
        beat = replace(
            _silent(pack),
            host=result.get("host", ""),
            process=result.get("pid", 0),
            epoch=result["epoch"],
            step=result["step"],
            num_steps=result["num_steps"],
        )
        self._beats[trial], self._accuracies[pack.name] = beat, tuple(result["accuracies"])
        self._origins.update(dict.fromkeys(beat.runs, Origin(host=beat.host, device="")))
        self._time_left.hear(beat)

    def snapshot(self) -> Snapshot:
        """How the sweep stands now."""
        searcher = self._searcher
        plan = replace(searcher.plan, states=searcher.states)
        packs = {} if self._doing else searcher.running
        self._beats = {trial: self._beats.get(trial, _silent(pack)) for trial, pack in packs.items()}
        beats = tuple(self._beats.values())
        self._pace.see(beats)
        failures: tuple[Failure, ...] = ()
        with suppress(OSError):
            failures = self._failures.failures(plan, within_seconds=SECONDS_OF_FAILURES)
        self._last_busy = self._clock() if beats else self._last_busy
        heard = [beat for beat in beats if beat.host]
        return Snapshot(
            grid=plan.grid,
            states=state_counts(searcher.states),
            beats=beats,
            accuracies={beat.pack: self._accuracies.get(beat.pack, ()) for beat in beats},
            nodes=nodes(heard, origins=self._origins, finished=plan.finished, rates=self._pace.rates, now=time.time()),
            failures=failures,
            estimate=self._time_left.estimate(plan, beats),
            doing=self._doing or ("" if beats else self._waits_for()),
            note=" · ".join(filter(None, (searcher.feed.note, self.note))),
        )

    def _waits_for(self) -> str:
        """What the driver waits for while no pack is under way; between two packs that is no news."""
        return WAITING if self._clock() - self._last_busy > SECONDS_BETWEEN_PACKS else "packs are handed out"


def _silent(pack: Pack) -> Heartbeat:
    """The pack before its worker has said anything."""
    return Heartbeat(pack=pack.name, runs=pack.runs, host="", process=0, epoch=0, step=0, num_steps=1, time=time.time())
