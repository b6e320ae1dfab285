"""The MLflow mirror of a store: one experiment per grid, one run per finished cell, keyed by the tag `subind.run_id`.

The store is the truth. A run is logged in full and its status becomes FINISHED last, so one that was cut short is found
again and completed; everything that is logged follows from the record, so logging it again changes nothing. Drivers
that mirror at once take turns by a lock file.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.names import slug
from subind.store.results import RunRecord
from subind.store.store import Store
from sweeps.mirror import address, content
from sweeps.mirror.address import chosen_tracking_uri, default_tracking_uri
from sweeps.mirror.database import LOCK_SECONDS, database_lock
from sweeps.mirror.density_picture import heat_map, matrix_densities
from sweeps.mirror.experiment import Content, Experiment, RefusedError, load_mlflow

__all__ = ["Mirror", "MirrorOutcome", "default_tracking_uri"]

REST_FACTOR = 10
"""After an error the mirror rests for so many times as long as the failed attempt took: a tracker that is down costs a
driver a tenth of its time at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorOutcome:
    """What became of the finished runs among the runs; `error` says why some are delayed, empty if none is."""

    num_mirrored: int
    num_already_there: int
    num_delayed: int
    error: str


Label = Callable[[Content], Content]


def as_it_is(content: Content) -> Content:
    """The content, under no other name."""
    return content


class Mirror:
    """Mirrors a store's runs into the MLflow experiment of a grid.

    It connects when it is first used, and serves one thread. `tracking_uri` goes before MLFLOW_TRACKING_URI, and that
    before the SQLite database in the store's folder. Raises ValueError if none of the three can be or the URI has an
    unknown scheme. `label` may change what is logged of a run, but not its id.
    """

    def __init__(self, store: Store, *, grid: str, tracking_uri: str | None = None, label: Label = as_it_is) -> None:
        self._store = store
        self._label = label
        self._grid = grid
        self._uri = chosen_tracking_uri(store, tracking_uri)
        self._experiment: Experiment | None = None
        self._complete: set[str] = set()
        self._rest_until = 0.0
        self._error = ""

    def mirror(self, runs: Sequence[Run], *, within_seconds: float = math.inf) -> MirrorOutcome:
        """Mirror those of the runs that are finished in the store and not complete in MLflow yet.

        No run is begun after `within_seconds`. Errors of the tracker are not raised: what they delay, a later call
        mirrors. Raises OSError if the store cannot be listed.
        """
        by_id = {run_id(run): run for run in runs}
        finished = self._store.finished() if by_id.keys() - self._complete else self._complete
        of_these = [run for found, run in by_id.items() if found in finished]
        return self.mirror_finished(of_these, within_seconds=within_seconds)

    def mirror_finished(self, runs: Sequence[Run], *, within_seconds: float = math.inf) -> MirrorOutcome:
        """The same for different runs that are known to be finished: the store is not listed."""
        wanted = {run_id(run) for run in runs}
        pending = [run for run in runs if run_id(run) not in self._complete]
        num_mirrored = 0
        if pending and time.monotonic() >= self._rest_until:
            num_mirrored = self._attempt(pending, until=time.monotonic() + within_seconds)
        num_delayed = len(wanted - self._complete)
        return MirrorOutcome(
            num_mirrored=num_mirrored,
            num_already_there=len(wanted) - num_delayed - num_mirrored,
            num_delayed=num_delayed,
            error=self._error if num_delayed else "",
        )

    def has(self, run: Run) -> bool:
        """Whether this mirror knows the run to be complete in MLflow."""
        return run_id(run) in self._complete

    def attach(self, content: Content) -> str:
        """Log a run that is none of the store's, or its artifacts anew; what delays that, empty if nothing does."""
        load_mlflow()
        try:
            experiment = self._connected()
            with self._turn():
                experiment.attach(content)
        except Exception as error:  # noqa: BLE001  whatever a tracker raises delays the mirror and nothing else
            return self._message(error)
        return ""

    def num_complete(self) -> int:
        """How many runs of the grid are in MLflow, asked anew. Raises ValueError if the tracker does not answer."""
        load_mlflow()
        try:
            with self._turn():
                location = address.artifact_location(self._store, self._uri)
                return len(Experiment.connected(self._uri, grid=self._grid, artifact_location=location).complete())
        except Exception as error:  # noqa: BLE001  a tracker may raise anything
            raise ValueError(self._message(error)) from None

    def _attempt(self, pending: Sequence[Run], *, until: float) -> int:
        """Mirror the runs up to the first error of the tracker; how many were mirrored."""
        load_mlflow()
        num_mirrored, last_success = 0, time.monotonic()
        self._error = ""
        try:
            experiment = self._connected()
            for run in pending:
                if time.monotonic() > until:
                    self._error = self._error or "the tracker is slow: a later call mirrors the rest"
                    break
                if run_id(run) not in self._complete:
                    num_mirrored += self._mirror_one(run, experiment)
                last_success = time.monotonic()
        except Exception as error:  # noqa: BLE001  whatever a tracker raises delays the mirror and nothing else
            now = time.monotonic()
            self._error = self._message(error)
            self._rest_until = now + REST_FACTOR * (now - last_success)
        return num_mirrored

    def _connected(self) -> Experiment:
        if self._experiment is None:
            location = address.artifact_location(self._store, self._uri)
            with self._turn():
                connected = Experiment.connected(self._uri, grid=self._grid, artifact_location=location)
                self._complete |= connected.complete()
            self._experiment = connected
        return self._experiment

    def _mirror_one(self, run: Run, experiment: Experiment) -> bool:
        """Whether the run was logged now. One that cannot be read or that is refused does not hold up the others."""
        try:
            content = self._label(_content(self._store, run, self._grid))
        except (ValueError, FileNotFoundError) as error:
            self._error = self._message(error)
            return False
        try:
            with self._turn():
                logged = experiment.log(content)
        except RefusedError as error:
            self._error = f"run {content.run_id} is refused: {self._message(error)}"
            return False
        self._complete.add(content.run_id)
        return logged

    def _turn(self) -> AbstractContextManager[object]:
        """The lock that all drivers of the database or the store share; none if they share no local folder."""
        if address.scheme(self._uri) == "sqlite":
            return database_lock(self._uri)
        if self._store.is_local:
            path = Path(address.store_root(self._store), "mlflow.lock")
            path.parent.mkdir(parents=True, exist_ok=True)
            return FileLock(path, timeout=LOCK_SECONDS)
        return nullcontext()

    def _message(self, error: Exception) -> str:
        return address.told(error, self._uri)


def _content(store: Store, run: Run, grid: str) -> Content:
    """What is logged of the run. Raises ValueError or FileNotFoundError if its folder is not whole."""
    record = store.record(run)
    return Content(
        run_id=record.run_id,
        name=content.name(run),
        started=content.started(record),
        ended=content.ended(record),
        params=content.params(run),
        tags=content.tags(run, record),
        points=content.points(run, record),
        artifacts=_artifacts(store, run, record, grid),
    )


def _artifacts(store: Store, run: Run, record: RunRecord, grid: str) -> dict[str, bytes]:
    """The record, and of a mask its bits as committed and its density as a picture; weights stay in the store."""
    found = {"record.json": json.dumps(record.data(), sort_keys=True, indent=1).encode()}
    if run.stage == "mask":
        found |= {name: store.artifact(run, name) for name in record.artifacts}
    if densities := matrix_densities(record.measurements):
        found["density.png"] = heat_map(densities, title=f"{grid}: {slug(run)}")
    return found
