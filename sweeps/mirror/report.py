"""The report of a sweep in MLflow: one run of the grid's experiment, named `report`, with page, tables and LaTeX."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from subind.store.store import Store
from sweeps.mirror import tracker
from sweeps.mirror.experiment import Experiment, load_mlflow
from sweeps.mirror.tracker import chosen_tracking_uri

REPORT_TAG = "subind.report"
"""Holds the name of the part of the grid that is reported on; a run of a cell has no such tag."""


def has_tracker(store: Store, given: str | None) -> bool:
    """Whether there is a tracker to log to: one that was named, or the database that a sweep has left in the store."""
    if given or os.environ.get("MLFLOW_TRACKING_URI"):
        return True
    return store.is_local and Path(tracker.store_root(store), "mlflow.db").is_file()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report of a part of a grid: its name, its files by their paths in its folder, and tags for MLflow."""

    grid: str
    name: str
    folder: Path
    files: Sequence[str]
    tags: Mapping[str, str]


def log_report(store: Store, report: Report, *, given: str | None) -> str:
    """Log a report's files to the sweep's run, which is made unless there is one; the id of that MLflow run.

    Files of an earlier report are replaced or removed. Raises ValueError if the tracker does not take it.
    """
    uri = chosen_tracking_uri(store, given)
    load_mlflow()
    try:
        location = tracker.artifact_location(store, uri)
        experiment = Experiment.connected(uri, grid=report.grid, artifact_location=location)
        contents = {name: report.folder / name for name in report.files}
        return experiment.log_files(contents, key=(REPORT_TAG, report.name), tags=report.tags)
    except Exception as error:  # noqa: BLE001  a tracker may raise anything
        raise ValueError(f"the report is not in MLflow: {tracker.told(error, uri)}") from None
