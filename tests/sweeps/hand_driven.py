"""A sweep whose searcher is driven by hand: what Tune would do is done here, on a real store."""

from collections.abc import Collection, Sequence

from subind.specs.run import Run
from subind.specs.runs import Transfer
from subind.store.store import Store
from sweeps.planning.plan import Crew, Plan, accounts, packed
from sweeps.running.searcher import PackSearcher
from sweeps.running.verdicts import Fall, Kind
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.sweeps.fabricated import commit_fabricated


class Sweep:
    """A plan over two seeds in packs of one, its store and its searcher; `start` and `finish` are Tune's part."""

    def __init__(
        self, store: Store, cells: Sequence[Run], *, pack_size: int = 1, nodes: Collection[str] = frozenset()
    ) -> None:
        self.store = store
        found = accounts("grid", cells, finished=store.finished(), failed=store.failed())
        self.plan: Plan = packed(found, checkpoints=(), crew=Crew(num_workers=1, pack_size=pack_size))
        self.told: list[str] = []
        self.searcher = PackSearcher(self.plan, store, nodes=lambda: nodes)
        self.searcher.tell = self.told.append
        self._trials = 0

    def start(self) -> tuple[str, tuple[Run, ...]] | str | None:
        """A new trial and the specs of its pack; or what else the searcher says."""
        self._trials += 1
        trial = f"trial{self._trials}"
        config = self.searcher.suggest(trial)
        if not isinstance(config, dict):
            return config
        return trial, tuple(self.plan.runs[run] for run in config["runs"])

    def started(self) -> tuple[str, tuple[Run, ...]]:
        """A new trial, which there must be."""
        found = self.start()
        assert isinstance(found, tuple), f"no pack is handed out but {found!r}"
        return found

    def all_started(self) -> dict[Run, str]:
        """All trials that can start now: the first spec of each pack, and the trial."""
        found = {}
        while isinstance(one := self.start(), tuple):
            found[one[1][0]] = one[0]
        return found

    def finish(self, trial: str) -> None:
        """A worker commits the runs of the trial's pack and ends."""
        commit_fabricated(self.store, self.searcher.running[trial].specs)
        self.searcher.on_trial_complete(trial, result={})

    def fall(self, trial: str, kind: Kind = "exception", *, node: str = "") -> None:
        """A trial ends in an error of that kind, on that node."""
        fall = Fall(kind=kind, error="SomeError", message="it fell", traceback="a traceback", host="there", node=node)
        self.searcher.on_trial_complete(trial, error=True)
        self.searcher.fell(trial, lambda _place: fall)


def cells(seeds: Sequence[int] = (0, 1)) -> tuple[Transfer, ...]:
    return tuple(
        tiny_transfer("subnetwork", mask=tiny_mask(donor=tiny_donor(seed=seed), seed=seed), seed=seed) for seed in seeds
    )
