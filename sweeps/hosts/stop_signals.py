"""The signals that end a command in order: Ctrl-C, SIGTERM (systemd, Slurm, Docker, Kubernetes), a closed terminal.

A signal that the parent process ignores stays ignored: `nohup` ignores SIGHUP, and a shell ignores SIGINT for
background jobs.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C stopped, as in shells."""

_received = list[int]()


def status() -> int:
    """The exit status of a stopped command: 128 plus the signal's number, or that of Ctrl-C if there was no signal."""
    return 128 + _received[0] if _received else INTERRUPTED


@contextmanager
def interrupting() -> Iterator[None]:
    """Let each of the signals raise KeyboardInterrupt in the main thread for the duration of the block."""
    forget()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        note(number)
        raise KeyboardInterrupt

    with handled(interrupt):
        yield


@contextmanager
def deferred() -> Iterator[None]:
    """Only note the first signal, for `has_come`, for the duration of the block; a second one interrupts it."""

    def defer(number: int, _frame: FrameType | None) -> None:
        is_first = not has_come()
        note(number)
        if not is_first:
            raise KeyboardInterrupt

    with handled(defer):
        yield


def has_come() -> bool:
    """Whether a stop was requested."""
    return bool(_received)


def forget() -> None:
    """Forget the signals so far."""
    _received.clear()


def note(number: int) -> None:
    """Note a signal, for `status`."""
    _received.append(number)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Handle the signals with this function for the duration of the block. Outside the main thread this does
    nothing.
    """
    before = {} if threading.current_thread() is not threading.main_thread() else _handlers()
    for each in before:
        signal.signal(each, handler)
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)


def _handlers() -> dict[signal.Signals, Any]:
    """The handlers of the signals, except ignored ones and those that Python cannot change."""
    found = {each: signal.getsignal(each) for each in STOP_SIGNALS}
    return {each: handler for each, handler in found.items() if handler not in (signal.SIG_IGN, None)}


@contextmanager
def kept() -> Iterator[None]:
    """Restore the handlers after the block, because a library replaces them.

    Ray's handler of SIGTERM raises SystemExit; here it becomes KeyboardInterrupt, as everywhere else.
    """
    try:
        with handled_as_before():
            yield
    except SystemExit as ending:
        if ending.code != signal.SIGTERM:
            raise
        note(signal.SIGTERM)
        raise KeyboardInterrupt from None


@contextmanager
def handled_as_before() -> Iterator[None]:
    """Restore the signals' handlers after the block."""
    before = {} if threading.current_thread() is not threading.main_thread() else _handlers()
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)
