"""The plan of a sweep: parents added, finished runs removed, the rest grouped into packs. Pure functions over specs."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil

from subind import spec as specs
from subind.fingerprint import STAGE_VERSIONS, current_versions, run_id, run_id_at
from subind.spec import STAGES, Spec, Stage
from subind.store import Checkpoint
from sweeps.cost import operations


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Runs of one shape that train together. `name` is also the name of its checkpoint."""

    name: str
    stage: Stage
    specs: tuple[Spec, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the runs, in replica order."""
        return tuple(run_id(spec) for spec in self.specs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sweep has to do: all runs by id, parents first, and which are finished, failed, blocked or missing.

    A failed run has a failure in the store and is left alone; a blocked one descends from a failed one. `stale` says of
    missing runs that the store holds under an earlier version of their stage why they run again.
    """

    grid: str
    runs: Mapping[str, Spec]
    finished: frozenset[str]
    failed: frozenset[str]
    blocked: frozenset[str]
    stale: Mapping[str, str]
    packs: tuple[Pack, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids of the runs that are to be computed, parents first."""
        done = self.finished | self.failed | self.blocked
        return tuple(each for each in self.runs if each not in done)

    def num_runs(self, stage: Stage) -> int:
        """How many runs of the stage are planned."""
        return sum(specs.stage(spec) == stage for spec in self.runs.values())


def plan(
    grid: str,
    cells: Iterable[Spec],
    *,
    finished: Collection[str],
    failed: Collection[str],
    checkpoints: Sequence[Checkpoint],
    num_workers: int,
    pack_size: int,
) -> Plan:
    """The plan for the cells of a grid, given the ids that the store holds.

    Packs have at most `pack_size` replicas, and fewer where that lets `num_workers` workers share the work of a stage.
    """
    runs = with_parents(cells)
    done = frozenset(finished) & runs.keys()
    quarantined = (frozenset(failed) & runs.keys()) - done
    blocked = descendants(runs, quarantined) - done
    missing = {key: spec for key, spec in runs.items() if key not in done | quarantined | blocked}
    return Plan(
        grid=grid,
        runs=runs,
        finished=done,
        failed=quarantined,
        blocked=blocked,
        stale=_stale(missing, finished),
        packs=packs(missing, checkpoints=checkpoints, num_workers=num_workers, pack_size=pack_size),
    )


def with_parents(cells: Iterable[Spec]) -> dict[str, Spec]:
    """All runs that the cells need, by id, every parent before its children."""
    found: dict[str, Spec] = {}
    for cell in cells:
        for spec in reversed(tuple(specs.lineage(cell))):
            found.setdefault(run_id(spec), spec)
    by_stage = sorted(found.items(), key=lambda item: STAGES.index(specs.stage(item[1])))
    return dict(by_stage)


def descendants(runs: Mapping[str, Spec], roots: Collection[str]) -> frozenset[str]:
    """The runs that descend from one of the roots, which are not among them."""
    if not roots:
        return frozenset()
    return frozenset(
        key
        for key, spec in runs.items()
        if key not in roots and any(run_id(each) in roots for each in specs.lineage(spec))
    )


def packs(
    missing: Mapping[str, Spec], *, checkpoints: Sequence[Checkpoint], num_workers: int, pack_size: int
) -> tuple[Pack, ...]:
    """The missing runs in packs, parents' stages first and long packs before short ones.

    A pack that has a checkpoint is put together again as it was, less what has been finished since.
    """
    left, found = dict(missing), []
    for checkpoint in checkpoints:
        under_way = tuple(left.pop(each) for each in checkpoint.runs if each in left)
        if under_way:
            found.append(Pack(name=checkpoint.pack, stage=specs.stage(under_way[0]), specs=under_way))
    for stage in STAGES:
        found += _fresh_packs([spec for spec in left.values() if specs.stage(spec) == stage], num_workers, pack_size)
    return tuple(sorted(found, key=lambda pack: (STAGES.index(pack.stage), -_cost(pack))))


def _fresh_packs(runs: Sequence[Spec], num_workers: int, pack_size: int) -> list[Pack]:
    most = max(1, min(pack_size, ceil(len(runs) / num_workers)))
    groups: dict[tuple[object, ...], list[Spec]] = {}
    for spec in runs:
        groups.setdefault(specs.pack_shape(spec), []).append(spec)
    found = []
    for group in groups.values():
        size = ceil(len(group) / ceil(len(group) / most))
        found += [_pack(group[start : start + size]) for start in range(0, len(group), size)]
    return found


def _pack(members: Sequence[Spec]) -> Pack:
    stage = specs.stage(members[0])
    digest = hashlib.sha256(" ".join(run_id(spec) for spec in members).encode()).hexdigest()
    return Pack(name=f"{stage}-{digest[:12]}", stage=stage, specs=tuple(members))


def _cost(pack: Pack) -> float:
    return sum(operations(spec) for spec in pack.specs)


def _stale(missing: Mapping[str, Spec], finished: Collection[str]) -> dict[str, str]:
    now = current_versions()
    if not finished or max(now) == 1:
        return {}
    earlier = [versions for versions in product(*(range(1, last + 1) for last in now)) if versions != now]
    found = {}
    for key, spec in missing.items():
        for versions in earlier:
            if run_id_at(spec, versions) in finished:
                found[key] = _reason(spec, versions)
    return found


def _reason(spec: Spec, versions: tuple[int, ...]) -> str:
    """Why a run computed at these versions is stale: the changes since, of its own stage and its ancestors'."""
    reasons = []
    for ancestor in specs.lineage(spec):
        stage = specs.stage(ancestor)
        reasons += [f"{stage}: {why}" for why in STAGE_VERSIONS[stage][versions[STAGES.index(stage)] :]]
    return "; ".join(reasons)
