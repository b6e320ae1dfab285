"""One MLflow experiment and the runs that the mirror keeps in it.

MLflow is imported when a tracker is connected: its settings must stand before, and its import takes seconds.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sweeps.mirror import tracker
from sweeps.mirror.content import RUN_ID_TAG, Point

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

Item = TypeVar("Item")

NUM_PARAMS_A_BATCH = 100
NUM_METRICS_A_BATCH = 900
"""MLflow takes 100 params, 1,000 entities and 1 MB in one request."""

NUM_RUNS_A_PAGE = 1000

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""What the UI calls the experiment in its list; its pages are opened in training mode by their addresses."""

POINTS_TAG = "subind.points"
"""Fingerprints of the points of a run that grows: what they tell apart is what is logged already."""

LONGEST_TAG = 8000
"""Characters that MLflow takes in the tag of a run; it cuts off the rest."""


class RefusedError(Exception):
    """The tracker answers and refuses this one run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """All that is logged of one run; times in milliseconds since 1970, artifacts by file name."""

    run_id: str
    name: str
    started: int
    ended: int
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: Sequence[Point]
    artifacts: Mapping[str, bytes]


def load_mlflow() -> None:
    """Import MLflow under the settings of the mirror; it takes seconds, once."""
    tracker.apply_settings()
    import mlflow  # noqa: F401

    tracker.silence()


class Experiment:
    """The runs of one grid. Every method may raise whatever MLflow, its database or the network raises."""

    def __init__(self, client: MlflowClient, experiment_id: str, *, tags: Mapping[str, str], created: int) -> None:
        self._client = client
        self._tags = dict(tags)
        self.experiment_id = experiment_id
        self.created = created

    @staticmethod
    def connected(uri: str, *, grid: str, artifact_location: str | None) -> Experiment:
        """The grid's experiment, made unless there is one. `artifact_location` None leaves the place to the server."""
        load_mlflow()
        is_new = tracker.is_new_database(uri)
        tracker.check_database(uri)
        tracker.find_moved_artifacts(uri, artifact_location)
        client = _client(uri, is_new=is_new)
        found = client.get_experiment_by_name(grid)
        if found is None:
            made = client.create_experiment(grid, artifact_location=artifact_location, tags=EXPERIMENT_TAGS)
            found = client.get_experiment(made)
        if found.lifecycle_stage == "deleted":
            raise ValueError(
                f"the experiment {grid!r} was deleted in MLflow: restore it with "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}`"
            )
        if artifact_location not in {None, found.artifact_location}:
            raise ValueError(
                f"the experiment {grid!r} keeps its artifacts in {found.artifact_location}, not {artifact_location}: "
                "give two stores that hold the same grid a database each"
            )
        return Experiment(client, found.experiment_id, tags=found.tags, created=found.creation_time or 0)

    def logged(self) -> dict[str, Run]:
        """The runs by the ids of what they show; of several, which drivers without a common lock make, one is kept."""
        by_id = defaultdict(list)
        for run in self._runs(""):
            if RUN_ID_TAG in run.data.tags:
                by_id[run.data.tags[RUN_ID_TAG]].append(run)
        return {run_id: self._one_of(runs) for run_id, runs in by_id.items()}

    def found(self, run_id: str) -> Run | None:
        """The run that shows the run of that id, asked now."""
        runs = list(self._runs(f"tags.`{RUN_ID_TAG}` = '{run_id}'"))
        return self._one_of(runs) if runs else None

    def log(self, content: Content, found: Run | None) -> str:
        """Log what is missing of a run that is not complete, all of it where there is none; its id in MLflow.

        Raises RefusedError if the tracker takes no run like this one.
        """
        from mlflow.exceptions import MlflowException

        try:
            run_id = str(self._created(content) if found is None else found.info.run_id)
            self._log(content, run_id)
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":
                raise RefusedError(str(error)) from None
            raise
        return run_id

    def attach(self, content: Content) -> None:
        """Log the run, and where it is complete, its name, tags and artifacts in the place of those it had."""
        found = self.found(content.run_id)
        if found is None or not is_complete(found):
            self.log(content, found)
            return
        self.label(found, content.name, content.tags)
        self._log_artifacts(found.info.run_id, content)

    def label(self, found: Run, name: str, tags: Mapping[str, str]) -> None:
        """Give a run a name and tags where it has others."""
        if found.info.run_name != name:
            self._client.update_run(found.info.run_id, name=name)
        if not tags.items() <= found.data.tags.items():
            self._log_batch(found.info.run_id, tags=tags)

    def grow(self, content: Content, found: Run | None) -> bool:
        """Bring a run without artifacts up to date, whose points become more; whether anything was logged.

        One that has a point which the content lacks is made again.
        """
        from mlflow.entities import Metric

        prints = {
            sha256(repr(each).encode()).hexdigest()[:8]: Metric(each.name, each.value, each.timestamp, each.step)
            for each in content.points
        }
        tags = {**content.tags, POINTS_TAG: " ".join(sorted(prints))[:LONGEST_TAG]}
        had: set[str] = set()
        if found is not None:
            if is_complete(found) and tags.items() <= found.data.tags.items():
                return False
            had = set(found.data.tags.get(POINTS_TAG, "").split())
            if had - prints.keys():
                self._client.delete_run(found.info.run_id)
                had, found = set(), None
        run_id = str(self._created(content) if found is None else found.info.run_id)
        metrics = [metric for name, metric in prints.items() if name not in had]
        self._log_batch(run_id, params=content.params, metrics=metrics, tags=tags)
        self._client.set_terminated(run_id, status="FINISHED", end_time=content.ended)
        if found is not None:
            self.label(found, content.name, {})
        return True

    def remove(self, runs: Iterable[Run]) -> None:
        """Delete runs."""
        for run in runs:
            self._client.delete_run(run.info.run_id)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags of the experiment where they are others."""
        for name, value in tags.items() - self._tags.items():
            self._client.set_experiment_tag(self.experiment_id, name, value)
            self._tags[name] = value

    def tag_names(self) -> set[str]:
        """The names of the experiment's tags, as they were when it was connected and as set since."""
        return set(self._tags)

    def remove_tags(self, names: Iterable[str]) -> None:
        """Remove tags of the experiment."""
        for name in names:
            self._client.delete_experiment_tag(self.experiment_id, name)
            self._tags.pop(name, None)

    def log_files(self, files: Mapping[str, Path], *, key: tuple[str, str], tags: Mapping[str, str]) -> str:
        """Log files to the run with the tag `key`, which is made unless there is one; the run's id.

        `files` are by their paths in the run's artifacts, where no others are left.
        """
        name, value = key
        found = next(iter(self._runs(f"tags.`{name}` = '{value}'")), None)
        run = found or self._client.create_run(
            self.experiment_id, tags={name: value, "mlflow.source.name": "subind"}, run_name="report"
        )
        run_id = str(run.info.run_id)
        self._log_batch(run_id, tags=tags)
        with tempfile.TemporaryDirectory(prefix="subind-report-") as folder:
            for path, file in files.items():
                place = Path(folder, path)
                place.parent.mkdir(exist_ok=True)
                shutil.copyfile(file, place)
            self._client.log_artifacts(run_id, folder)
        self._remove_other_artifacts(run, files)
        self._client.set_terminated(run_id, status="FINISHED")
        return run_id

    def _remove_other_artifacts(self, run: Run, wanted: Container[str]) -> None:
        """Remove the run's artifacts that are not wanted; a tracker that removes none keeps them."""
        from mlflow.exceptions import MlflowException
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        artifacts = get_artifact_repository(run.info.artifact_uri, tracking_uri=self._client.tracking_uri)
        for path in self._artifact_paths(run.info.run_id):
            if path not in wanted:
                with suppress(MlflowException, NotImplementedError):
                    artifacts.delete_artifacts(path)  # type: ignore[no-untyped-call]

    def _artifact_paths(self, run_id: str, folder: str | None = None) -> Iterator[str]:
        for each in self._client.list_artifacts(run_id, folder):
            if each.is_dir:
                yield from self._artifact_paths(run_id, each.path)
            else:
                yield each.path

    def _one_of(self, runs: Sequence[Run]) -> Run:
        first, *others = sorted(runs, key=lambda run: (not is_complete(run), run.info.run_id))
        self.remove(others)
        return first

    def _created(self, content: Content) -> str:
        made = self._client.create_run(
            self.experiment_id, start_time=content.started, tags=dict(content.tags), run_name=content.name
        )
        return str(made.info.run_id)

    def _log(self, content: Content, run_id: str) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(each.name, each.value, each.timestamp, each.step) for each in content.points]
        self._log_batch(run_id, params=content.params, metrics=metrics)
        self._log_artifacts(run_id, content)
        self._client.set_terminated(run_id, status="FINISHED", end_time=content.ended)

    def _log_batch(
        self,
        run_id: str,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Sequence[Metric] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log in one request what fits into one, the rest in others."""
        from mlflow.entities import Param, RunTag

        named = [Param(name, value) for name, value in (params or {}).items()]
        texts = [RunTag(name, value) for name, value in (tags or {}).items()]
        batches = zip_longest(_pieces(named, NUM_PARAMS_A_BATCH), _pieces(metrics, NUM_METRICS_A_BATCH), [texts])
        for some_params, some_metrics, some_texts in batches:
            self._client.log_batch(run_id, metrics=some_metrics or (), params=some_params or (), tags=some_texts or ())

    def _log_artifacts(self, run_id: str, content: Content) -> None:
        if not content.artifacts:
            return
        with tempfile.TemporaryDirectory(prefix="subind-mirror-") as folder:
            for name, artifact in content.artifacts.items():
                Path(folder, Path(name).name).write_bytes(artifact)
            self._client.log_artifacts(run_id, folder)

    def _runs(self, filter_string: str) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], filter_string, max_results=NUM_RUNS_A_PAGE, page_token=token
            )
            yield from page
            if not (token := page.token):
                return


def _client(uri: str, *, is_new: bool) -> MlflowClient:
    """A client whose database, if it has one, has its tables; `is_new` if it is a file that is to be made."""
    from mlflow import MlflowClient

    with warnings.catch_warnings():
        # MLflow uses a loader of SQLAlchemy that is deprecated there; it says so when its tables are first mapped.
        warnings.simplefilter("ignore", DeprecationWarning)
        if is_new:
            _forget_database(uri)
            tracker.make_database(uri)
        return MlflowClient(tracking_uri=uri)


def _forget_database(uri: str) -> None:
    """Let MLflow open a SQLite database again: this process may hold one of that name that was deleted.

    It would write there without an error, and makes tables only in a database that it opens.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.tracking._tracking_service import utils

    engine = SqlAlchemyStore._engine_map.pop(uri, None)
    if engine is not None:
        engine.dispose()
        utils._tracking_store_registry._get_store_with_resolved_uri.cache_clear()


def is_complete(run: Run) -> bool:
    """Whether all is logged: a run is made with the status RUNNING and becomes FINISHED last."""
    return bool(run.info.status == "FINISHED")


def _pieces(items: Sequence[Item], longest: int) -> Iterator[Sequence[Item]]:
    for first in range(0, len(items), longest):
        yield items[first : first + longest]
