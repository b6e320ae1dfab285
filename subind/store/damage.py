"""Damaged files of a store: each is ignored, and reported in one line with its remedy."""

import logging
from collections.abc import Callable
from typing import TypeVar

LOG = logging.getLogger("subind.store.store")
"""Takes a line for each ignored damaged file. The command line prints it."""

REPAIR = "`subind verify --all --repair` sets its run back to missing"

Content = TypeVar("Content")


class Reports:
    """The reports of one reader of a store; no line twice."""

    def __init__(self) -> None:
        self._lines: set[str] = set()

    def unless_damaged(self, read: Callable[[], Content]) -> Content | None:
        """The result of reading; None, and a line in the log, if it raises ValueError."""
        try:
            return read()
        except ValueError as error:
            self.add(str(error))
            return None

    def add(self, line: str) -> None:
        """Report a line once."""
        if line not in self._lines:
            self._lines.add(line)
            LOG.warning("%s", line)
