"""The signals that end a command in order: Ctrl-C, SIGTERM (systemd, Slurm, Docker, Kubernetes), a closed terminal.

One that the command's parent has told to be ignored stays ignored: `nohup` ignores SIGHUP so, a shell's background
SIGINT.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C stopped, as shells have it."""

_received = list[int]()


def status() -> int:
    """The exit status of a command that was stopped: 128 and the signal's number, of Ctrl-C where it was none."""
    return 128 + _received[0] if _received else INTERRUPTED


@contextmanager
def interrupting() -> Iterator[None]:
    """Let each of the signals raise KeyboardInterrupt in the main thread for the time of the block."""
    forget()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        note(number)
        raise KeyboardInterrupt

    with handled(interrupt):
        yield


@contextmanager
def deferred() -> Iterator[None]:
    """Only note the first of the signals, for `has_come`, for the time of the block; another one interrupts it."""

    def defer(number: int, _frame: FrameType | None) -> None:
        is_first = not has_come()
        note(number)
        if not is_first:
            raise KeyboardInterrupt

    with handled(defer):
        yield


def has_come() -> bool:
    """Whether the command has been told to stop."""
    return bool(_received)


def forget() -> None:
    """Go on as if no signal had come."""
    _received.clear()


def note(number: int) -> None:
    """Enter that a signal has come, for `status`."""
    _received.append(number)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Handle the signals so for the time of the block; elsewhere than in the main thread nothing can be changed."""
    before = {} if threading.current_thread() is not threading.main_thread() else _handlers()
    for each in before:
        signal.signal(each, handler)
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)


def _handlers() -> dict[signal.Signals, Any]:
    """What handles each of the signals, but for those that are ignored and those that are not Python's to change."""
    found = {each: signal.getsignal(each) for each in STOP_SIGNALS}
    return {each: handler for each, handler in found.items() if handler not in (signal.SIG_IGN, None)}


@contextmanager
def kept() -> Iterator[None]:
    """Set the handlers back after the block, where a library has put its own.

    Ray's handler of SIGTERM raises SystemExit, which becomes KeyboardInterrupt as SIGTERM does elsewhere.
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
    """Set the signals' handlers back after the block."""
    before = {} if threading.current_thread() is not threading.main_thread() else _handlers()
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)
