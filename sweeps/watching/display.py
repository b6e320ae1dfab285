"""A sweep shown while it goes on: one live picture on a terminal, elsewhere lines, in the end one a minute."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live

from sweeps.watching.picture import line, picture
from sweeps.watching.snapshot import Snapshot

SECONDS_BETWEEN_LINES = 60.0
SECONDS_TO_SECOND_LINE = 5.0
"""The first lines come sooner, each after twice the time of the one before."""

SECONDS_BETWEEN_PICTURES = 0.5

SHARE_OF_SHOWING = 0.02
"""The part of the caller's time that snapshots may take: those of a large sweep are taken more rarely."""


class Display:
    """Shows snapshots while the block runs. On a terminal the last one stays, and its clock runs on between two."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._start = self._next = clock()
        self._last: Snapshot | None = None
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=1)

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, text: str) -> None:
        """Say what has happened, in a line of its own."""
        self._print(text)

    @property
    def is_due(self) -> bool:
        """Whether it is time to show a snapshot."""
        return self._clock() >= self._next

    def refresh(self, take: Callable[[], Snapshot]) -> None:
        """Take a snapshot and show it, if it is time to."""
        if self.is_due:
            start = self._clock()
            self.show(take())
            self._next = max(self._next, start + (self._clock() - start) / SHARE_OF_SHOWING)

    def show(self, snapshot: Snapshot) -> None:
        """Show the snapshot now."""
        self._last = snapshot
        if self._live is None:
            self._print(line(snapshot))
            passed = max(SECONDS_TO_SECOND_LINE, self._clock() - self._start)
            self._next = self._clock() + min(SECONDS_BETWEEN_LINES, passed)
        else:
            self._live.refresh()
            self._next = self._clock() + SECONDS_BETWEEN_PICTURES

    def _print(self, text: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')} · {text}", highlight=False, markup=False, soft_wrap=True)

    def _picture(self) -> RenderableType:
        if self._last is None:
            return ""
        size = self._console.size
        return picture(self._last, width=size.width, height=size.height, seconds=self._clock() - self._start)
