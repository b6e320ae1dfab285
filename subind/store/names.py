"""The readable names of runs' folders."""

import re

from subind.specs.run import Run

_UNPLAIN = re.compile(r"[^A-Za-z0-9_.-]+")

LONGEST_SLUG = 120
"""Letters; file systems allow names of 255 bytes."""


def slug(run: Run) -> str:
    """The readable part of a run's folder: its label, of which only plain letters stay."""
    return _UNPLAIN.sub("_", run.label())[:LONGEST_SLUG].strip("._-") or "run"
