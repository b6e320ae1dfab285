"""The packs that are not yet handed out: which of them can run, without a look at all of them for each question."""

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import replace

from subind.identity.run_ids import run_id
from sweeps.planning.plan import Pack

Place = tuple[int, int]
"""Where a pack stands in the queue: its place in the plan, and below that when it came (back)."""


class PackQueue:
    """Packs in the order of a plan. One can run when the parents of all its runs are finished, and not before its time.

    What is asked and told costs as much as the packs that it concerns, not as many as there are.
    """

    def __init__(self, packs: Iterable[Pack], *, finished: Set[str]) -> None:
        """`finished` are the runs that are finished at any time: the set grows before `finish` is called."""
        self._finished = finished
        self._packs: dict[str, Pack] = {}
        self._places: dict[str, Place] = {}
        self._times: dict[str, float] = {}
        self._parents: dict[str, set[str]] = {}
        self._holder: dict[str, str] = {}
        self._children: defaultdict[str, set[str]] = defaultdict(set)
        self._ready: list[tuple[Place, str]] = []
        self._num_added = 0
        for place, pack in enumerate(packs):
            self.add(pack, place=place)

    def __len__(self) -> int:
        return len(self._packs)

    def add(self, pack: Pack, *, place: int, not_before: float = 0.0) -> None:
        """Take a pack (back), behind those that came earlier to its place; it runs not before that time."""
        self._num_added += 1
        self._packs[pack.name] = pack
        self._places[pack.name] = (place, self._num_added)
        self._times[pack.name] = not_before
        self._holder.update(dict.fromkeys(pack.runs, pack.name))
        self._wait_for_parents(pack)

    def place(self, pack: Pack) -> int:
        """The place at which the pack was added last."""
        return self._places[pack.name][0]

    def holds(self, run: str) -> bool:
        """Whether the run is in a pack of the queue."""
        return run in self._holder

    def finish(self, runs: Collection[str]) -> None:
        """Say that runs have become finished: they need not run, and what waits for them may."""
        self.drop(runs)
        for run in runs:
            for name in self._children.pop(run, ()):
                if name in self._packs and run in self._parents[name]:
                    self._parents[name].discard(run)
                    self._make_ready(name)

    def drop(self, runs: Collection[str]) -> None:
        """Say that runs need not run, or cannot."""
        for name in {self._holder.pop(run) for run in runs if run in self._holder}:
            pack = self._packs[name]
            left = tuple(spec for spec in pack.specs if run_id(spec) not in runs)
            if left:
                self._packs[name] = replace(pack, specs=left)
                self._wait_for_parents(self._packs[name])
            else:
                del self._packs[name]

    def runnable(self, now: float) -> Iterator[Pack]:
        """The packs that can run, the first in the plan in front. The queue may not be changed between two of them."""
        kept: list[tuple[Place, str]] = []
        try:
            while self._ready:
                entry = heapq.heappop(self._ready)
                place, name = entry
                if self._places.get(name) != place or name not in self._packs or self._parents[name]:
                    continue
                if kept and kept[-1] == entry:
                    continue
                kept.append(entry)
                if self._times[name] <= now:
                    yield self._packs[name]
        finally:
            for each in kept:
                heapq.heappush(self._ready, each)

    def take(self, pack: Pack) -> None:
        """Hand the pack out."""
        del self._packs[pack.name]
        for run in pack.runs:
            self._holder.pop(run, None)

    def _wait_for_parents(self, pack: Pack) -> None:
        wanted = {run_id(parent) for spec in pack.specs for parent in spec.parents()} - self._finished
        self._parents[pack.name] = wanted
        for run in wanted:
            self._children[run].add(pack.name)
        self._make_ready(pack.name)

    def _make_ready(self, name: str) -> None:
        if not self._parents[name]:
            heapq.heappush(self._ready, (self._places[name], name))
