"""The command `subind`."""

import gc

from sweeps.cli.application import app
from sweeps.cli.endings import damage_printed, ended_in_a_line, lasting_output
from sweeps.hosts import stop_signals

COLLECTION_THRESHOLDS = (100_000, 50, 100)
"""A plan's specs are many and live to the end: looking through them after every 700 new objects takes a sixth more."""


def main() -> None:
    """Run the command; a line without a traceback and the exit status say how it ended."""
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    with lasting_output(), stop_signals.interrupting(), ended_in_a_line(), damage_printed():
        app(prog_name="subind")


if __name__ == "__main__":
    main()
