"""Which pack of a sweep is next: one whose own parents are committed, without a barrier between stages.

It also judges what falls: a pack whose worker did not end well is tried again, halved or given up (see verdicts.py).
"""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.errors import DamagedError
from subind.store.results import Failure
from subind.store.store import Store
from sweeps.costs.memory import bytes_per_replica
from sweeps.hosts import patience
from sweeps.planning.keeping import is_done
from sweeps.planning.plan import Pack, Plan, named_pack
from sweeps.planning.run_states import WAITING
from sweeps.running.feed import Feed, NoFeed
from sweeps.running.pack_queue import PackQueue
from sweeps.running.verdicts import Account, Again, Fall, GivenUp, Halved, failure
from sweeps.watching.story import Journal

FINISHED = "FINISHED"
"""Nothing is left to hand out, in Tune's word."""

SECONDS_BETWEEN_LOOKS = 5.0
"""How often the store is asked what other drivers have finished, and what has failed there."""

SHARE_OF_LOOKING = 0.02
"""The part of a driver's time that these looks may take: a large store is asked more rarely."""

NUM_FALLS_OF_A_NODE = 2
"""After so many falls in a row a node is avoided while there is another one."""

NODE_REST_SECONDS = 600.0
"""How long a node is avoided. A full disk or a broken GPU fails whatever comes, and what fails is free at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a pack trains."""

    host: str
    node: str


class PackSearcher:
    """Hands out the packs of a plan, and moves its runs from state to state: `states`.

    A pack that another driver computes (its heartbeat is alive) is handed out only when that driver has left it.
    Nothing more is handed out once `is_stopped()`. While no pack is running and none can, Tune does nothing but ask for
    one again: `on_wait` is called then. `nodes` are the ids of the nodes that train and live; `tell` takes what a
    person should know of falls, a line each; `on_finish` takes the runs that have finished since. When none of its
    packs can run, `feed` may give more.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        *,
        is_stopped: Callable[[], bool] = lambda: False,
        nodes: Callable[[], Collection[str]] = frozenset,
        feed: Feed | None = None,
    ) -> None:
        self.feed = feed or NoFeed()
        self._fed: set[str] = set()
        self.on_wait: Callable[[], None] = lambda: None
        self.tell: Callable[[str], None] = lambda _text: None
        self.on_finish: Callable[[Collection[str]], None] = lambda _runs: None
        self.plan = plan
        self.states = plan.states.copy()
        self.story = Journal(store, grid=plan.grid, num_runs=len(plan.missing), num_packs=len(plan.packs))
        self.states.on_move = self.story.move
        self.running: dict[str, Pack] = {}
        self._store = store
        self._is_stopped = is_stopped
        self._nodes = nodes
        self._queue = PackQueue(plan.packs, finished=self.states.runs_in("finished"))
        self._enqueue({run for pack in plan.packs for run in pack.runs})
        self._place_in_plan = {pack.name: place for place, pack in enumerate(plan.packs)}
        self._started: dict[str, Pack] = {}
        self._fallen: dict[str, Pack] = {}
        self._accounts: defaultdict[str, Account] = defaultdict(Account)
        self._num_halvings: Counter[str] = Counter()
        self._has_saved: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._where: dict[str, Place] = {}
        self._falls_of_node: Counter[str] = Counter()
        self._avoided_until: dict[str, float] = {}
        self._too_many_bytes = math.inf
        self._next_look = float("-inf")
        self._unwritten: list[tuple[Run, Failure]] = []
        self._next_writing = float("-inf")
        self._is_waiting = False

    # ---- what a driver asks and tells

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next pack that can run now, as a worker's config; None to wait; FINISHED when nothing is left.

        A pack that runs may fall and come back, and FINISHED is for good: it is said when none does.
        """
        self._look()
        self._write_failures()
        self.story.write()
        if self._is_stopped():
            return FINISHED
        pack = self._next_pack()
        under_way = self.running or self._fallen or self._unwritten
        if pack is None and not (self._is_fed() or self._queue or under_way):
            return FINISHED
        pack = pack or self._next_pack()
        if pack is not None:
            return self._handed_out(pack, trial_id)
        if not self.running:
            self.on_wait()
        return None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Learn where a pack trains and whether it has saved a checkpoint, and tell what its worker notes."""
        if trial_id in self.running:
            self.story.hear(trial_id, self.running[trial_id].name, result)
        if "node" in result:
            self._where[trial_id] = Place(host=result["host"], node=result["node"])
        if result.get("num_saved", 0):
            self._has_saved.add(trial_id)
        for note in result.get("notes", ()):
            if trial_id in self.running and (trial_id, note) not in self._told:
                self._told.add((trial_id, note))
                self.tell(f"{self.running[trial_id].name}: {note}")
        self.story.write()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Account for a pack that has ended; what it did not commit has failed, or is stopped if the sweep is.

        One that ended in an error is judged when `fell` says what error it was.
        """
        pack = self.running.pop(trial_id, None)
        if pack is None:
            return
        if error:
            self._fallen[trial_id] = pack
            return
        if trial_id in self._where:
            self._falls_of_node[self._where.pop(trial_id).node] = 0
        self._finish(self._done(pack))
        if self._is_stopped():
            self._stop(self.states.runs_in("running") & set(pack.runs))
        self._fail(set(pack.runs) - self.states.runs_in("stopped"), "its worker has left no record of it")

    def fell(self, trial_id: str, fall_at: Callable[[Place], Fall]) -> None:
        """Judge a pack that ended in an error: it is tried again, halved, or given up with a failure in the store.

        `fall_at` tells what happened, given where, as far as that is known.
        """
        pack = self._fallen.pop(trial_id, None)
        if pack is None:
            return
        fall = fall_at(self._where.pop(trial_id, Place(host="", node="")))
        done = self._done(pack)
        written = {run_id(spec) for spec in pack.specs if run_id(spec) not in done and self._has_failure(spec)}
        self._finish(done)
        self._fail(written)
        if self._is_stopped():
            self._stop(self.states.runs_in("running") & set(pack.runs))
        left = tuple(spec for spec in pack.specs if self.states[run_id(spec)].state == "running")
        if left:
            self._judge(pack, left, fall, got_on=len(left) < len(pack.specs) or trial_id in self._has_saved)

    def close(self) -> None:
        """Say that the sweep is over: what is under way or waits to be tried again is stopped."""
        self._stop(self.states.runs_in("running", "retrying"))
        self.story.write(now=True)

    def unfinished(self) -> list[str]:
        """The names of the packs that were handed out and have runs that are not finished."""
        finished = self.states.runs_in("finished")
        return [name for name, pack in self._started.items() if any(run not in finished for run in pack.runs)]

    def num_waiting(self) -> int:
        """How many packs are not yet handed out."""
        return len(self._queue)

    # ---- handing out

    def _look(self) -> None:
        start = time.monotonic()
        if start < self._next_look:
            return
        own = {run for pack in (*self.running.values(), *self._fallen.values()) for run in pack.runs}
        listing = patience.STORE.answer(self._store.listing, tell=self.tell)
        self._finish(listing.finished.keys() - self.states.runs_in("finished") - self.plan.unkept)
        self._fail(self.states.movable(listing.failed - own, "failed"))
        self._fail(listing.failed & own, goes_on=True)
        now = time.monotonic()
        self._next_look = now + max(SECONDS_BETWEEN_LOOKS, (now - start) / SHARE_OF_LOOKING)

    def _is_fed(self) -> bool:
        """Whether the feed has given packs, or may do so later."""
        more = self.feed.more()
        for pack in more or ():
            self._fed |= set(pack.runs)
            self.feed.stopped -= set(pack.runs)
            self.states.add(dict(zip(pack.runs, pack.specs, strict=True)))
            self._place_in_plan[pack.name] = len(self._place_in_plan)
            self._queue.add(pack, place=self._place_in_plan[pack.name])
            self._enqueue(pack.runs)
        self._stop(self.feed.stopped, "a rung has stopped it")
        return more is not None

    def _enqueue(self, runs: Collection[str]) -> None:
        """Say that runs wait in packs of the queue, where those that need not run are dropped from."""
        self.states.move(self.states.movable(runs, "queued"), "queued")
        self._queue.drop(set(runs) - self.states.runs_in("queued"))

    def _next_pack(self) -> Pack | None:
        taken: set[str] | None = None
        for pack in self._queue.runnable(time.monotonic()):
            if taken is None:
                beats = patience.STORE.answer(self._store.heartbeats, tell=self.tell)
                taken = {run for beat in beats if beat.pack not in self._started for run in beat.runs}
            if taken.isdisjoint(pack.runs) and all(self.states[run].state in WAITING for run in pack.runs):
                return pack
        return None

    def _handed_out(self, pack: Pack, trial_id: str) -> dict[str, Any]:
        self._queue.take(pack)
        pack = self._cut_to_memory(pack)
        self._started[pack.name] = pack
        self.running[trial_id] = pack
        self.states.move(pack.runs, "running", f"in pack {pack.name} of {len(pack.specs)}")
        self.story.hand_out(pack.name, pack.runs)
        return {
            "pack": pack.name,
            "runs": list(pack.runs),
            "num_halvings": self._num_halvings[pack.name],
            "avoid": self._avoided(pack),
            **(self.feed.config(pack) if self._fed.issuperset(pack.runs) else {}),
        }

    def _cut_to_memory(self, pack: Pack) -> Pack:
        """So much of the pack as is smaller than what has lacked memory; the rest waits."""
        while len(pack.specs) > 1 and _bytes(pack.specs) >= self._too_many_bytes:
            pack, other = self._halves(pack, pack.specs)
            self._queue.add(other, place=self._place_in_plan[other.name])
        return pack

    def _avoided(self, pack: Pack) -> list[str]:
        """Nodes that have failed whatever came, and the one that failed this pack last; none if there are no others."""
        now, nodes = time.monotonic(), set(self._nodes())
        avoided = {node for node, until in self._avoided_until.items() if until > now}
        falls = self._accounts[pack.name].falls
        blamed = ("store failed", "disk full", "exception", "worker died")
        own = {falls[-1].node} if falls and falls[-1].kind in blamed else set()
        for chosen in (avoided | own, avoided):
            if nodes - chosen:
                return sorted(chosen & nodes)
        return []

    # ---- what came of it

    def _judge(self, pack: Pack, left: tuple[Run, ...], fall: Fall, *, got_on: bool) -> None:
        alive = set(self._nodes())
        account = self._accounts[pack.name]
        verdict = account.verdict(fall, got_on=got_on, num_runs=len(left), is_alive=alive.__contains__)
        fall = account.falls[-1]
        self._count_against_node(fall)
        runs = {run_id(spec) for spec in left}
        match verdict:
            case Again(seconds=seconds):
                self.states.move(runs, "retrying", f"{fall.kind} ({fall.message}); it is tried again")
                self._queue.add(
                    Pack(name=pack.name, stage=pack.stage, specs=left),
                    place=self._place_in_plan[pack.name],
                    not_before=time.monotonic() + seconds,
                )
                self.tell(f"{pack.name}: {fall.kind} ({fall.message}); it is tried again")
            case Halved():
                self.states.move(runs, "retrying", f"{fall.kind} with {len(left)} runs; it is tried again in halves")
                self._too_many_bytes = min(self._too_many_bytes, _bytes(left))
                for half in self._halves(pack, left):
                    self._queue.add(half, place=self._place_in_plan[half.name])
                self.tell(f"{pack.name}: {fall.kind} with {len(left)} runs; it is tried again in halves")
            case GivenUp():
                number = account.num_attempts
                self._unwritten += [(spec, failure(spec, pack.specs, fall, num_attempts=number)) for spec in left]
                self._next_writing = float("-inf")
                self._write_failures()
                self._fail(runs, f"{fall.kind} ({fall.message}); given up after {number} attempts")
                self.tell(f"{pack.name}: {fall.kind} ({fall.message}); given up after {account.num_attempts} attempts")
            case _:
                assert_never(verdict)

    def _done(self, pack: Pack) -> set[str]:
        """The pack's runs that are committed."""

        def ask(spec: Run) -> bool:
            return is_done(spec, self._store, is_kept=run_id(spec) in self.plan.unkept)

        return {run_id(spec) for spec in pack.specs if patience.STORE.answer(partial(ask, spec), tell=self.tell)}

    def _has_failure(self, spec: Run) -> bool:
        """Whether a worker has written why this run alone has failed; something that cannot be read counts."""
        try:
            patience.STORE.answer(partial(self._store.failure, spec), tell=self.tell)
        except FileNotFoundError:
            return False
        except ValueError:
            return True
        return True

    def _write_failures(self) -> None:
        """Write why runs have failed; what the store has no room for just now waits, and the sweep does not end before.

        A driver that is stopped meanwhile leaves those runs missing.
        """
        if not self._unwritten or time.monotonic() < self._next_writing:
            return
        while self._unwritten:
            spec, why = self._unwritten[0]
            try:
                self._store.fail(spec, why)
            except DamagedError as error:
                self.tell(f"why run {why.run_id} failed cannot be written: {error}")
            except OSError as error:
                if not self._is_waiting:
                    self.tell(f"why {len(self._unwritten)} runs failed cannot be written ({error}); it is tried again")
                self._is_waiting, self._next_writing = True, time.monotonic() + SECONDS_BETWEEN_LOOKS
                return
            del self._unwritten[0]
        if self._is_waiting:
            self.tell("why runs failed is written")
        self._is_waiting = False

    def _halves(self, pack: Pack, several: tuple[Run, ...]) -> tuple[Pack, Pack]:
        middle = (len(several) + 1) // 2
        first, second = named_pack(several[:middle]), named_pack(several[middle:])
        for half in (first, second):
            self._place_in_plan[half.name] = self._place_in_plan[pack.name]
            self._num_halvings[half.name] = self._num_halvings[pack.name] + 1
        return first, second

    def _count_against_node(self, fall: Fall) -> None:
        match fall.kind:
            case "node lost" | "out of memory":
                return
            case "store failed" | "disk full" | "exception" | "worker died":
                self._falls_of_node[fall.node] += 1
                if fall.node and self._falls_of_node[fall.node] >= NUM_FALLS_OF_A_NODE:
                    self._avoided_until[fall.node] = time.monotonic() + NODE_REST_SECONDS
            case _:
                assert_never(fall.kind)

    def _finish(self, runs: Iterable[str]) -> None:
        """Enter that runs are committed. What they had blocked waits again, or is left to the next sweep."""
        new = self.states.movable(runs, "finished")
        if new:
            freed = self.states.move(new, "finished")
            self._queue.finish(new)
            self.states.move({run for run in freed if self._queue.holds(run)}, "queued")
            self.on_finish(new)

    def _fail(self, runs: Collection[str], why: str = "", *, goes_on: bool = False) -> None:
        """Enter that runs have failed. While its pack `goes_on`, a run may be committed yet, and others wait for it."""
        self.states.move(self.states.movable(runs, "failed"), "failed", why)
        failed = self.states.runs_in("failed") & set(runs)
        if failed and not goes_on:
            self._queue.drop(failed | (self.states.descendants(failed) & self.states.runs_in("blocked")))

    def _stop(self, runs: Iterable[str], why: str = "") -> None:
        new = self.states.movable(runs, "stopped")
        self.states.move(new, "stopped", why)
        self._queue.drop(new)


def _bytes(several: Sequence[Run]) -> int:
    return len(several) * bytes_per_replica(several[0])
