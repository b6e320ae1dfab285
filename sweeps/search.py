"""A Tune searcher that hands out a pack as soon as its own parents are committed: no barrier between stages."""

import time
from collections.abc import Collection
from typing import Any

from ray.tune.search import Searcher

from subind import spec as specs
from subind.fingerprint import run_id
from subind.store import Store
from sweeps.plan import Pack, Plan, descendants

SECONDS_BETWEEN_LOOKS = 5.0
"""How often the store is asked what other drivers have finished."""


class PackSearcher(Searcher):
    """Hands the packs of a plan to Tune, and keeps account of what is running, failed and blocked.

    A pack that another driver computes (its heartbeat is alive) is handed out only when that driver has left it.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        super().__init__(metric=None, mode=None)
        self.plan = plan
        self.finished = set(plan.finished)
        self.failed = set(plan.failed)
        self.blocked = set(plan.blocked)
        self.running: dict[str, Pack] = {}
        self._store = store
        self._waiting = list(plan.packs)
        self._own = {pack.name for pack in plan.packs}
        self._started: set[str] = set()
        self._looked = 0.0

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next pack that can run now, as a Tune config; None to wait; FINISHED when nothing is left."""
        self._look()
        self._drop_what_needs_no_run()
        if not self._waiting:
            return Searcher.FINISHED
        elsewhere = {beat.pack for beat in self._store.heartbeats() if beat.pack not in self._started}
        taken = {each for beat in self._store.heartbeats() if beat.pack in elsewhere for each in beat.runs}
        for pack in self._waiting:
            if self._is_ready(pack) and not taken.intersection(pack.runs):
                return self._handed_out(pack, trial_id)
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
        self.blocked |= descendants(self.plan.runs, self.failed) - self.finished - self.failed

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
        if time.monotonic() - self._looked > SECONDS_BETWEEN_LOOKS:
            self.finished |= self._store.finished() & self.plan.runs.keys()
            self._looked = time.monotonic()

    def _drop_what_needs_no_run(self) -> None:
        done = self.finished | self.failed | self.blocked
        kept = []
        for pack in self._waiting:
            left = tuple(spec for spec in pack.specs if run_id(spec) not in done)
            if left:
                kept.append(Pack(name=pack.name, stage=pack.stage, specs=left))
        self._waiting = kept

    def _is_ready(self, pack: Pack) -> bool:
        return _parents(pack) <= self.finished

    def _handed_out(self, pack: Pack, trial_id: str) -> dict[str, Any]:
        self._waiting.remove(pack)
        self._started.add(pack.name)
        self.running[trial_id] = pack
        return {"pack": pack.name, "runs": list(pack.runs)}


def _parents(pack: Pack) -> Collection[str]:
    return {run_id(parent) for spec in pack.specs for parent in specs.parents(spec)}
