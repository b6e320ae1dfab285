"""Finished runs of other code: of earlier versions, or of a class that changed and kept its version."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice, product

from subind.identity.earlier_ids import earlier_ids
from subind.identity.parts import source_digests
from subind.identity.run_ids import STAGE_VERSIONS, current_versions, run_id, run_id_at
from subind.specs.run import STAGES, Run, lineage
from subind.store.results import RunRecord
from subind.store.store import Store

MOST_OF_A_STAGE = 20
"""Finished runs whose records are read."""


def reasons_of_stale(missing: Mapping[str, Run], finished: Collection[str]) -> dict[str, str]:
    """Why missing runs of which an earlier version is finished run again, by id."""
    if not finished:
        return {}
    earlier = ((run, earlier_run(spec, finished)) for run, spec in missing.items())
    return {run: before[1] for run, before in earlier if before is not None}


def earlier_run(spec: Run, among: Collection[str]) -> tuple[str, str] | None:
    """The newest id among these that the run had at earlier versions, and what has changed since; None if none is."""
    now = current_versions()
    for versions in product(*(range(last, 0, -1) for last in now)):
        if versions != now and (before := run_id_at(spec, versions)) in among:
            return before, _changes_since(spec, versions)
    return next((each for each in earlier_ids(spec) if each[0] in among), None)


def _changes_since(spec: Run, versions: tuple[int, ...]) -> str:
    """The changes of the run's stage and its ancestors' since these versions."""
    reasons = []
    for ancestor in lineage(spec):
        stage = ancestor.stage
        reasons += [f"{stage}: {why}" for why in STAGE_VERSIONS[stage][versions[STAGES.index(stage)] :]]
    return "; ".join(reasons)


# ---- the same version, another source


def changed_sources(finished: Iterable[Run], store: Store) -> dict[str, str]:
    """The classes and functions whose source is another than that of finished runs, each with one of these runs.

    The runs have the versions of now: else they had other ids. Of each stage a few are looked at.
    """
    changed: dict[str, str] = {}
    several = _some_of_each_stage(tuple(finished))
    records = store.records_or_errors([(store.folder(run), run_id(run)) for run in several])
    for run, record in zip(several, records, strict=True):
        before = record.sources if isinstance(record, RunRecord) else {}
        for name, digest in source_digests(run).items() if before else ():
            if before.get(name, digest) != digest:
                changed.setdefault(name, run_id(run))
    return changed


def _some_of_each_stage(finished: Sequence[Run]) -> Sequence[Run]:
    of_stages = ((run for run in finished if run.stage == stage) for stage in STAGES)
    return [run for several in of_stages for run in islice(several, MOST_OF_A_STAGE)]
