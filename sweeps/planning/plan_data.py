"""A plan as JSON data."""

from typing import Any

from sweeps.planning.forecast import Forecast
from sweeps.planning.keeping import kept_bytes
from sweeps.planning.plan import Plan


def plan_data(found: Plan, times: Forecast | None) -> dict[str, Any]:
    """A plan as JSON data, with its forecast, null where there is no ground for one."""
    return {
        "grid": found.grid,
        "cells": len(found.runs),
        "finished": len(found.finished),
        "failed": len(found.failed),
        "blocked": len(found.blocked),
        "missing": len(found.missing),
        "stale": len(found.stale),
        "damaged": dict(found.damaged),
        "packs": len(found.packs),
        "stages": {stage: found.num_runs(stage) for stage in found.stages},
        "kept": len(found.kept),
        "kept_bytes": kept_bytes(found),
        "unkept": len(found.unkept),
        "forecast_seconds": None if times is None else times.seconds,
        "forecast": None if times is None else times.data(),
    }
