"""The MLflow mirror of a sweep, beside it in a thread."""

import math
import threading
from collections.abc import Iterable
from queue import SimpleQueue

from subind.specs.run import Run
from sweeps.hosts import stop_signals
from sweeps.mirror.mirror import Mirror
from sweeps.planning.plan import Plan

SECONDS_BETWEEN_TURNS = 10.0
SECONDS_OF_A_TURN = 2.0
"""The mirror works for so long at a time, so that it does not hold up the end of a sweep."""

SECONDS_AT_STOP = 1.0
"""How long a stop waits for the run that is being mirrored."""


class MirrorThread:
    """Mirrors finished runs to MLflow beside the sweep; a tracker that is slow or down delays only this.

    When the block ends, it mirrors what is left; not so at a stop, after which the next run does, or `subind sync`.
    `note` says what it is behind with.
    """

    def __init__(self, mirror: Mirror, plan: Plan) -> None:
        self.note = ""
        self._mirror = mirror
        self._told = SimpleQueue[Run]()
        self._pending: list[Run] = []
        self.tell(plan.runs[run] for run in plan.finished)
        self._wake = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> "MirrorThread":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self.wake()
        if kind is not None or stop_signals.has_come():
            self._thread.join(SECONDS_AT_STOP)
        else:
            self._thread.join()
            self._catch_up(within_seconds=math.inf)

    def tell(self, finished: Iterable[Run]) -> None:
        """Say that runs are finished."""
        for spec in finished:
            self._told.put(spec)

    def wake(self) -> None:
        """Say that it is time to mirror what is told."""
        self._wake.set()

    def _loop(self) -> None:
        while not self._over.is_set():
            self._wake.wait(SECONDS_BETWEEN_TURNS)
            self._wake.clear()
            if not self._over.is_set():
                self._catch_up(within_seconds=SECONDS_OF_A_TURN)

    def _catch_up(self, *, within_seconds: float) -> None:
        while not self._told.empty():
            self._pending.append(self._told.get())
        outcome = self._mirror.mirror_finished(self._pending, within_seconds=within_seconds)
        self._pending = [spec for spec in self._pending if not self._mirror.has(spec)]
        delayed, error_text = outcome.num_delayed, outcome.error
        self.note = f"MLflow is {delayed} runs behind ({error_text})" if delayed else ""
