"""Whether a user's class or function was changed since the store's runs were computed, and kept its version."""

from collections.abc import Sequence
from itertools import islice

from subind.identity.parts import source_digests
from subind.identity.run_ids import run_id
from subind.specs.run import STAGES, Run
from subind.store.results import RunRecord
from subind.store.store import Store
from sweeps.planning.plan import Plan

MOST_OF_A_STAGE = 20
"""Finished runs whose records are read."""


def changed_sources(plan: Plan, store: Store) -> dict[str, str]:
    """The classes and functions whose source is another than that of finished runs, each with one of these runs.

    The runs have the versions of now: else they had other ids. Of each stage a few are looked at.
    """
    changed: dict[str, str] = {}
    several = _some_finished(plan)
    records = store.records_or_errors([(store.folder(run), run_id(run)) for run in several])
    for run, record in zip(several, records, strict=True):
        before = record.sources if isinstance(record, RunRecord) else {}
        for name, digest in source_digests(run).items() if before else ():
            if before.get(name, digest) != digest:
                changed.setdefault(name, run_id(run))
    return changed


def _some_finished(plan: Plan) -> Sequence[Run]:
    finished = [run for key, run in plan.runs.items() if key in plan.finished]
    of_stages = ((run for run in finished if run.stage == stage) for stage in STAGES)
    return [run for several in of_stages for run in islice(several, MOST_OF_A_STAGE)]


def told(name: str, run: str) -> str:
    """The warning of one of them."""
    return (
        f"the source of {name} is another than when run {run} was computed, and its version is the same: raise "
        "`version` if numbers move, so that such runs are computed again"
    )
