"""The report in MLflow: one run that is no cell, whatever is logged how often."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from subind.store.store import Store
from sweeps.mirror.mirror import Mirror
from sweeps.mirror.report import REPORT_TAG, Report, has_tracker, log_report
from tests.specs import tiny_mask
from tests.sweeps.fabricated import commit_fabricated


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(str(tmp_path / "store"))
    commit_fabricated(found, [tiny_mask()])
    return found


@pytest.fixture
def report(tmp_path: Path) -> Path:
    folder = tmp_path / "report"
    (folder / "latex").mkdir(parents=True)
    (folder / "index.html").write_text("first")
    (folder / "latex" / "report.tex").write_text("tex")
    return folder


def logged(store: Store, folder: Path, uri: str, *, files: Sequence[str] = ("index.html", "latex/report.tex")) -> str:
    report = Report(grid="grid", name="grid", folder=folder, files=files, tags={"subind.rows": "rows"})
    return log_report(store, report, given=uri)


def test_report_is_logged_twice_into_one_run_that_is_no_cell(store: Store, report: Path, tmp_path: Path):
    uri = f"sqlite:///{store.url}/mlflow.db"
    mirror = Mirror(store, grid="grid", tracking_uri=uri)
    assert mirror.mirror([tiny_mask()]).num_mirrored == 1
    run = logged(store, report, uri)
    (report / "index.html").write_text("second")
    assert logged(store, report, uri) == run
    assert Mirror(store, grid="grid", tracking_uri=uri).num_complete() == 1

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    assert client.get_run(run).data.tags[REPORT_TAG] == "grid"
    page = client.download_artifacts(run, "index.html", str(tmp_path))
    assert Path(page).read_text() == "second"
    assert [each.path for each in client.list_artifacts(run, "latex")] == ["latex/report.tex"]


def test_report_in_mlflow_has_its_own_files_and_none_of_an_earlier_one(store: Store, report: Path):
    uri = f"sqlite:///{store.url}/mlflow.db"
    (report / "notes.txt").write_text("of somebody else")
    run = logged(store, report, uri)
    (report / "index.html").write_text("second")
    assert logged(store, report, uri, files=["index.html"]) == run
    found = [path for path in Path(store.url, "mlartifacts").rglob("*") if path.is_file()]
    assert [path.name for path in found] == ["index.html"]
    assert found[0].read_text() == "second"


def test_report_without_a_tracker_is_not_logged(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert not has_tracker(store, None)
    assert has_tracker(store, "sqlite:///somewhere.db")


def test_report_for_a_tracker_that_is_down_says_so(store: Store, report: Path):
    with pytest.raises(ValueError, match="the report is not in MLflow"):
        logged(store, report, "http://127.0.0.1:9")
