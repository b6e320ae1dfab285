"""What became of a planned run."""

from collections.abc import Collection

from subind.results import Status
from sweeps.plan import Plan


def status(plan: Plan, run: str, running: Collection[str]) -> Status:
    """The state of one planned run."""
    if run in plan.finished:
        return "finished"
    if run in running:
        return "running"
    if run in plan.failed:
        return "failed"
    return "blocked" if run in plan.blocked else "missing"
