"""Packs that are made while a sweep runs, beside those that were planned."""

from typing import Any, Protocol

from sweeps.planning.plan import Pack


class Feed(Protocol):
    """Where such packs come from: asked when a worker is free and no planned pack can run."""

    stopped: set[str]
    """Runs of such packs that need not be finished, though they have no result."""

    note: str
    """How far the feed is, in a line; empty if there is nothing to say."""

    def more(self) -> tuple[Pack, ...] | None:
        """The next packs; none if there may be some later; None if there are no more."""
        ...

    def config(self, pack: Pack) -> dict[str, Any]:
        """What a worker is told of a pack beside its name and runs: their `specs` as JSON by run id, and `rungs`."""
        ...


class NoFeed:
    """A sweep that trains what is planned."""

    def __init__(self) -> None:
        self.stopped: set[str] = set()
        self.note = ""

    def more(self) -> None:
        """There are no more."""

    def config(self, pack: Pack) -> dict[str, Any]:
        return {}
