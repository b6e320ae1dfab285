"""Two sets of rows against each other: cells are matched by what they are."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.report.compare import IMAGES, compared, of_files, shown_cells, shown_summary, write
from tests.analysis import vision_rows
from tests.analysis.rows import Row, donor, sweep, transfer

RowsFrame = Callable[[list[Row]], pd.DataFrame]


def test_compare_matches_cells_of_other_run_ids(rows_frame: RowsFrame):
    first = rows_frame([transfer("subnetwork", 0.5, seed=seed) for seed in (0, 1)])
    second = rows_frame([transfer("subnetwork", 0.6 + 0.1 * seed, seed=seed, run_id=f"new-{seed}") for seed in (0, 1)])
    found = compared(first, second)
    assert found.cells["difference"].to_list() == pytest.approx([0.1, 0.2])
    assert found.cells["is_same_run"].to_list() == [False, False]
    (row,) = found.summary.to_dict("records")
    assert (row["num_cells"], row["num_in_both"], row["num_equal"]) == (2, 2, 0)
    assert (row["mean_difference"], row["largest_difference"]) == pytest.approx((0.15, 0.2))


def test_compare_counts_what_only_one_side_has(rows_frame: RowsFrame):
    first = rows_frame([transfer("subnetwork", 0.5), transfer("subnetwork", None, seed=1), donor(1.0)])
    second = rows_frame([transfer("subnetwork", 0.5, seed=1), transfer("subnetwork", 0.5, seed=2)])
    found = compared(first, second)
    of_transfers = found.summary[found.summary["stage"] == "transfer"].iloc[0]
    assert of_transfers[["num_cells", "num_in_both", "num_only_first", "num_only_second"]].to_list() == [3, 0, 1, 2]
    assert "not planned" in shown_cells(found.cells)["A"].to_list()


def test_compare_points_at_the_same_run_with_another_number(rows_frame: RowsFrame):
    found = compared(rows_frame([transfer("subnetwork", 0.5)]), rows_frame([transfer("subnetwork", 0.51)]))
    assert found.summary["num_same_run_differing"].to_list() == [1]


def test_compare_of_rows_with_a_newer_column_matches_them_all_the_same(rows_frame: RowsFrame):
    first = rows_frame([transfer("subnetwork", 0.5)])
    second = rows_frame([transfer("subnetwork", 0.5, donor_kind="trained")])
    assert compared(first, second).summary["num_equal"].to_list() == [1]


def test_compare_numbers_cells_that_no_column_tells_apart(rows_frame: RowsFrame):
    rows = rows_frame([transfer("subnetwork", 0.5, run_id="a"), transfer("subnetwork", 0.7, run_id="b")])
    assert compared(rows, rows).summary["num_equal"].to_list() == [2]


def test_compare_writes_its_tables_and_picture(rows_frame: RowsFrame, tmp_path: Path):
    rows = rows_frame([transfer("subnetwork", 0.5), transfer("random_init", 0.4)])
    found = compared(rows, rows)
    write(found, tmp_path / "out", names=("first", "second"))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"cells.csv", "summary.md", "compare.png", "compare.svg"} <= names
    assert found.fingerprint in (tmp_path / "out" / "summary.md").read_text()
    assert shown_summary(found.summary)["control"].to_list() == ["subnetwork", "random init"]


def test_compare_of_image_classifiers_is_about_their_shape_bias(tmp_path: Path):
    first = vision_rows.write(
        tmp_path / "a.parquet", [vision_rows.run("subnetwork", 0.5), vision_rows.run("donor", 0.2)]
    )
    mixtures = [vision_rows.run("data_mixture", 0.3, mixture_share=share) for share in (0.0, 0.5)]
    second = vision_rows.write(
        tmp_path / "b.parquet", [vision_rows.run("subnetwork", 0.6), vision_rows.run("donor", 0.2), *mixtures]
    )
    (found,) = of_files(first, second)
    assert found.kind == IMAGES
    told = found.summary.set_index("control")
    assert told.loc["subnetwork", "mean_difference"] == pytest.approx(0.1)
    assert told.loc["data_mixture", ["num_cells", "num_only_second"]].to_list() == [2, 2]
    assert found.summary.loc[found.summary["stage"] == "donor", "num_equal"].to_list() == [1]
    write(found, tmp_path / "out", names=("first", "second"))
    assert (tmp_path / "out" / "compare.png").is_file()


def test_compare_of_files_with_both_kinds_of_rows_has_a_comparison_of_each(tmp_path: Path):
    rows = [vision_rows.run("subnetwork", 0.5), *sweep(["subnetwork"], [10], range(2), [2])]
    path = vision_rows.write(tmp_path / "rows.parquet", rows)
    assert [found.kind.name for found in of_files(path, path)] == ["arithmetic", "images"]
