"""What a notebook asks of rows, against values made by hand and SciPy's paired interval."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

import analysis
from tests.analysis.rows import Row, mask, sweep, transfer
from tests.conftest import REPOSITORY

OWN = (0.9, 0.8, 0.85)
OTHER = (0.5, 0.6, 0.55)

Write = Callable[[list[Row]], Path]


@pytest.fixture
def rows(rows_file: Write) -> Path:
    """Three seeds of two starts at two numbers of samples, which are equal there."""
    made = []
    for samples in (10, 100):
        for seed, (own, other) in enumerate(zip(OWN, OTHER, strict=True)):
            made += [transfer("subnetwork", own, samples=samples, seed=seed)]
            made += [transfer("random_init", other, samples=samples, seed=seed)]
    return rows_file(made)


def test_compare_starts_has_a_row_per_setting_and_start_with_the_mean(rows: Path) -> None:
    table = analysis.compare_starts(rows)
    assert table[["num_disambiguation", "start"]].to_numpy().tolist() == [
        [10, "subnetwork"], [10, "random init"], [100, "subnetwork"], [100, "random init"],
    ]  # fmt: skip
    assert table["mean"].tolist() == pytest.approx([np.mean(OWN), np.mean(OTHER)] * 2)
    assert table["num_seeds"].tolist() == [3] * 4


def test_gaps_are_the_subnetwork_minus_the_other_with_the_interval_of_scipy(rows: Path) -> None:
    gaps = analysis.gaps(rows)
    expected = stats.ttest_rel(OWN, OTHER).confidence_interval(0.95)
    assert gaps["start"].tolist() == ["random init"] * 2
    assert gaps["gap"].tolist() == pytest.approx([np.mean(OWN) - np.mean(OTHER)] * 2)
    for row in gaps.itertuples():
        assert (row.low, row.high) == pytest.approx((expected.low, expected.high))


def test_gap_in_a_loss_is_positive_where_the_subnetwork_loses_less() -> None:
    rows = _rows_of_any_task("test_loss", subnetwork=(0.25, 0.5), random_init=(1.0, 1.5))
    (gap,) = analysis.gaps(rows).itertuples()
    assert gap.gap == pytest.approx(0.875)
    assert gap.low < gap.gap < gap.high


def _rows_of_any_task(measure: str, **measured: tuple[float, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"run_id": f"{start}-{seed}", "stage": "transfer", "status": "finished", "control": start, "seed": seed,
             "chance_accuracy": pd.NA, "measure": measure, "measured": value}
            for start, values in measured.items()
            for seed, value in enumerate(values)
        ]
    )  # fmt: skip


def test_rows_as_a_path_and_as_a_frame_give_the_same(rows: Path) -> None:
    for function in (analysis.compare_starts, analysis.gaps):
        pd.testing.assert_frame_equal(function(rows), function(analysis.load(rows)))


def test_figure_draws_a_line_per_start_against_samples(rows_file: Write) -> None:
    picture = analysis.figure(rows_file(sweep(["subnetwork", "random_init"], [10, 100, 1000], range(3), [2])))
    assert isinstance(picture, Figure)
    labels = {text.get_text().partition(" (")[0] for legend in picture.legends for text in legend.get_texts()}
    assert {"subnetwork", "random init"} <= labels


def test_image_classifiers_are_compared_by_their_accuracy_on_original_images() -> None:
    table = analysis.compare_starts(REPOSITORY / "results" / "vision-shapes.parquet")
    assert set(table["model"]) == {"resnet8_12", "vit_2x64_4"}
    assert table["num_seeds"].eq(5).all()


def test_rows_without_recipients_are_refused(rows_file: Write) -> None:
    with pytest.raises(ValueError, match="no recipients"):
        analysis.gaps(rows_file([mask(0.9, density=0.5)]))
