"""The command `subind`."""

import gc

from sweeps.cli import (
    cleaning,
    comparing,
    data,
    explaining,
    exporting_weights,
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
from sweeps.cli.app import app
from sweeps.cli.damage_lines import damage_printed
from sweeps.cli.ends import ended_in_a_line, lasting_output
from sweeps.cli.help_groups import group_commands
from sweeps.hosts import stop_signals

__all__ = [
    "cleaning",
    "comparing",
    "data",
    "explaining",
    "exporting_weights",
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

group_commands(app)

COLLECTION_THRESHOLDS = (100_000, 50, 100)
"""A plan's specs are many and live to the end: looking through them after every 700 new objects takes a sixth more."""


def main() -> None:
    """Run the command; a line without a traceback and the exit status say how it ended."""
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    with lasting_output(), stop_signals.interrupting(), ended_in_a_line(), damage_printed():
        app()


if __name__ == "__main__":
    main()
