"""Waiting for a store that does not answer, or whose disk is full: a sweep outlives both."""

import time
from collections.abc import Callable
from typing import TypeVar

from subind.store import remote_files
from subind.store.errors import DamagedError, is_full, shown
from sweeps.hosts import stop_signals

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0)
"""Seconds between one attempt and the next."""

PATIENCE_SECONDS = 180.0
"""No attempt begins later. An object store's own patience is two minutes, so that no question takes over five."""

SECONDS_BETWEEN_GLANCES = 0.2
"""How often a pause looks for a signal to stop."""

remote_files.interruptions.append(stop_signals.has_come)

Answer = TypeVar("Answer")


SECONDS_BETWEEN_TRIES = 3.0
"""How often a write to a full disk is tried again."""


def when_there_is_room(write: Callable[[], Answer], *, tell: Callable[[str], None]) -> Answer:
    """What `write` gives, tried again for as long as a disk is full; `tell` is told so, and when that is over.

    Raises every other error. Nothing but an interrupt ends the wait: what was computed is not thrown away.
    """
    is_waiting = False
    while True:
        try:
            answer = write()
        except OSError as error:
            if not is_full(error):
                raise
            if not is_waiting:
                tell(f"a disk is full ({shown(str(error))}); waiting until there is room")
            is_waiting = True
            _pause(SECONDS_BETWEEN_TRIES)
            continue
        if is_waiting:
            tell("there is room again: it goes on")
        return answer


def patiently(ask: Callable[[], Answer], *, tell: Callable[[str], None]) -> Answer:
    """What `ask` gives, asked again after a pause where it raises OSError; `tell` is told so. Raises the last error.

    A file that is absent or damaged is no matter of time: its error is raised at once. Raises KeyboardInterrupt where
    the command is told to stop meanwhile.
    """
    start = time.monotonic()
    for pause in PAUSES:
        try:
            return ask()
        except (FileNotFoundError, DamagedError):
            raise
        except OSError as error:
            if time.monotonic() - start + pause > PATIENCE_SECONDS:
                raise
            tell(f"the store does not answer ({error}); it is asked again in {pause:.0f} s")
            _pause(pause)
    return ask()


def _pause(seconds: float) -> None:
    """Sleep; in a sweep the first signal to stop raises nothing, and is looked for."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 or stop_signals.has_come():
        if stop_signals.has_come():
            raise KeyboardInterrupt
        time.sleep(min(left, SECONDS_BETWEEN_GLANCES))
