"""A Tune searcher that hands out a pack as soon as its own parents are committed: no barrier between stages."""

import time
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from subind import spec as specs
from subind.fingerprint import run_id
from subind.store import Store
from sweeps.plan import Pack, Plan, descendants

SECONDS_BETWEEN_LOOKS = 5.0
"""How often the store is asked what other drivers have finished, and what has failed there."""


class PackSearcher(Searcher):
    """Hands the packs of a plan to Tune, and keeps account of what is running, failed and blocked.

    A pack that another driver computes (its heartbeat is alive) is handed out only when that driver has left it.
    Nothing more is handed out once `is_stopped()`. While no pack is running and none can, Tune does nothing but ask for
    one again: `on_wait` is called then.
    """

    def __init__(self, plan: Plan, store: Store, *, is_stopped: Callable[[], bool] = lambda: False) -> None:
        super().__init__(metric=None, mode=None)
        self.on_wait: Callable[[], None] = lambda: None
        self.plan = plan
        self.finished = set(plan.finished)
        self.failed = set(plan.failed)
        self.blocked = set(plan.blocked)
        self.running: dict[str, Pack] = {}
        self._store = store
        self._is_stopped = is_stopped
        self._waiting = list(plan.packs)
        self._started: set[str] = set()
        self._looked = float("-inf")

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        """The next pack that can run now, as a Tune config; None to wait; FINISHED when nothing is left."""
        self._look()
        self._drop_what_needs_no_run()
        if not self._waiting or self._is_stopped():
            return Searcher.FINISHED
        taken = {run for beat in self._store.heartbeats() if beat.pack not in self._started for run in beat.runs}
        for pack in self._waiting:
            if _parents(pack) <= self.finished and taken.isdisjoint(pack.runs):
                return self._handed_out(pack, trial_id)
        if not self.running:
            self.on_wait()
        return None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Account for a pack that has ended; what it did not commit has failed, and its descendants are blocked."""
        pack = self.running.pop(trial_id, None)
        if pack is None:
            return
        for spec in pack.specs:
            if self._store.is_finished(spec):
                self.finished.add(run_id(spec))
            else:
                self.failed.add(run_id(spec))
        self._block()

    def num_waiting(self) -> int:
        """How many packs are not yet handed out."""
        return len(self._waiting)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher for Tuner.restore, which is never used."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the only truth, and resume is planning again."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""

    def _look(self) -> None:
        if time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        planned, own = self.plan.runs.keys(), {run for pack in self.running.values() for run in pack.runs}
        listing = self._store.listing()
        self.finished |= listing.finished.keys() & planned
        self.failed |= (listing.failed & planned) - own
        self.failed -= self.finished
        self._block()
        self._looked = time.monotonic()

    def _block(self) -> None:
        self.blocked = set(descendants(self.plan.runs, self.failed)) - self.finished - self.failed

    def _drop_what_needs_no_run(self) -> None:
        done = self.finished | self.failed | self.blocked
        kept = []
        for pack in self._waiting:
            left = tuple(spec for spec in pack.specs if run_id(spec) not in done)
            if left:
                kept.append(Pack(name=pack.name, stage=pack.stage, specs=left))
        self._waiting = kept

    def _handed_out(self, pack: Pack, trial_id: str) -> dict[str, Any]:
        self._waiting.remove(pack)
        self._started.add(pack.name)
        self.running[trial_id] = pack
        return {"pack": pack.name, "runs": list(pack.runs)}


def _parents(pack: Pack) -> set[str]:
    return {run_id(parent) for spec in pack.specs for parent in specs.parents(spec)}
