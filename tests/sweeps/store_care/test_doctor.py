"""The checks of the machine: what they find on this one, and what they say of a bad one."""

from pathlib import Path

import pytest

from subind.store.store import Store
from sweeps.hosts.workers import available_workers
from sweeps.store_care import doctor
from sweeps.store_care.doctor import Check, checks

QUICK = ("Python", "cores and memory", "PyTorch", "workers", "store", "disk")


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the checks that start servers."""
    monkeypatch.setattr(doctor, "_LOOKS", {name: doctor._LOOKS[name] for name in QUICK})


def _found(store: Store) -> dict[str, Check]:
    return {check.subject: check for check in checks(store)}


@pytest.mark.usefixtures("_quick")
def test_checks_of_this_machine_hold(tmp_path: Path) -> None:
    found = _found(Store(str(tmp_path / "store")))
    assert tuple(found) == QUICK
    assert [check.finding for check in found.values() if not check.holds] == []


@pytest.mark.usefixtures("_quick")
def test_check_of_the_store_leaves_nothing_behind(tmp_path: Path) -> None:
    _found(Store(str(tmp_path / "store")))
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.usefixtures("_quick")
def test_store_that_cannot_be_written_is_a_finding_and_the_other_checks_go_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    found = _found(Store(str(tmp_path / "file" / "store")))
    assert not found["store"].holds
    assert str(tmp_path / "file") in found["store"].finding
    assert found["PyTorch"].holds


def test_workers_on_the_cpu_are_one_a_core() -> None:
    workers = available_workers("cpu")
    assert workers.device == "cpu"
    assert workers.num_workers >= 1


def test_unknown_device_raises_an_error_that_lists_the_known() -> None:
    with pytest.raises(ValueError, match="--device is 'tpu': give auto, cpu or cuda"):
        available_workers("tpu")


def test_tracker_that_does_not_answer_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(doctor, "_LOOKS", {"MLflow": doctor._LOOKS["MLflow"]})
    found = _found(Store(str(tmp_path / "store")))["MLflow"]
    assert not found.holds
    assert "127.0.0.1" in found.finding


@pytest.mark.slow
def test_all_checks_of_this_machine_hold(tmp_path: Path) -> None:
    found = _found(Store(str(tmp_path / "store")))
    assert {"Ray", "MLflow"} <= found.keys()
    assert [check.finding for check in found.values() if not check.holds] == []
