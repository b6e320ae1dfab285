"""Why a run is as it is: its state, what it descends from, and the traces that it has left in a store."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from subind.identity.json_files import parsed
from subind.identity.run_ids import decode, encoded, run_id
from subind.specs.run import Run, Stage, lineage
from subind.store.damage import REPAIR
from subind.store.results import Failure, RunRecord
from subind.store.row_columns import MEASURED_COLUMNS
from subind.store.store import Heartbeat, Store, opened_files
from sweeps.grids.cells import planned_columns
from sweeps.planning.damaged_runs import (
    damaged_failure,
    damaged_records,
    failure_of,
    with_damaged,
    with_damaged_parents,
)
from sweeps.planning.plan import Plan, accounts
from sweeps.planning.preparation import Prepared
from sweeps.planning.run_states import State, descendants, failed_ancestors, state_by_traces, with_running
from sweeps.planning.stale import earlier_run
from sweeps.watching.checkpoint_state import CheckpointState, checkpoint_state
from sweeps.watching.which_run import Known, folder_name, runs_path, stored_runs, with_spec

MOST_SIMILAR = 20
"""Records of like-named runs that are read to find the one that differs least."""

MOST_BYTES = 10_000_000
"""No failure is so large."""

NOT_PLANNED = "no grid given plans it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """When and where a finished run was computed, and what came out; `seconds` are those of its whole pack."""

    started: str
    seconds: float
    host: str
    device: str
    pack_size: int
    commit: str
    dirty: bool | None
    num_epochs: int
    measurements: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field in which a stored run differs, with its value here and there; "absent" where it is not."""

    field: str
    here: str
    there: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """A finished run of the store whose folder has the same name but for the id."""

    run: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """The store holds the run under an earlier version of its stages: its id of then, and what has changed since.

    `by_current` is the id that the same spec has now, if it is the explained run that is the old one.
    """

    run: str
    reason: str
    by_current: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPack:
    """The pack that would compute the run: its place in line, its runs, and when it would train, in seconds."""

    grid: str
    pack: str
    place: int
    num_packs: int
    num_runs: int
    starts: float
    ends: float
    has_forecast: bool

    def data(self) -> dict[str, Any]:
        """The pack as JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A run, its state and why; what does not apply is None or empty. `parents` are explained likewise.

    `failure` is its own; `blocked_by` names the failed run that it descends from.
    """

    run: str
    stage: Stage
    folder: str
    path: str
    state: State
    grids: tuple[str, ...]
    columns: Mapping[str, Any]
    computed: Computed | None = None
    failure: Failure | None = None
    traceback_path: str = ""
    blocked_by: str = ""
    stale: Stale | None = None
    similar: Similar | None = None
    worker: Heartbeat | None = None
    seconds_silent: float | None = None
    checkpoint: CheckpointState | None = None
    note: str = ""
    parents: tuple["Explanation", ...] = ()

    def data(self) -> dict[str, Any]:
        """The explanation as JSON data."""
        return asdict(self)


class Explainer:
    """Explains runs of a store as it is now; `planned` are those of the grids in question.

    What is missing of them decides whether damaged weights or masks matter.
    """

    def __init__(self, store: Store, planned: Iterable[Run] = ()) -> None:
        self._store = store
        self._planned = tuple(planned)
        self._stored = stored_runs(store)
        self._listing = store.listing()
        self._beats = store.heartbeats()
        self._checkpoints = store.checkpoints()

    def explained(self, found: Known) -> Explanation:
        """The run with its traces; of one whose spec is not known, what its folder tells."""
        if found.spec is None:
            return self._by_folder(found)
        if run_id(found.spec) != found.run:
            return self._outdated(found, found.spec)
        made = self._lineage(found.spec, self._plan(found.spec), set())
        return replace(made, grids=found.grids, note="" if found.grids else NOT_PLANNED)

    def _plan(self, spec: Run) -> Plan:
        """The run and all planned runs of its kin, as `status` counts them."""
        kin = {run_id(each) for each in lineage(spec)}
        others = [each for each in self._planned if not kin.isdisjoint(map(run_id, lineage(each)))]
        found = self._listing
        plan = accounts("", [spec, *others], finished=found.finished.keys(), failed=found.failed, damaged=found.damaged)
        plan = with_damaged_parents(plan, self._store)
        finished = [each for each in lineage(spec) if run_id(each) in plan.finished]
        plan = with_damaged(plan, damaged_records(finished, self._store))
        return replace(plan, states=with_running(plan.states, (run for beat in self._beats for run in beat.runs)))

    def _lineage(self, spec: Run, plan: Plan, known: set[str]) -> Explanation:
        """The run and, within it, what it descends from, each once: runs that are `known` are explained already."""
        run = run_id(spec)
        known.add(run)
        parents = tuple(self._lineage(each, plan, known) for each in spec.parents() if run_id(each) not in known)
        beat = next((beat for beat in self._beats if run in beat.runs), None)
        state = plan.states[run].state
        record = self._store.record(spec) if state == "finished" else None
        failure = failure_of(run, plan, self._store) if run in plan.failed else None
        return Explanation(
            run=run,
            stage=spec.stage,
            folder=folder_name(spec),
            path=self._store.folder(spec),
            state=state,
            grids=(),
            columns=planned_columns(spec),
            computed=None if record is None else _computed(record),
            failure=failure,
            traceback_path=self._store.failure_path(spec) if failure and failure.traceback else "",
            blocked_by=failed_ancestors(spec, plan.states)[0] if state == "blocked" else "",
            stale=None if record is not None else self._stale(spec),
            similar=None if record is not None else self._similar(spec),
            worker=beat,
            seconds_silent=None if beat is None else max(0.0, time.time() - beat.time),
            checkpoint=self._checkpoint(run),
            parents=parents,
        )

    # ---- what stands elsewhere

    def _stale(self, spec: Run) -> Stale | None:
        before = earlier_run(spec, self._listing.finished)
        return None if before is None else Stale(run=before[0], reason=before[1])

    def _similar(self, spec: Run) -> Similar | None:
        """The finished run with the same folder name but for the id that differs in the fewest fields."""
        run, begin = run_id(spec), folder_name(spec).removesuffix(run_id(spec))
        names = [
            each
            for each in self._stored.values()
            if each.folder == begin + each.run and each.run != run and each.stage == spec.stage
        ]
        here, found = _flat(encoded(spec)), []
        for each in names[:MOST_SIMILAR]:
            try:
                record = self._store.record_in(f"{runs_path(self._store)}/{each.stage}/{each.folder}", each.run)
            except (OSError, ValueError):
                continue
            if differences := _differences(here, _flat(record.spec)):
                found.append(Similar(run=each.run, differences=differences))
        return min(found, key=lambda each: len(each.differences), default=None)

    def _checkpoint(self, run: str) -> CheckpointState | None:
        for each in self._checkpoints:
            if run in each.runs:
                try:
                    return checkpoint_state(self._store, each.pack)
                except (FileNotFoundError, ValueError, KeyError, TypeError):
                    return None
        return None

    # ---- runs that no grid plans

    def _outdated(self, found: Known, spec: Run) -> Explanation:
        """A finished run of an earlier version."""
        path = f"{runs_path(self._store)}/{found.stage}/{found.folder}"
        before = earlier_run(spec, {found.run})
        reason = "its spec was written by other code than this" if before is None else before[1]
        return Explanation(
            run=found.run,
            stage=found.stage,
            folder=found.folder,
            path=path,
            state="finished",
            grids=found.grids,
            columns={**planned_columns(spec), "run_id": found.run},
            computed=_computed(self._store.record_in(path, found.run)),
            stale=Stale(run=found.run, reason=reason, by_current=run_id(spec)),
        )

    def _by_folder(self, found: Known) -> Explanation:
        """A run that no known grid plans, without a record whose spec can be made."""
        path = f"{runs_path(self._store)}/{found.stage}/{found.folder}"
        with suppress(OSError, ValueError):
            return self._by_record(found, path, self._store.record_in(path, found.run))
        why = self._listing.damaged.get(found.run, "")
        failure = damaged_failure(found.run, f"{why}: {REPAIR}") if why else self._failure_in(path, found.run)
        beat = next((beat for beat in self._beats if found.run in beat.runs), None)
        state = state_by_traces(is_damaged=bool(why), is_failed=failure is not None, is_running=beat is not None)
        return Explanation(
            run=found.run,
            stage=found.stage,
            folder=found.folder,
            path=path,
            state=state,
            grids=(),
            columns={},
            failure=failure,
            traceback_path=f"{path}/failure.json" if failure and failure.traceback else "",
            worker=beat,
            seconds_silent=None if beat is None else max(0.0, time.time() - beat.time),
            checkpoint=self._checkpoint(found.run),
            note="its folder has no readable record, so its spec is not known: name the grid that plans it",
        )

    def _by_record(self, found: Known, path: str, record: RunRecord) -> Explanation:
        """A finished run of which a class or function is not loaded here: what its record says, and these by name."""
        try:
            decode(record.spec)
            note = NOT_PLANNED
        except ValueError as error:
            note = str(error)
        stored = [self._stored[run] for run in record.parents if run in self._stored]
        parents = [self.explained(with_spec(parent, self._store)) for parent in stored]
        farther = {each.run for parent in parents for each in parent.parents}
        return Explanation(
            run=found.run,
            stage=found.stage,
            folder=found.folder,
            path=path,
            state="finished",
            grids=(),
            columns=_named(record.spec),
            computed=_computed(record),
            parents=tuple(parent for parent in parents if parent.run not in farther),
            note=note,
        )

    def _failure_in(self, path: str, run: str) -> Failure | None:
        source = f"{path}/failure.json"
        try:
            content = opened_files(self._store.url).read(source, most=MOST_BYTES)
            return Failure.from_data(parsed(content, source=source), source=source)
        except FileNotFoundError:
            return None
        except ValueError as error:
            return damaged_failure(run, str(error))


def _computed(record: RunRecord) -> Computed:
    made = record.provenance
    return Computed(
        started=made.started,
        seconds=made.seconds,
        host=made.host,
        device=made.device,
        pack_size=made.pack_size,
        commit=made.commit,
        dirty=made.dirty,
        num_epochs=len(record.curves.get("epoch", [])),
        measurements={name: record.measurements[name] for name in MEASURED_COLUMNS if name in record.measurements},
    )


def _named(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The plain fields of a spec's data, and of the others the names of their classes."""
    named = {name: value.get("class") if isinstance(value, Mapping) else value for name, value in spec.items()}
    return {name: value for name, value in named.items() if isinstance(value, str | int | float) and name != "class"}


def _flat(data: Any, path: str = "") -> dict[str, str]:
    """JSON data as values by their path; an empty list is a value."""
    match data:
        case Mapping():
            items = [(f"{path}.{name}" if path else str(name), value) for name, value in data.items()]
        case list() | tuple() if data:
            items = [(f"{path}[{place}]", value) for place, value in enumerate(data)]
        case _:
            return {path: orjson.dumps(data).decode()}
    return {name: text for inner, value in items for name, text in _flat(value, inner).items()}


def _differences(here: Mapping[str, str], there: Mapping[str, str]) -> tuple[Difference, ...]:
    fields = [*here, *(name for name in there if name not in here)]
    return tuple(
        Difference(field=name, here=here.get(name, "absent"), there=there.get(name, "absent"))
        for name in fields
        if here.get(name) != there.get(name)
    )


def num_descendants(runs: Mapping[str, Run], run: str) -> int:
    """How many of the runs descend from the run."""
    return len(descendants(runs, {run}))


def planned_pack(run: str, made: Prepared) -> PlannedPack | None:
    """The pack of a plan that would compute the run."""
    times = made.plan.schedule
    for place, pack in enumerate(made.plan.packs):
        if run in pack.runs:
            return PlannedPack(
                grid=made.plan.grid,
                pack=pack.name,
                place=place + 1,
                num_packs=len(made.plan.packs),
                num_runs=len(pack.specs),
                starts=times.starts[place],
                ends=times.ends[place],
                has_forecast=made.forecast is not None,
            )
    return None
