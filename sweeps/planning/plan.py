"""The plan of a sweep: parents added, finished runs removed, the rest grouped into packs. Pure functions over specs."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType

from subind.identity.run_ids import run_id
from subind.specs.run import STAGES, Run, Stage
from subind.store.store import Checkpoint
from sweeps.costs.cost_model import CostModel, cpu_model
from sweeps.costs.memory import most_replicas
from sweeps.costs.packing import Group, Packing, Piece, Schedule, best_packing
from sweeps.planning.run_states import TO_COMPUTE, RunStates, State, move_by_reason, stored_states
from sweeps.planning.stale import reasons_of_stale


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Runs of one shape that train together. `name` is also the name of its checkpoint."""

    name: str
    stage: Stage
    specs: tuple[Run, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the runs, in replica order."""
        return tuple(run_id(spec) for spec in self.specs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Who trains the packs: so many workers, `sharing` of them on each device, each with so much memory to itself.

    `model` says what a pack costs; `pack_size` is the most replicas that a pack may have whatever the memory.
    """

    num_workers: int
    model: CostModel = field(default_factory=cpu_model)
    sharing: int = 1
    free_bytes: float = inf
    pack_size: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sweep has to do: all runs, parents first, in the states that the store tells.

    A failed run has a failure in the store and is left alone; a blocked one descends from a failed one. `kept` are the
    recipients that leave their weights; those of them that are finished without are missing, and `unkept` are these.
    """

    grid: str
    states: RunStates
    packs: tuple[Pack, ...] = ()
    schedule: Schedule = Schedule(starts=(), ends=(), chains=())
    naive_makespan: float = 0.0
    kept: frozenset[str] = frozenset()
    unkept: frozenset[str] = frozenset()

    @property
    def runs(self) -> Mapping[str, Run]:
        """All runs by id, parents first."""
        return self.states.runs

    @property
    def finished(self) -> Set[str]:
        """The ids of the runs that have a record."""
        return self.states.runs_in("finished")

    @property
    def failed(self) -> Set[str]:
        """The ids of the runs that have a failure, or something damaged."""
        return self.states.runs_in("failed", "damaged")

    @property
    def blocked(self) -> Set[str]:
        """The ids of the runs that descend from a failed one."""
        return self.states.runs_in("blocked")

    @property
    def stale(self) -> Mapping[str, str]:
        """Why missing runs run again: the store has them under an earlier version of their stage, or of a class."""
        return self._reasons("stale")

    @property
    def damaged(self) -> Mapping[str, str]:
        """What is wrong with those failed runs that have a damaged record or artifact."""
        return self._reasons("damaged")

    def _reasons(self, state: State) -> Mapping[str, str]:
        return {run: self.states[run].why for run in self.states.runs_in(state)}

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids of the runs that are to be computed, parents first."""
        left = self.states.runs_in(*TO_COMPUTE)
        return tuple(run for run in self.runs if run in left)

    @property
    def to_compute(self) -> tuple[Run, ...]:
        """The runs that are to be computed, parents first."""
        return tuple(self.runs[run] for run in self.missing)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that are shown: those of a sweep, and measurements where there are any."""
        return tuple(stage for stage in STAGES if stage != "measurement" or self.num_runs(stage))

    def num_runs(self, stage: Stage) -> int:
        """How many runs of the stage are planned."""
        return self.states.num_runs(stage)


def packed(found: Plan, *, checkpoints: Sequence[Checkpoint], crew: Crew) -> Plan:
    """The plan with its missing runs in packs."""
    missing = {run: found.runs[run] for run in found.missing}
    several, packing = packs(missing, checkpoints=checkpoints, crew=crew)
    return replace(found, packs=several, schedule=packing.schedule, naive_makespan=packing.naive_makespan)


def accounts(
    grid: str,
    cells: Iterable[Run],
    *,
    finished: Collection[str],
    failed: Collection[str],
    damaged: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """The plan for the cells of a grid without packs: which of its runs are finished, failed, blocked or missing."""
    runs = with_parents(cells)
    states = stored_states(runs, finished=finished, failed=failed, damaged=damaged, stale={})
    planned = {run: runs[run] for run in states.runs_in("planned")}
    move_by_reason(states, reasons_of_stale(planned, finished), "stale")
    return Plan(grid=grid, states=states)


def standing(plan: Plan, *, finished: Collection[str], failed: Collection[str], damaged: Mapping[str, str]) -> Plan:
    """The plan with its runs in the states that a later look at the store tells."""
    states = stored_states(plan.runs, finished=finished, failed=failed, damaged=damaged, stale=plan.stale)
    return replace(plan, states=states)


def without_finished(plan: Plan, runs: Set[str]) -> Plan:
    """The plan where these of its finished runs are not: their record is gone, or lacks what is asked for."""
    return standing(plan, finished=plan.finished - runs, failed=plan.failed, damaged=plan.damaged)


def with_parents(cells: Iterable[Run]) -> dict[str, Run]:
    """All runs that the cells need, by id, every parent before its children, and by stage as far as that goes."""
    found: dict[str, tuple[int, Run]] = {}
    for cell in cells:
        _add(cell, found)
    return {key: run for key, (_, run) in sorted(found.items(), key=lambda each: each[1][0])}


def _add(run: Run, found: dict[str, tuple[int, Run]]) -> int:
    """Add the run and what it descends from, each with its rank, unless they are there; the run's rank."""
    key = run_id(run)
    if key not in found:
        above = [_add(parent, found) for parent in run.parents()]
        found[key] = max([STAGES.index(run.stage), *(each + 1 for each in above)]), run
    return found[key][0]


def ranks(runs: Mapping[str, Run]) -> dict[str, int]:
    """Of runs and all that they descend from: a number above those of a run's parents, and its stage's at least.

    Runs of one rank never descend from one another, so that they can train as one pack.
    """
    found: dict[str, tuple[int, Run]] = {}
    for run in runs.values():
        _add(run, found)
    return {key: rank for key, (rank, _) in found.items()}


def packs(
    missing: Mapping[str, Run], *, checkpoints: Sequence[Checkpoint], crew: Crew
) -> tuple[tuple[Pack, ...], Packing]:
    """The missing runs in packs, those of the longest chains in front, and when each is to train.

    A pack that has a checkpoint is put together again as it was, less what has been finished since; where several hold
    a run, the smallest, which is a part of the others. The rest is cut so that the whole takes least (see packing.py).
    """
    left, names = dict(missing), {}
    standing = []
    for checkpoint in sorted(checkpoints, key=lambda each: len(each.runs)):
        under_way = tuple(each for each in checkpoint.runs if left.pop(each, None) is not None)
        if under_way:
            names[under_way] = checkpoint.pack
            standing.append(_standing(under_way, missing, crew))
    found = best_packing(
        _variants(left, missing, crew), standing=standing, num_workers=crew.num_workers, sharing=crew.sharing
    )
    return tuple(_pack(piece, missing, names) for piece in found.pieces), found


def named_pack(several: tuple[Run, ...]) -> Pack:
    """These runs as a pack that is named by them."""
    digest = hashlib.sha256(" ".join(run_id(spec) for spec in several).encode()).hexdigest()
    stage = several[0].stage
    return Pack(name=f"{stage}-{digest[:12]}", stage=stage, specs=several)


def _pack(piece: Piece, missing: Mapping[str, Run], names: Mapping[tuple[str, ...], str]) -> Pack:
    pack = named_pack(tuple(missing[run] for run in piece.runs))
    return replace(pack, name=names.get(piece.runs, pack.name))


def _standing(runs: tuple[str, ...], missing: Mapping[str, Run], crew: Crew) -> Piece:
    return Piece(
        stage=missing[runs[0]].stage,
        runs=runs,
        parents=frozenset(parent for run in runs for parent in _parents(missing[run], missing)),
        seconds=crew.model.price(missing[runs[0]]).seconds(len(runs), sharing=crew.sharing),
    )


def _variants(left: Mapping[str, Run], missing: Mapping[str, Run], crew: Crew) -> list[list[Group]]:
    """The runs to be packed in groups of one shape; and where that is another grouping, also of one parents' rank.

    The second lets what needs no parent, or only a donor, train while masks are not yet there.
    """
    parents, rank = {run: _parents(spec, missing) for run, spec in left.items()}, ranks(missing)
    shapes: dict[tuple[object, ...], list[str]] = {}
    for run, spec in left.items():
        # runs of one price, which a group has: they may train together with others, and take another time
        shapes.setdefault((spec.pack_shape(), spec.length(), rank[run]), []).append(run)
    plain = list(shapes.values())
    finer = [members for several in plain for members in _by_parents_rank(several, parents, rank)]
    groupings = [plain] if len(finer) == len(plain) else [plain, finer]
    return [[_group(members, parents, missing, crew) for members in grouping] for grouping in groupings]


def _by_parents_rank(
    members: Sequence[str], parents: Mapping[str, tuple[str, ...]], rank: Mapping[str, int]
) -> list[list[str]]:
    found: dict[int, list[str]] = {}
    for run in members:
        found.setdefault(max([rank[parent] for parent in parents[run]], default=-1), []).append(run)
    return list(found.values())


def _group(
    members: Sequence[str], parents: Mapping[str, tuple[str, ...]], missing: Mapping[str, Run], crew: Crew
) -> Group:
    first = missing[members[0]]
    price = crew.model.price(first)
    fitting = most_replicas(first, free_bytes=crew.free_bytes)
    return Group(
        stage=first.stage,
        price=price,
        most=min(crew.pack_size, price.saturating(), fitting),
        runs=tuple(members),
        parents=tuple(parents[run] for run in members),
    )


def _parents(spec: Run, missing: Mapping[str, Run]) -> tuple[str, ...]:
    """The runs that it waits for: those of its parents that are missing."""
    return tuple(parent for each in spec.parents() if (parent := run_id(each)) in missing)
