"""The published numbers: the same as the reference, under honest names."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.rows import published
from analysis.rows.controls import ORDER
from tests.analysis.rows import Row, transfer

RowsFrame = Callable[[list[Row]], pd.DataFrame]


def point(depths: str, control: str, samples: int) -> pd.Series:
    found = published.accuracies()
    key = (found["depths"] == depths) & (found["control"] == control) & (found["num_disambiguation"] == samples)
    assert key.sum() == 1
    return found[key].iloc[0]


def test_published_file_equals_the_reference(shared: Path):
    reference = shared / "reference" / "arithmetic_accuracy.csv"
    if not reference.is_file():
        pytest.skip(f"the reference {reference.name} is not among the shared files")
    assert published.CSV.read_bytes() == reference.read_bytes()


@pytest.mark.parametrize(
    ("control", "accuracy"),
    [
        ("subnetwork", 0.932),
        ("random_as_released", 0.590),
        ("complement_as_released", 0.585),
        ("full_transfer", 0.894),
        ("random_init", 0.461),
    ],
)
def test_published_accuracy_at_depth_2_and_1000_samples_is_as_read_off(control: str, accuracy: float):
    assert point("2", control, 1000)["published_accuracy"] == accuracy


def test_published_accuracy_of_a_trainable_subnetwork_stands_under_its_own_control():
    frozen, trainable = (point("2,4,6,8,10,12", name, 0) for name in ("subnetwork", "subnetwork_trainable"))
    assert (frozen["published_accuracy"], trainable["published_accuracy"]) == (0.3323, 0.3227)
    assert trainable["published_source"] == "arXiv 2310.10899, appendix B.3 figure"


def test_published_points_of_depth_12_are_those_of_five_runs():
    of_depth = published.accuracies().query("depths == '12' and control == 'subnetwork'")
    assert set(of_depth["published_runs"]) == {5}
    assert point("12", "subnetwork", 250)["published_accuracy"] == 0.8086


@pytest.mark.parametrize("control", ["random_subnetwork", "complement_subnetwork", "unmasked_only"])
def test_published_numbers_of_controls_that_the_paper_lacks_are_absent(control: str):
    assert control in ORDER
    assert control not in set(published.accuracies()["control"])


def test_published_accuracies_changed_by_a_caller_stay_whole():
    given = published.accuracies()
    given["published_accuracy"] = 0.0
    assert point("2", "subnetwork", 1000)["published_accuracy"] == 0.932


def test_published_setting_is_comparable(rows_frame: RowsFrame):
    assert published.is_comparable(rows_frame([transfer("subnetwork", 0.5), transfer("random_init", 0.5)]))


@pytest.mark.parametrize(
    "changes", [{"modulus": 11}, {"num_integers": 100}, {"rule": "a ** 2 + b"}, {"d_model": 64}, {"penalty": 1e-6}]
)
def test_another_setting_is_not_comparable(rows_frame: RowsFrame, changes: Row):
    assert not published.is_comparable(rows_frame([transfer("subnetwork", 0.5, **changes)]))
