"""The MLflow mirror of a store: one experiment per grid, one run per finished cell, keyed by the tag `subind.run_id`.

Beside it stands `GRID.controls`, which compares the cells (`sweeps.mirror.controls`), with its saved views.

The store is the truth. A run is logged in full and its status becomes FINISHED last, so one that was cut short is found
again and completed; everything that is logged follows from the record, so logging it again changes nothing. Drivers
that mirror at once take turns by a lock file.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from filelock import FileLock

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.names import slug
from subind.store.results import RunRecord
from subind.store.store import Store
from sweeps.mirror import content, controls, tracker, views
from sweeps.mirror.controls import Cell, Interval
from sweeps.mirror.density_picture import heat_map, matrix_densities
from sweeps.mirror.experiment import Content, Experiment, RefusedError, is_complete, load_mlflow
from sweeps.mirror.tracker import LOCK_SECONDS, chosen_tracking_uri, database_lock, default_tracking_uri

if TYPE_CHECKING:
    from mlflow.entities import Run as Logged

__all__ = ["Mirror", "MirrorOutcome", "default_tracking_uri"]

REST_FACTOR = 10
"""After an error the mirror rests for so many times as long as the failed attempt took: a tracker that is down costs a
driver a tenth of its time at most."""

SECONDS_BETWEEN_COMPARISONS = 30.0
"""During a sweep the comparison of the controls is brought up to date this often."""


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
        self._complete: dict[str, str] = {}
        self._unfinished: dict[str, Logged] = {}
        self._cells: dict[str, Cell] = {}
        self._given: set[str] = set()
        self._compared = -math.inf
        self._is_changed = True
        self._token = uuid4().hex
        self._is_alone = True
        self._rest_until = 0.0
        self._error = ""

    def mirror(self, runs: Sequence[Run], *, within_seconds: float = math.inf) -> MirrorOutcome:
        """Mirror those of the runs that are finished in the store and not complete in MLflow yet.

        No run is begun after `within_seconds`. Errors of the tracker are not raised: what they delay, a later call
        mirrors. Raises OSError if the store cannot be listed.
        """
        by_id = {run_id(run): run for run in runs}
        finished = self._store.finished() if by_id.keys() - self._complete.keys() else self._complete.keys()
        of_these = [run for found, run in by_id.items() if found in finished]
        return self.mirror_finished(of_these, within_seconds=within_seconds)

    def mirror_finished(self, runs: Sequence[Run], *, within_seconds: float = math.inf) -> MirrorOutcome:
        """The same for different runs that are known to be finished: the store is not listed."""
        wanted = {run_id(run) for run in runs}
        pending = [run for run in runs if run_id(run) not in self._complete]
        num_mirrored = 0
        if pending and time.monotonic() >= self._rest_until:
            num_mirrored = self._attempt(pending, until=time.monotonic() + within_seconds)
        num_delayed = len(wanted - self._complete.keys())
        self._given |= wanted
        if not num_delayed and time.monotonic() > self._compared + SECONDS_BETWEEN_COMPARISONS:
            self.compare()
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

    def present(self, labels: Mapping[str, tuple[str, Mapping[str, str]]], shown: Mapping[str, views.View]) -> str:
        """Give complete runs names and tags by their ids, and the experiment views; what delays that, or nothing."""
        load_mlflow()
        try:
            experiment = self._connected()
            with self._turn():
                for run, logged in experiment.logged().items():
                    if run in labels:
                        experiment.label(logged, *labels[run])
                experiment.tag(views.tags(shown, created=experiment.created))
        except Exception as error:  # noqa: BLE001  whatever a tracker raises delays the mirror and nothing else
            return self._message(error)
        return ""

    def compare(self, interval: Interval | None = None) -> str:
        """Bring the experiment of the controls up to date; what delays that, empty if nothing does.

        Without `interval` the runs of means stay as they are. Nothing is done if no cell has come since.
        """
        self._compared = time.monotonic()
        if not self._is_changed and interval is None:
            return ""
        try:
            load_mlflow()
            found = controls.comparison(self._recipients(), self._given, interval)
            if found is not None:
                self._log_comparison(found, has_means=interval is not None)
            self._is_changed = False
        except Exception as error:  # noqa: BLE001  whatever a tracker raises delays the mirror and nothing else
            return self._message(error)
        return ""

    def num_complete(self) -> int:
        """How many runs of the grid are in MLflow, asked anew. Raises ValueError if the tracker does not answer."""
        load_mlflow()
        try:
            with self._turn():
                return sum(is_complete(run) for run in self._connection(self._grid).logged().values())
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

    def _connection(self, grid: str) -> Experiment:
        location = tracker.artifact_location(self._store, self._uri)
        return Experiment.connected(self._uri, grid=grid, artifact_location=location)

    def _connected(self) -> Experiment:
        if self._experiment is None:
            with self._turn():
                connected = self._connection(self._grid)
                for run, logged in connected.logged().items():
                    self._note(run, logged)
                self._is_alone = True
            self._experiment = connected
        return self._experiment

    def _note(self, run: str, logged: "Logged") -> None:
        """Remember what MLflow has of a run."""
        if not is_complete(logged):
            self._unfinished[run] = logged
            return
        self._complete[run] = str(logged.info.run_id)
        self._compare_with(controls.cell(run, logged.data.params, logged.data.metrics, logged.info.end_time or 0))

    def _compare_with(self, cell: Cell | None) -> None:
        if cell is not None:
            self._cells[cell.run_id] = cell
            self._is_changed = True

    def _recipients(self) -> list[Cell]:
        self._connected()
        return list(self._cells.values())

    def _log_comparison(self, found: controls.Comparison, *, has_means: bool) -> None:
        cells = self._connected()
        with self._turn():
            experiment = self._connection(f"{self._grid}.controls")
            logged = experiment.logged()
            for each in found.runs:
                experiment.grow(each, logged.pop(each.run_id, None))
            experiment.remove(
                run for run in logged.values() if has_means or run.data.tags.get(controls.KIND_TAG) == "seed"
            )
            made = views.tags(views.of_controls(found), created=experiment.created)
            if has_means:
                made |= views.description(found, experiment_id=experiment.experiment_id, cells_id=cells.experiment_id)
            experiment.remove_tags(
                experiment.tag_names() - made.keys() - {"mlflow.experimentKind", content.DESCRIPTION_TAG}
            )
            experiment.tag(made)
            cells.tag(views.tags(views.of_cells(found), created=cells.created))

    def _mirror_one(self, run: Run, experiment: Experiment) -> bool:
        """Whether the run was logged now. One that cannot be read or that is refused does not hold up the others."""
        try:
            made = self._label(_content(self._store, run, self._grid))
        except (ValueError, FileNotFoundError) as error:
            self._error = self._message(error)
            return False
        made = replace(made, tags={**made.tags, **content.links(run, self._address)})
        try:
            with self._turn():
                found = self._unfinished.get(made.run_id) if self._is_alone else experiment.found(made.run_id)
                if found is not None and is_complete(found):
                    self._note(made.run_id, found)
                    return False
                self._complete[made.run_id] = experiment.log(made, found)
        except RefusedError as error:
            self._error = f"run {made.run_id} is refused: {self._message(error)}"
            return False
        finals = {each.name: each.value for each in made.points if each.step == 0}
        self._compare_with(controls.cell(made.run_id, made.params, finals, made.ended))
        return True

    def _address(self, run: str) -> str:
        """Of the page of a run in MLflow; empty if it is not there."""
        return views.run_address(self._connected().experiment_id, self._complete[run]) if run in self._complete else ""

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The lock that all drivers of the database or the store share; none if they share no local folder.

        Each leaves its token beside the lock: one that finds another's knows that others write too.
        """
        lock: AbstractContextManager[object] = nullcontext()
        path: Path | None = None
        if tracker.scheme(self._uri) == "sqlite":
            lock = database_lock(self._uri)
            path = tracker.sqlite_path(self._uri).with_suffix(".turn")
        elif self._store.is_local:
            path = Path(tracker.store_root(self._store), "mlflow.turn")
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS)
        with lock:
            if path is None or not path.is_file() or path.read_text() != self._token:
                self._is_alone = False
                if path is not None:
                    path.write_text(self._token)
            yield

    def _message(self, error: Exception) -> str:
        return tracker.told(error, self._uri)


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
        points=content.points(record),
        artifacts=_artifacts(store, run, record, grid),
    )


def _artifacts(store: Store, run: Run, record: RunRecord, grid: str) -> dict[str, bytes]:
    """Of a mask its bits as committed and its density as a picture; weights and the record stay in the store."""
    if run.stage != "mask":
        return {}
    found = {name: store.artifact(run, name) for name in record.artifacts}
    if densities := matrix_densities(record.measurements):
        found["density.png"] = heat_map(densities, title=f"{grid}: {slug(run)}")
    return found
