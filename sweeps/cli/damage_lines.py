"""What a store reports of damaged files, printed while a command runs: a line each on standard error."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from subind.store.damage import LOG
from sweeps.cli.app import err


class DamageLines(logging.Handler):
    """Prints each report once, however many readers of the store make it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print the report, unless it was."""
        line = record.getMessage()
        if line not in self._printed:
            self._printed.add(line)
            err.print(f"subind: passed over: {line}", style="yellow")


@contextmanager
def damage_printed() -> Iterator[None]:
    """Print what stores report while the block runs."""
    handler, propagates = DamageLines(), LOG.propagate
    LOG.addHandler(handler)
    LOG.propagate = False
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.propagate = propagates
