"""The state of a run: ten values, the table of moves between them, and `RunStates`, which alone makes a move.

A plan's states are what its store tells. A driver goes on from there with what it does and hears. Commands that watch a
store add the runs that have a heartbeat. Nothing else decides in which state a run is.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal, TypeVar

from subind.identity.run_ids import run_id
from subind.specs.run import STAGES, Run, Stage, lineage
from subind.store.results import Status

State = Literal[
    "planned", "stale", "queued", "running", "retrying", "stopped", "blocked", "failed", "damaged", "finished"
]

HAS_RECORD = "the store has its record"
HAS_FAILURE = "the store has a failure of it"
IS_BLOCKED = "a run that it descends from has failed"
IS_IN_A_PACK = "it is in a pack of a sweep"

TRANSITIONS: Mapping[State, Mapping[State, str]] = {
    "planned": {
        "finished": HAS_RECORD,
        "damaged": "its record or one of its files is damaged",
        "failed": HAS_FAILURE,
        "blocked": IS_BLOCKED,
        "stale": "the store has it under an earlier version",
        "running": "a worker computes it",
        "queued": IS_IN_A_PACK,
    },
    "stale": {
        "finished": HAS_RECORD,
        "failed": HAS_FAILURE,
        "blocked": IS_BLOCKED,
        "running": "a worker computes it",
        "queued": IS_IN_A_PACK,
    },
    "queued": {
        "running": "its pack is handed to a worker",
        "finished": HAS_RECORD,
        "failed": HAS_FAILURE,
        "blocked": IS_BLOCKED,
    },
    "running": {
        "finished": HAS_RECORD,
        "failed": HAS_FAILURE,
        "blocked": IS_BLOCKED,
        "retrying": "its pack has fallen and is tried again",
        "stopped": "the sweep was stopped",
    },
    "retrying": {
        "running": "its pack is handed to a worker again",
        "finished": HAS_RECORD,
        "failed": HAS_FAILURE,
        "blocked": IS_BLOCKED,
        "stopped": "the sweep was stopped",
    },
    "stopped": {
        "queued": "a study asks for it again",
        "finished": HAS_RECORD,
        "failed": HAS_FAILURE,
    },
    "blocked": {
        "planned": "no run that it descends from has failed any more",
        "failed": HAS_FAILURE,
        "finished": HAS_RECORD,
    },
    "failed": {
        "finished": HAS_RECORD,
        "stopped": "a rung has stopped it",
        "queued": "its failure is forgiven, and a study asks for it again",
    },
    "damaged": {},
    "finished": {"damaged": "its record or one of its files is damaged"},
}
"""Which state may follow which, and the reason that is given where there is no closer one."""

STATES: tuple[State, ...] = tuple(TRANSITIONS)

WITHOUT_RESULT: tuple[State, ...] = ("failed", "damaged")
"""The states that block what descends from a run."""

TO_COMPUTE: tuple[State, ...] = ("planned", "stale", "queued", "running", "retrying", "stopped")

WAITING: frozenset[State] = frozenset({"queued", "retrying"})
"""The states of runs whose pack may be handed out."""

ROW_STATUS: Mapping[State, Status] = {
    "planned": "missing",
    "stale": "missing",
    "queued": "missing",
    "retrying": "missing",
    "stopped": "missing",
    "running": "running",
    "blocked": "blocked",
    "failed": "failed",
    "damaged": "failed",
    "finished": "finished",
}
"""What a result row and `status` call a state."""

_T = TypeVar("_T")

StageCounts = Mapping[Stage, Counter[Status]]


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a run, since when (UNIX seconds) and why."""

    state: State
    since: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Runs that go from one state to another together; those that this blocks or unblocks make a move of their own."""

    runs: frozenset[str]
    before: State
    to: State
    why: str
    time: float


class RunStates:
    """The state of every run of a plan. `runs` are their specs by id; `on_move` takes every move.

    A run that fails blocks all that descend from it and are not finished. They are planned again if it is finished
    after all, by another process.
    """

    def __init__(self, runs: Mapping[str, Run], *, now: Callable[[], float] = time.time) -> None:
        self.on_move: Callable[[Move], None] = lambda _move: None
        self._now = now
        self._runs: dict[str, Run] = {}
        self._standings: dict[str, Standing] = {}
        self._members: dict[State, set[str]] = {state: set() for state in STATES}
        self._counts: dict[Stage, Counter[State]] = {stage: Counter() for stage in STAGES}
        self._children: dict[str, list[str]] | None = None
        self.add(runs)

    @property
    def runs(self) -> Mapping[str, Run]:
        """The specs of all runs by id, in the order in which they were added."""
        return self._runs

    def __getitem__(self, run: str) -> Standing:
        return self._standings[run]

    def runs_in(self, *states: State) -> Set[str]:
        """The runs in any of the states, always up to date; not to be changed."""
        return self._members[states[0]] if len(states) == 1 else _Union([self._members[each] for each in states])

    def num_runs(self, stage: Stage) -> int:
        """How many runs of the stage there are."""
        return sum(self._counts[stage].values())

    def num_in(self, stage: Stage, *states: State) -> int:
        """How many runs of the stage are in any of the states."""
        return sum(self._counts[stage][state] for state in states)

    def stage_counts(self) -> StageCounts:
        """How many runs of each stage have each status of a result row."""
        return {stage: _by_status(counts) for stage, counts in self._counts.items()}

    def copy(self) -> "RunStates":
        """The same states, which from now on move on their own."""
        other = RunStates({}, now=self._now)
        other._runs, other._standings = dict(self._runs), dict(self._standings)
        other._members = {state: set(runs) for state, runs in self._members.items()}
        other._counts = {stage: Counter(counts) for stage, counts in self._counts.items()}
        other._children = self._children
        return other

    def add(self, runs: Mapping[str, Run]) -> None:
        """Take further runs, which are planned; those that are known stay as they are."""
        new = {run: spec for run, spec in runs.items() if run not in self._standings}
        self._runs |= new
        self._standings |= dict.fromkeys(new, Standing("planned", self._now(), "it is planned"))
        self._members["planned"].update(new)
        for spec in new.values():
            self._counts[spec.stage]["planned"] += 1
        self._children = None if new else self._children

    def movable(self, runs: Iterable[str], to: State) -> set[str]:
        """Those of the runs that are known and may go to the state."""
        known = ((run, self._standings.get(run)) for run in runs)
        return {run for run, standing in known if standing is not None and to in TRANSITIONS[standing.state]}

    def move(self, runs: Collection[str], to: State, why: str = "") -> set[str]:
        """Move runs to a state; the runs that were blocked or unblocked by that.

        Raises ValueError, before anything is moved, if the table does not have one of the moves.
        """
        if not runs:
            return set()
        before = {run: self._standings[run].state for run in runs}
        for state in sorted(set(before.values())):
            if to not in TRANSITIONS[state]:
                run = next(run for run, each in before.items() if each == state)
                raise ValueError(f"run {run} is {state} and cannot become {to}: see TRANSITIONS")
        self._place(before, to, why)
        if to in WITHOUT_RESULT:
            below = self.movable(self.descendants(runs), "blocked")
            reason = f"{IS_BLOCKED}: {min(runs)}{f' and {len(runs) - 1} more' if len(runs) > 1 else ''}"
            self._place({run: self._standings[run].state for run in below}, "blocked", reason)
            return below
        return self._unblocked(before) if "failed" in before.values() else set()

    def descendants(self, runs: Collection[str]) -> set[str]:
        """What descends from the runs, by an index that is made when it is first needed."""
        if self._children is None:
            self._children = _children(self._runs)
        return _below(runs, self._children)

    def check(self) -> None:
        """Assert what holds after every move."""
        assert self._standings.keys() == self._runs.keys()
        for state, members in self._members.items():
            assert all(self._standings[run].state == state for run in members), f"another state than {state}"
        assert sum(map(len, self._members.values())) == len(self._runs), "a run is in several states or in none"
        for stage, counts in self._counts.items():
            found = Counter(self._standings[run].state for run, spec in self._runs.items() if spec.stage == stage)
            assert +counts == found, f"the counts of {stage} do not add up"
        failed = self.runs_in(*WITHOUT_RESULT)
        below = self.descendants(failed)
        assert self._members["blocked"] <= below, "a blocked run descends from no failed one"
        assert not self.movable(below, "blocked"), "a run that descends from a failed one is not blocked"

    def check_under_way(self, packs: Iterable[Collection[str]]) -> None:
        """Assert what holds of the packs that a driver has under way."""
        num_packs = Counter(run for pack in packs for run in pack)
        assert all(number == 1 for number in num_packs.values()), "a run is in two packs under way"
        assert self._members["running"] <= num_packs.keys(), "a running run is in no pack under way"
        assert not num_packs.keys() & self.runs_in("planned", "stale", *WAITING), "a run under way waits"
        for run in self._members["running"]:
            parents = {run_id(parent) for parent in self._runs[run].parents()}
            assert parents <= self._members["finished"], "a running run has a parent that is not finished"

    def _unblocked(self, done: Collection[str]) -> set[str]:
        """Plan again what descends from the runs and from none that has failed."""
        blocked = self.descendants(done) & self._members["blocked"]
        if blocked:
            blocked -= self.descendants(self.runs_in(*WITHOUT_RESULT))
            self._place(dict.fromkeys(blocked, "blocked"), "planned", "")
        return blocked

    def _place(self, before: Mapping[str, State], to: State, why: str) -> None:
        """Enter a move that is allowed."""
        moment, standings = self._now(), {}
        for run, state in before.items():
            if state not in standings:
                standings[state] = Standing(to, moment, why or TRANSITIONS[state][to])
            self._members[state].remove(run)
            self._standings[run] = standings[state]
            counts = self._counts[self._runs[run].stage]
            counts[state] -= 1
            counts[to] += 1
        self._members[to].update(before)
        for state, standing in standings.items():
            runs = frozenset(run for run, each in before.items() if each == state)
            self.on_move(Move(runs=runs, before=state, to=to, why=standing.why, time=moment))


def descendants(runs: Mapping[str, Run], roots: Collection[str]) -> set[str]:
    """The runs that descend from one of the roots, which are not among them."""
    return _below(roots, _children(runs)) - set(roots) if roots else set()


def _children(runs: Mapping[str, Run]) -> dict[str, list[str]]:
    index: defaultdict[str, list[str]] = defaultdict(list)
    for run, spec in runs.items():
        for parent in spec.parents():
            index[run_id(parent)].append(run)
    return dict(index)


def _below(runs: Collection[str], children: Mapping[str, Sequence[str]]) -> set[str]:
    found, to_do = set[str](), list(runs)
    while to_do:
        new = set(children.get(to_do.pop(), ())) - found
        found |= new
        to_do.extend(new)
    return found


class _Union(Set[str]):
    """The members of several sets that share none."""

    def __init__(self, sets: Collection[Set[str]]) -> None:
        self._sets = sets

    def __contains__(self, run: object) -> bool:
        return any(run in each for each in self._sets)

    def __iter__(self) -> Iterator[str]:
        return (run for each in self._sets for run in each)

    def __len__(self) -> int:
        return sum(map(len, self._sets))

    @classmethod
    def _from_iterable(cls, it: Iterable[_T]) -> Set[_T]:
        return frozenset(it)


def stored_states(
    runs: Mapping[str, Run],
    *,
    finished: Collection[str],
    failed: Collection[str],
    damaged: Mapping[str, str],
    stale: Mapping[str, str],
) -> RunStates:
    """The states that a store tells: the first of these that holds; else blocked, else stale, else planned.

    `damaged` and `stale` say why, by run.
    """
    states = RunStates(runs)
    move_by_reason(states, damaged, "damaged")
    states.move(states.movable(finished, "finished"), "finished")
    states.move(states.movable(failed, "failed"), "failed")
    move_by_reason(states, stale, "stale")
    return states


def move_by_reason(states: RunStates, reasons: Mapping[str, str], to: State) -> None:
    """Move those of the runs that may go to the state, each with its reason."""
    several: defaultdict[str, set[str]] = defaultdict(set)
    for run in states.movable(reasons, to):
        several[reasons[run]].add(run)
    for why, runs in several.items():
        states.move(runs, to, why)


def with_running(states: RunStates, running: Iterable[str]) -> RunStates:
    """The states where those of the runs that a living worker computes are running.

    What has failed or is blocked stays so while its pack is still computed.
    """
    watched = states.copy()
    watched.move(watched.movable(running, "running"), "running")
    return watched


def state_by_traces(*, is_damaged: bool, is_failed: bool, is_running: bool) -> State:
    """The state of a run without a record whose spec is not known: the first of these that holds, else planned."""
    if is_damaged:
        return "damaged"
    if is_failed:
        return "failed"
    return "running" if is_running else "planned"


def failed_ancestors(run: Run, states: RunStates) -> list[str]:
    """The ids of the runs that block a run, from the nearest on."""
    failed = states.runs_in(*WITHOUT_RESULT)
    return [ancestor for each in lineage(run) if (ancestor := run_id(each)) in failed and each is not run]


def told_stages(counts: StageCounts) -> tuple[Stage, ...]:
    """The stages that are shown: those of a sweep, and measurements where there are any."""
    return tuple(stage for stage in STAGES if stage != "measurement" or counts[stage])


def total(counts: StageCounts, status: Status) -> int:
    """How many runs of all stages have the status."""
    return sum(each[status] for each in counts.values())


def _by_status(counts: Counter[State]) -> Counter[Status]:
    found: Counter[Status] = Counter()
    for state, number in counts.items():
        if number:
            found[ROW_STATUS[state]] += number
    return found
