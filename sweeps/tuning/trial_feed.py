"""Feed a sweep with trials: ask Optuna for a pack when a worker is free, and report results as they arrive.

The study's storage and the store of runs hold everything that the feed knows, so it may die at any time.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from optuna.exceptions import StorageInternalError

from subind.identity.run_ids import canonical_json, run_id
from subind.specs.runs import Discover
from subind.store.results import RunRecord
from subind.store.store import Store
from sweeps.mirror.experiment import Content
from sweeps.planning.damaged_runs import damaged_failure
from sweeps.planning.plan import Pack, named_pack
from sweeps.running.worker import STOPPED
from sweeps.tuning.stopping import Curves, rungs
from sweeps.tuning.trials import HEARTBEAT_SECONDS, Trial, Trials

SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What Optuna calls a run."""

    study: str
    number: int


def labelled(content: Content, names: Mapping[str, Name]) -> Content:
    """What the mirror logs of a run, under the number that Optuna has it, if that is among the names by run id."""
    name = names.get(content.run_id)
    if name is None:
        return content
    tags = {"optuna.study": name.study, "optuna.trial": str(name.number)}
    return replace(content, name=f"trial-{name.number:03d}", tags={**content.tags, **tags})


@dataclass(slots=True, kw_only=True)
class Ongoing:
    """A study under way: its trials that are asked and not told, and the curves of the finished ones."""

    trials: Trials
    in_flight: dict[str, Trial] = field(default_factory=dict)
    waiting: list[Trial] = field(default_factory=list)
    curves: list[Curves] = field(default_factory=list)


class TrialFeed:
    """Packs of the trials of several studies, until each has `num_trials`.

    `most_replicas` says how many masks of a shape fit into a pack; a pack has `batch` at most. With `stops` a trial
    that is worse than the median in every respect is stopped (see stopping.py).
    """

    def __init__(
        self,
        several: Sequence[Trials],
        store: Store,
        *,
        num_trials: int,
        batch: int,
        most_replicas: Callable[[Discover], int],
        stops: bool,
    ) -> None:
        self._store = store
        self._num_trials = num_trials
        self._batch = batch
        self._most = most_replicas
        self._stops = stops
        self._looked = float("-inf")
        self._names: dict[str, Name] = {}
        self.stopped: set[str] = set()
        self.note = ""
        self._studies = [Ongoing(trials=each) for each in several]
        for study in self._studies:
            self._take(study, study.trials.adopt())
            study.curves = [dict(record.curves) for record in self._finished(study.trials)]

    def more(self) -> tuple[Pack, ...] | None:
        """The next packs to train; none yet if all trials are under way; None if all are told.

        Raises OSError if the studies' database does not answer.
        """
        try:
            return self._more() if self.settle() else ()
        except StorageInternalError as error:
            told = str(error).splitlines()[0]
            raise OSError(f"the studies' database does not answer ({told}): the same command goes on") from None

    def _more(self) -> tuple[Pack, ...] | None:
        self.note = self._told()
        for study in sorted(self._studies, key=lambda each: each.trials.num_asked()):
            while not study.waiting and study.trials.num_asked() < self._num_trials:
                self._ask(study)
            if study.waiting:
                return self._packed(study)
        return () if self.is_busy() else None

    def _told(self) -> str:
        """How many trials are over, of those that the studies are to have."""
        asked = [each.trials.num_asked() for each in self._studies]
        over = sum(asked) - sum(len(each.in_flight) for each in self._studies)
        return f"{over} of {sum(max(number, self._num_trials) for number in asked)} trials are over"

    def is_busy(self) -> bool:
        """Whether a trial is under way."""
        return any(study.in_flight for study in self._studies)

    def config(self, pack: Pack) -> dict[str, Any]:
        """What a worker needs to know about a pack outside the plan."""
        return {"specs": {run_id(spec): canonical_json(spec) for spec in pack.specs}, "rungs": self._rungs(pack)}

    def _rungs(self, pack: Pack) -> list[dict[str, Any]]:
        study = next((each for each in self._studies if pack.runs[0] in each.in_flight), None)
        if study is None or not self._stops:
            return []
        return [{"share": rung.share, "limits": dict(rung.limits)} for rung in rungs(study.curves)]

    # ---- asking

    def _ask(self, study: Ongoing) -> None:
        """Ask for a batch; results that the store has are reported at once."""
        number = min(self._batch, self._most(study.trials.definition.base))
        number = min(number, self._num_trials - study.trials.num_asked())
        self._take(study, [study.trials.ask() for _ in range(number)])
        self._looked = float("-inf")
        self.settle()

    def _take(self, study: Ongoing, found: Sequence[Trial]) -> None:
        for trial in found:
            study.in_flight[run_id(trial.mask)] = trial
            self._names[run_id(trial.mask)] = Name(study=study.trials.name, number=trial.number)
        study.waiting += found

    def _packed(self, study: Ongoing) -> tuple[Pack, ...]:
        """The waiting trials in packs: those that a checkpoint holds as they were, the others together.

        Those of many epochs come first, so that a replica that is done leaves from the end.
        """
        waiting, study.waiting = study.waiting, []
        left = {run_id(trial.mask): trial.mask for trial in waiting}
        begun = {each.pack: [left.pop(run) for run in each.runs if run in left] for each in self._store.checkpoints()}
        packs = [Pack(name=name, stage="mask", specs=tuple(masks)) for name, masks in begun.items() if masks]
        rest = sorted(left.values(), key=lambda mask: -mask.num_epochs)
        shares = (rest[start : start + self._batch] for start in range(0, len(rest), self._batch))
        return (*packs, *(named_pack(tuple(share)) for share in shares))

    # ---- telling

    def settle(self) -> bool:
        """Report the results of trials to the studies; False if this was done just now."""
        if monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return False
        listing = self._store.listing_of(trial.mask for study in self._studies for trial in study.in_flight.values())
        for study in self._studies:
            for run, trial in list(study.in_flight.items()):
                if run in listing.finished:
                    self._tell(study, trial)
                elif run in listing.damaged:
                    study.trials.tell_failed(trial, damaged_failure(run, listing.damaged[run]))
                    self._forget(study, trial)
                elif run in listing.failed:
                    self._tell_failure(study, trial)
        self._looked = monotonic()
        return True

    def _tell(self, study: Ongoing, trial: Trial) -> None:
        try:
            record = self._store.record(trial.mask)
        except ValueError as error:
            study.trials.tell_failed(trial, damaged_failure(run_id(trial.mask), str(error)))
            self._forget(study, trial)
            return
        study.trials.tell(trial, record)
        study.curves.append(dict(record.curves))
        self._forget(study, trial)

    def _tell_failure(self, study: Ongoing, trial: Trial) -> None:
        """A trial that was stopped is no failed run: a grid that wants its mask trains it to the end."""
        try:
            failure = self._store.failure(trial.mask)
        except ValueError as error:
            failure = damaged_failure(run_id(trial.mask), str(error))
        if failure.error == STOPPED:
            study.trials.tell_stopped(trial, failure)
            self.stopped.add(run_id(trial.mask))
            self._store.forgive(trial.mask)
        else:
            study.trials.tell_failed(trial, failure)
        self._forget(study, trial)

    def _forget(self, study: Ongoing, trial: Trial) -> None:
        del study.in_flight[run_id(trial.mask)]
        study.waiting = [each for each in study.waiting if each.number != trial.number]

    def _finished(self, trials: Trials) -> Iterator[RunRecord]:
        finished = self._store.finished()
        for trial in trials.completed():
            if run_id(trial.mask) in finished:
                with suppress(ValueError):
                    yield self._store.record(trial.mask)
                self._names[run_id(trial.mask)] = Name(study=trials.name, number=trial.number)

    # ---- beside the sweep

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Say every half minute that the trials under way have a driver, until the block ends; then tell the last."""
        over = threading.Event()
        thread = threading.Thread(target=self._beat_until, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._looked = float("-inf")
            self.settle()

    def _beat_until(self, over: threading.Event) -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            for study in self._studies:
                for trial in list(study.in_flight.values()):
                    with suppress(StorageInternalError):  # the next beat may reach it
                        study.trials.beat(trial)

    def labelled(self, content: Content) -> Content:
        """What the mirror logs of a run, under the number that the trial has in Optuna."""
        return labelled(content, self._names)
