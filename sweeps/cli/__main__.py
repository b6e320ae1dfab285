"""The command `subind`."""

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

from sweeps.cli.application import app
from sweeps.cli.endings import damage_printed, ended_in_a_line, lasting_output
from sweeps.hosts import stop_signals

COLLECTION_THRESHOLDS = (100_000, 50, 100)
"""A plan's specs are many and live to the end: looking through them after every 700 new objects takes a sixth more."""


def command() -> None:
    """Run the command of this process's arguments; a line without a traceback and the exit status say how it ended."""
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    with lasting_output(), stop_signals.interrupting(), ended_in_a_line(), damage_printed():
        app(prog_name="subind")


def main() -> NoReturn:
    """Run the command and end the process.

    Threads are joined and exit handlers run as at the end of any process. Taking down the modules of Ray and MLflow one
    by one, which takes Python 4 s more, is left to the operating system.
    """
    status = 0
    try:
        command()
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
