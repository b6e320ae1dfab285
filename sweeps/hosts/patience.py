"""Interruptible waits: for a store that does not answer, a full disk, a server that starts.

All waits of the service are here. A stop (Ctrl-C, SIGTERM, SIGHUP) ends each within a fifth of a second.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from subind.store import remote_files
from subind.store.errors import DamagedError, is_full, shown
from sweeps.hosts import stop_signals

FIRST_PAUSE = 1.0
SECONDS_BETWEEN_GLANCES = 0.2
"""How often a pause looks for a stop."""

remote_files.interruptions.append(stop_signals.has_come)

Answer = TypeVar("Answer")


def pause(seconds: float) -> None:
    """Sleep. Raises KeyboardInterrupt as soon as a stop is requested, even if the signal itself raises nothing."""
    end = time.monotonic() + seconds
    while not stop_signals.has_come():
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, SECONDS_BETWEEN_GLANCES))
    raise KeyboardInterrupt


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long an attempt is repeated, and after which errors.

    Pauses double from a second up to `longest_pause`; no attempt begins later than `seconds` after the first. The
    line `trouble` is printed when a wait begins, and `relief` when it ends.
    """

    passes: Callable[[OSError], bool]
    trouble: str
    relief: str
    longest_pause: float
    seconds: float

    def answer(self, ask: Callable[[], Answer], *, tell: Callable[[str], None]) -> Answer:
        """The result of `ask`, repeated while it raises an error that may pass. Raises any other error, or the last."""
        start, seconds, is_waiting = time.monotonic(), FIRST_PAUSE, False
        while True:
            try:
                result = ask()
            except OSError as error:
                seconds = min(seconds, self.longest_pause)
                if not self.passes(error) or time.monotonic() - start + seconds > self.seconds:
                    raise
                if not is_waiting:
                    tell(self.trouble.format(error=shown(str(error))))
            else:
                if is_waiting:
                    tell(self.relief)
                return result
            is_waiting = True
            pause(seconds)
            seconds *= 2


def _is_silence(error: OSError) -> bool:
    """Whether waiting may help. It does not restore a missing or damaged file."""
    return not isinstance(error, FileNotFoundError | DamagedError)


STORE = Patience(
    passes=_is_silence,
    trouble="the store does not answer ({error}); retrying for up to 3 min",
    relief="the store answers again",
    longest_pause=60.0,
    seconds=180.0,
)
"""An object store retries for two minutes by itself, so no request takes more than five."""

DISK = Patience(
    passes=is_full,
    trouble="a disk is full ({error}); waiting until there is room",
    relief="there is room again: continuing",
    longest_pause=4.0,
    seconds=inf,
)
"""Only a stop ends this wait, so that no result is lost."""
