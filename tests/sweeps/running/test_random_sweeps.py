"""Sweeps of random events: a driver whose workers, neighbours and store do anything, checked after every event."""

import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.store import Heartbeat, Store
from sweeps.planning.damaged_runs import with_damaged
from sweeps.planning.plan import Crew, Pack, Plan, named_pack, packed, with_parents
from sweeps.planning.run_states import TRANSITIONS, RunStates, State, stored_states, with_running
from sweeps.running import searcher as searching
from sweeps.running.searcher import PackSearcher
from sweeps.running.verdicts import Fall, Kind
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.records import small_failure
from tests.sweeps.fabricated import commit_fabricated
from tests.sweeps.hand_driven import Sweep

NUM_EVENTS = 10_000
NODES = ("one", "two")
KINDS: tuple[Kind, ...] = ("node lost", "worker died", "out of memory", "store failed", "disk full", "exception")

RECIPIENT = tiny_transfer("full_transfer")
"""Where it is finished and its donor is lost, a mask in it may run while the donor fails."""

CELLS = (
    tiny_transfer("random_init"),
    *(
        tiny_transfer("subnetwork", mask=tiny_mask(donor=tiny_donor(seed=seed), seed=seed), seed=seed)
        for seed in (0, 1)
    ),
    tiny_mask(donor=RECIPIENT, seed=1),
)


class RandomFeed:
    """A study: it gives new donors now and then, asks for old ones again, and stops some."""

    def __init__(self, generator: random.Random) -> None:
        self.stopped: set[str] = set()
        self.note = ""
        self.num_left = 3
        self.known: list[Run] = [tiny_donor(seed=seed) for seed in range(20, 23)]
        self.asked: set[str] = set()
        self.idle: Callable[[Run], bool] = lambda _spec: True
        self._generator = generator

    def more(self) -> tuple[Pack, ...] | None:
        if not self.num_left:
            return None
        chosen = self._generator.choice(self.known)
        if self._generator.random() < 0.5 or not self.idle(chosen):
            return ()
        self.num_left -= 1
        self.asked.add(run_id(chosen))
        return (named_pack((chosen,)),)

    def config(self, _pack: Pack) -> dict[str, Any]:
        return {}


class RandomSweep:
    """A driver on a store of its own, and all that may happen to it; `step` makes one event happen."""

    def __init__(self, folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.generator = generator = random.Random(seed)
        self.store = Store(str(folder))
        self.now, self.is_over, self.is_stopped, self.num_trials = 0.0, False, False, 0
        monkeypatch.setattr(searching, "time", SimpleNamespace(monotonic=lambda: self.now))
        plan = packed(self._plan(), checkpoints=(), crew=Crew(num_workers=2, pack_size=generator.choice((1, 1, 2, 3))))
        kept = tuple(pack for pack in plan.packs if generator.random() < 0.9)  # the others are left to another driver
        self.feed = RandomFeed(generator)
        self.searcher = PackSearcher(
            replace(plan, packs=kept),
            self.store,
            is_stopped=lambda: self.is_stopped,
            nodes=lambda: NODES,
            feed=self.feed,
        )
        self.feed.idle = self._is_idle

    def _plan(self) -> Plan:
        runs = with_parents(CELLS)
        some = [spec for spec in runs.values() if self.generator.random() < 0.1]
        if self.generator.random() < 0.4:
            some = [RECIPIENT]
        commit_fabricated(self.store, some)
        stale = {run: "other code" for run in runs if self.generator.random() < 0.2}
        states = stored_states(runs, finished=self.store.finished(), failed=(), damaged={}, stale=stale)
        return Plan(grid="random", states=states)

    def _is_idle(self, spec: Run) -> bool:
        run, states = run_id(spec), self.searcher.states
        if run not in states.runs:
            return True
        forgiven = states[run].state == "failed" and run not in self.store.failed()
        return not self._is_under_way(run) and (states[run].state == "stopped" or forgiven)

    def _is_under_way(self, run: str) -> bool:
        packs = [*self.searcher.running.values(), *self.searcher._fallen.values()]
        return any(run in pack.runs for pack in packs)

    def step(self) -> None:
        events = [self.suggest] * 4 + [self.commit, self.fail_alone, self.end_well, self.fall] * 2
        events += [self.other_commits, self.other_fails, self.other_forgives, self.other_beats, self.rung]
        self.generator.choice(events)()
        if self.generator.random() < 0.002:
            self.is_stopped = True

    def check(self) -> None:
        """All invariants."""
        states = self.searcher.states
        states.check()
        packs = [*self.searcher.running.values(), *self.searcher._fallen.values()]
        states.check_under_way([pack.runs for pack in packs])
        queue = self.searcher._queue
        waiting = states.runs_in("queued", "retrying")
        assert all(queue.holds(run) for run in waiting)
        assert {run for run in states.runs if queue.holds(run)} - waiting <= states.runs_in("blocked")

    # ---- what may happen

    def suggest(self) -> None:
        self.now += self.generator.choice((0.0, 1.0, 100.0))
        self.num_trials += 1
        if self.searcher.suggest(f"trial{self.num_trials}") == Searcher.FINISHED:
            self.is_over = not self.searcher.running
            assert self.is_stopped or not self.searcher.states.runs_in("queued", "retrying", "running")

    def commit(self) -> None:
        if (pack := self._under_way()) is not None:
            commit_fabricated(self.store, [self.generator.choice(pack.specs)])

    def fail_alone(self) -> None:
        if (pack := self._under_way()) is not None:
            spec = self.generator.choice(pack.specs)
            self.store.fail(spec, small_failure(spec))

    def end_well(self) -> None:
        if (trial := self._trial()) is not None:
            specs = self.searcher.running[trial].specs
            commit_fabricated(self.store, [spec for spec in specs if self.generator.random() < 0.9])
            self.searcher.on_trial_complete(trial, result={})

    def fall(self) -> None:
        if (trial := self._trial()) is not None:
            kind, node = self.generator.choice(KINDS), self.generator.choice(NODES)
            self.searcher.on_trial_result(trial, {"host": "host", "node": node})
            self.searcher.on_trial_complete(trial, error=True)
            self.check()
            fall = Fall(kind=kind, error="Error", message="it fell", traceback="", host="host", node=node)
            self.searcher.fell(trial, lambda _place: fall)

    def other_commits(self) -> None:
        if self.generator.random() < 0.3:
            commit_fabricated(self.store, [self._any()])

    def other_fails(self) -> None:
        if self.generator.random() < 0.4:
            spec = self.generator.choice((self._any(), RECIPIENT.parents()[0]))
            self.store.fail(spec, small_failure(spec))

    def other_forgives(self) -> None:
        if self.generator.random() < 0.5:
            self.store.forgive(self._any())

    def other_beats(self) -> None:
        self.store.stop_beating("elsewhere")
        if self.generator.random() < 0.5:
            beat = {"host": socket.gethostname(), "process": os.getpid(), "epoch": 0, "step": 0, "num_steps": 1}
            self.store.beat(Heartbeat(pack="elsewhere", runs=(run_id(self._any()),), time=time.time(), **beat))

    def rung(self) -> None:
        """What a study does with a trial that is worse than the median: its worker has written that it is stopped."""
        asked = self.feed.asked & self.searcher.states.runs_in("running", "failed")
        if asked:
            run = self.generator.choice(sorted(asked))
            self.store.forgive(self.searcher.states.runs[run])
            self.feed.stopped.add(run)

    def _any(self) -> Run:
        """A run of a state that is drawn first, so that rare ones come up."""
        states = self.searcher.states
        present = [runs for state in TRANSITIONS if (runs := states.runs_in(state))]
        return states.runs[self.generator.choice(sorted(self.generator.choice(present)))]

    def _trial(self) -> str | None:
        return self.generator.choice(list(self.searcher.running)) if self.searcher.running else None

    def _under_way(self) -> Pack | None:
        trial = self._trial()
        return None if trial is None else self.searcher.running[trial]


Reached = set[tuple[State, State]]


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Reached:
    """The moves that are made while the test runs."""
    moves, place = Reached(), RunStates._place

    def placed(states: RunStates, before: Mapping[str, State], to: State, why: str) -> None:
        moves.update((state, to) for state in before.values())
        place(states, before, to, why)

    monkeypatch.setattr(RunStates, "_place", placed)
    return moves


def _stored_moves() -> None:
    """The moves that a reader of a store makes."""
    runs = with_parents(CELLS)
    ids = list(runs)
    transfers = [run for run in ids if runs[run].stage == "transfer"]
    states = stored_states(runs, finished=ids[:1], failed=ids[1:2], damaged={}, stale=dict.fromkeys(transfers, "old"))
    states.check()
    with_running(states, ids).check()
    with_damaged(Plan(grid="grid", states=states), {ids[0]: "cut short", ids[2]: "cut short"}).states.check()
    with_running(stored_states(runs, finished=(), failed=(), damaged={}, stale={ids[0]: "old"}), ids).check()


def _lost_grandparent(store: Store) -> None:
    """A run waits to be tried again while what its parent was made from fails."""
    commit_fabricated(store, [RECIPIENT])
    mask, donor = CELLS[-1], RECIPIENT.parents()[0]
    sweep = Sweep(store, [mask])
    for trial in sweep.all_started().values():
        sweep.fall(trial)
    assert len(sweep.searcher.states.runs_in("retrying")) == 2
    store.fail(donor, small_failure(donor))
    sweep.searcher._next_look = float("-inf")
    sweep.start()
    assert sweep.searcher.states[run_id(mask)].state == "blocked"
    sweep.searcher.states.check()


def test_random_events_keep_every_invariant_and_reach_every_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: Reached
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _file: None)
    monkeypatch.setattr(searching, "NODE_REST_SECONDS", 50.0)
    num_events, ended = 0, Counter[str]()
    for seed in range(10**6):
        sweep = RandomSweep(tmp_path / str(seed), seed, monkeypatch)
        while not sweep.is_over and num_events < NUM_EVENTS:
            sweep.step()
            sweep.check()
            num_events += 1
        sweep.searcher.close()
        assert not sweep.searcher.states.runs_in("running", "retrying")
        ended["stopped" if sweep.is_stopped else "over"] += sweep.is_over
        if num_events >= NUM_EVENTS:
            break
    _stored_moves()
    _lost_grandparent(Store(str(tmp_path / "lost")))
    allowed = {(before, after) for before, several in TRANSITIONS.items() for after in several}
    assert reached == allowed, (allowed - reached, reached - allowed)
    assert min(ended.values()) > 3


@pytest.mark.parametrize("before", TRANSITIONS)
def test_move_that_the_table_lacks_is_refused_and_moves_nothing(before: State) -> None:
    donor = tiny_donor(seed=0)
    for after in TRANSITIONS:
        states = _in_state(donor, before)
        if after in TRANSITIONS[before]:
            continue
        with pytest.raises(ValueError, match=f"is {before} and cannot become {after}"):
            states.move({run_id(donor)}, after)
        assert states[run_id(donor)].state == before


def _in_state(spec: Run, wanted: State) -> RunStates:
    """A run that has gone the shortest way to the state."""
    ways: list[Sequence[State]] = [()]
    while True:
        way = ways.pop(0)
        last: State = way[-1] if way else "planned"
        if last == wanted:
            break
        ways += [(*way, after) for after in TRANSITIONS[last] if after != "blocked" or wanted == "blocked"]
    states = RunStates({run_id(spec): spec})
    for state in way:
        states._place({run_id(spec): states[run_id(spec)].state}, state, "")
    return states
