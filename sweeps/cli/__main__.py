"""The command `subind`."""

import gc
import sys

from sweeps.cli import (
    benchmarks,
    cleaning,
    comparing,
    data,
    explaining,
    imagenet,
    jobs,
    reading,
    retrying,
    running,
    serving,
    tuning,
    verifying,
    watching,
)
from sweeps.cli.app import app, err
from sweeps.cli.damage_lines import damage_printed
from sweeps.cli.running import INTERRUPTED

__all__ = [
    "benchmarks",
    "cleaning",
    "comparing",
    "data",
    "explaining",
    "imagenet",
    "jobs",
    "main",
    "reading",
    "retrying",
    "running",
    "serving",
    "tuning",
    "verifying",
    "watching",
]

COLLECTION_THRESHOLDS = (100_000, 50, 100)
"""A plan's specs are many and live to the end: looking through them after every 700 new objects takes a sixth more."""


def main() -> None:
    """Run the command; what the user can mend is told in a line, without a traceback."""
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    try:
        with damage_printed():
            app()
    except (ValueError, OSError) as error:
        err.print(f"subind: {error}", style="red")
        sys.exit(2)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            err.print("subind: stopped; the same command goes on with what is missing")
        raise


if __name__ == "__main__":
    main()
