"""One MLflow experiment and the runs that the mirror keeps in it.

MLflow is imported when a tracker is connected: its settings must stand before, and its import takes seconds.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sweeps.mirror import address
from sweeps.mirror.content import RUN_ID_TAG, Point
from sweeps.mirror.database import is_new_database, make_database
from sweeps.mirror.moved_artifacts import find_moved_artifacts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Item = TypeVar("Item")

NUM_PARAMS_A_BATCH = 100
NUM_METRICS_A_BATCH = 900
"""MLflow takes 100 params, 1,000 entities and 1 MB in one request."""

NUM_RUNS_A_PAGE = 1000

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Lets the UI open on the table of runs instead of on traces."""


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
    address.apply_settings()
    import mlflow  # noqa: F401

    address.silence()


class Experiment:
    """The runs of one grid. Every method may raise whatever MLflow, its database or the network raises."""

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id

    @staticmethod
    def connected(uri: str, *, grid: str, artifact_location: str | None) -> Experiment:
        """The grid's experiment, made unless there is one. `artifact_location` None leaves the place to the server."""
        load_mlflow()
        is_new = is_new_database(uri)
        address.check_database(uri)
        find_moved_artifacts(uri, artifact_location)
        client = _client(uri, is_new=is_new)
        found = client.get_experiment_by_name(grid)
        if found is None:
            made = client.create_experiment(grid, artifact_location=artifact_location, tags=EXPERIMENT_TAGS)
            return Experiment(client, made)
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
        return Experiment(client, found.experiment_id)

    def complete(self) -> set[str]:
        """The ids of all runs that are logged in full, once."""
        by_id = defaultdict(list)
        for run in self._runs(""):
            if RUN_ID_TAG in run.data.tags:
                by_id[run.data.tags[RUN_ID_TAG]].append(run)
        return {run_id for run_id, runs in by_id.items() if len(runs) == 1 and _is_complete(runs[0])}

    def log(self, content: Content) -> bool:
        """Log the run unless it is complete, or what is missing of it; whether anything was logged.

        Raises RefusedError if the tracker takes no run like this one.
        """
        from mlflow.exceptions import MlflowException

        found = self._the_one(content.run_id)
        if found is not None and _is_complete(found):
            return False
        try:
            self._log(content, self._created(content) if found is None else found)
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":
                raise RefusedError(str(error)) from None
            raise
        return True

    def attach(self, content: Content) -> None:
        """Log the run, and where it is complete, the artifacts that it has now in the place of those it had."""
        if not self.log(content):
            found = self._the_one(content.run_id)
            assert found is not None
            self._log_artifacts(found, content)

    def log_files(self, files: Mapping[str, Path], *, key: tuple[str, str], tags: Mapping[str, str]) -> str:
        """Log files to the run with the tag `key`, which is made unless there is one; the run's id.

        `files` are by their paths in the run's artifacts, where no others are left.
        """
        name, value = key
        found = next(iter(self._runs(f"tags.`{name}` = '{value}'")), None)
        run = found or self._client.create_run(
            self._experiment_id, tags={name: value, "mlflow.source.name": "subind"}, run_name="report"
        )
        run_id = str(run.info.run_id)
        for tag, text in tags.items():
            self._client.set_tag(run_id, tag, text)
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

    def _the_one(self, run_id: str) -> Run | None:
        """The run of that id; of several, which drivers without a common lock can make, all but one are deleted."""
        found = sorted(
            self._runs(f"tags.`{RUN_ID_TAG}` = '{run_id}'"), key=lambda run: (not _is_complete(run), run.info.run_id)
        )
        for double in found[1:]:
            self._client.delete_run(double.info.run_id)
        return found[0] if found else None

    def _created(self, content: Content) -> Run:
        return self._client.create_run(
            self._experiment_id, start_time=content.started, tags=dict(content.tags), run_name=content.name
        )

    def _log(self, content: Content, run: Run) -> None:
        from mlflow.entities import Metric, Param

        params = [Param(name, value) for name, value in content.params.items()]
        metrics = [Metric(each.name, each.value, each.timestamp, each.step) for each in content.points]
        batches = zip_longest(_pieces(params, NUM_PARAMS_A_BATCH), _pieces(metrics, NUM_METRICS_A_BATCH), fillvalue=())
        for some_params, some_metrics in batches:
            self._client.log_batch(run.info.run_id, metrics=some_metrics, params=some_params)
        self._log_artifacts(run, content)
        self._client.set_terminated(run.info.run_id, status="FINISHED", end_time=content.ended)

    def _log_artifacts(self, run: Run, content: Content) -> None:
        with tempfile.TemporaryDirectory(prefix="subind-mirror-") as folder:
            for name, artifact in content.artifacts.items():
                Path(folder, Path(name).name).write_bytes(artifact)
            self._client.log_artifacts(run.info.run_id, folder)

    def _runs(self, filter_string: str) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], filter_string, max_results=NUM_RUNS_A_PAGE, page_token=token
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
            make_database(uri)
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


def _is_complete(run: Run) -> bool:
    """Whether all is logged: a run is made with the status RUNNING and becomes FINISHED last."""
    return bool(run.info.status == "FINISHED")


def _pieces(items: Sequence[Item], longest: int) -> Iterator[Sequence[Item]]:
    for first in range(0, len(items), longest):
        yield items[first : first + longest]
