"""Damaged files of a store: each is passed over, and reported in a line with its remedy."""

import logging
from collections.abc import Callable
from typing import TypeVar

LOG = logging.getLogger("subind.store.store")
"""Takes a line for each damaged file that is passed over. The command line prints it."""

REPAIR = "`subind verify --all --repair` sets its run back to missing"

Content = TypeVar("Content")


class Reports:
    """What one reader of a store has reported: no line twice."""

    def __init__(self) -> None:
        self._lines: set[str] = set()

    def unless_damaged(self, read: Callable[[], Content]) -> Content | None:
        """What is read; None, and a line in the log, where it raises ValueError."""
        try:
            return read()
        except ValueError as error:
            self.add(str(error))
            return None

    def add(self, line: str) -> None:
        """Report a line, unless it was."""
        if line not in self._lines:
            self._lines.add(line)
            LOG.warning("%s", line)
