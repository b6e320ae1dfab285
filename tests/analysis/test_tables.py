"""The tables against numbers worked out by hand."""

from collections.abc import Callable
from math import sqrt

import pandas as pd
import pytest

from analysis.report import failures
from analysis.rows.controls import ORDER
from analysis.rows.seeds import MEAN_OVER_DEPTHS
from analysis.sections import coverage, figure_3, masks, training
from tests.analysis.rows import Row, donor, mask, sweep, transfer

RowsFrame = Callable[[list[Row]], pd.DataFrame]

T_TWO_DEGREES = 4.302652729749464
"""The 97.5% quantile of Student's t with two degrees of freedom, as printed in tables."""

THREE_SEEDS = [
    *(transfer("subnetwork", accuracy, seed=seed) for seed, accuracy in enumerate([0.7, 0.8, 0.9])),
    *(transfer("random_init", accuracy, seed=seed) for seed, accuracy in enumerate([0.4, 0.4, 0.4])),
]


def cell(table: pd.DataFrame, control: str, *, scope: str = "depth 2", samples: int = 100) -> pd.Series:
    key = (table["scope"] == scope) & (table["control"] == control) & (table["num_disambiguation"] == samples)
    assert key.sum() == 1
    return table[key].iloc[0]


def test_figure_3_of_three_seeds_has_mean_and_t_interval(rows_frame: RowsFrame):
    found = cell(figure_3.table(rows_frame(THREE_SEEDS)), "subnetwork")
    half = T_TWO_DEGREES * 0.1 / sqrt(3)
    assert (found["num_planned"], found["num_finished"], found["interval_method"]) == (3, 3, "t, 95%")
    assert found["mean"] == pytest.approx(0.8)
    assert (found["interval_low"], found["interval_high"]) == pytest.approx((0.8 - half, 0.8 + half))


def test_figure_3_gap_is_paired_by_seed(rows_frame: RowsFrame):
    found = cell(figure_3.table(rows_frame(THREE_SEEDS)), "random_init")
    half = T_TWO_DEGREES * 0.1 / sqrt(3)
    assert found["gap_num_pairs"] == 3
    assert (found["gap_mean"], found["gap_low"], found["gap_high"]) == pytest.approx((-0.4, -0.4 - half, -0.4 + half))
    assert (found["gap_p"], found["gap_smallest_p"], found["gap_p_method"]) == (0.25, 0.25, "sign-flip, exact")


def test_figure_3_gap_leaves_out_seeds_that_one_control_lacks(rows_frame: RowsFrame):
    rows = [transfer("subnetwork", accuracy, seed=seed) for seed, accuracy in enumerate([0.7, None, 0.9])]
    rows += [transfer("random_init", accuracy, seed=seed) for seed, accuracy in enumerate([0.5, 0.1, None])]
    found = cell(figure_3.table(rows_frame(rows)), "random_init")
    assert (found["num_finished"], found["gap_num_pairs"]) == (2, 1)
    assert found["gap_mean"] == pytest.approx(-0.2)
    assert pd.isna(found["gap_low"])


def test_figure_3_reference_has_no_gap_to_itself(rows_frame: RowsFrame):
    found = cell(figure_3.table(rows_frame(THREE_SEEDS)), "subnetwork")
    assert found.filter(like="gap_").isna().all()


def test_figure_3_of_one_seed_has_no_interval(rows_frame: RowsFrame):
    table = figure_3.table(rows_frame([transfer("subnetwork", 0.7)]))
    assert table[["interval_low", "interval_high", "interval_method"]].isna().all(axis=None)
    assert figure_3.shown(table)["95% interval (t)"].to_list() == ["–"]


@pytest.mark.parametrize("status", ["missing", "failed", "blocked", "running"])
def test_figure_3_of_a_cell_that_has_not_finished_is_a_row_without_numbers(rows_frame: RowsFrame, status: str):
    table = figure_3.table(rows_frame([transfer("subnetwork", None, status=status)]))
    assert table[["num_planned", "num_finished"]].to_numpy().tolist() == [[1, 0]]
    assert table["mean"].isna().all()
    assert figure_3.shown(table)["test accuracy"].to_list() == ["missing"]


def test_figure_3_leaves_out_the_accuracy_of_a_run_that_has_not_finished(rows_frame: RowsFrame):
    rows = [transfer("subnetwork", 0.8), transfer("subnetwork", 0.1, seed=1, status="running")]
    found = cell(figure_3.table(rows_frame(rows)), "subnetwork")
    assert (found["num_planned"], found["num_finished"], found["mean"]) == (2, 1, 0.8)


def test_figure_3_mean_over_depths_averages_depths_within_a_seed_first(rows_frame: RowsFrame):
    by_seed_and_depth = {(0, 2): 0.5, (0, 4): 0.7, (1, 2): 0.6, (1, 4): 1.0}
    rows = [
        transfer("subnetwork", accuracy, seed=seed, num_layers=depth)
        for (seed, depth), accuracy in by_seed_and_depth.items()
    ]
    found = cell(figure_3.table(rows_frame(rows)), "subnetwork", scope=MEAN_OVER_DEPTHS)
    half = 12.706204736432095 * abs(0.8 - 0.6) / sqrt(2) / sqrt(2)
    assert (found["depths"], found["num_finished"]) == ("2,4", 2)
    assert found["mean"] == pytest.approx(0.7)
    assert found["interval_high"] - found["mean"] == pytest.approx(half)


def test_figure_3_mean_over_depths_counts_a_seed_once_all_depths_finished(rows_frame: RowsFrame):
    rows = [
        transfer("subnetwork", accuracy, seed=seed, num_layers=depth)
        for seed, depth, accuracy in [(0, 2, 0.5), (0, 4, 0.7), (1, 2, 0.9), (1, 4, None)]
    ]
    found = cell(figure_3.table(rows_frame(rows)), "subnetwork", scope=MEAN_OVER_DEPTHS)
    assert (found["num_planned"], found["num_finished"]) == (2, 1)
    assert found["mean"] == pytest.approx(0.6)


def test_figure_3_of_one_depth_has_no_mean_over_depths(rows_frame: RowsFrame):
    assert set(figure_3.table(rows_frame(THREE_SEEDS))["scope"]) == {"depth 2"}


def test_figure_3_lists_scopes_controls_and_samples_in_order(rows_frame: RowsFrame):
    table = figure_3.table(rows_frame(sweep(reversed([*ORDER, "another"]), [1000, 0, 10], [0], [12, 2])))
    assert list(dict.fromkeys(table["scope"])) == [MEAN_OVER_DEPTHS, "depth 2", "depth 12"]
    assert list(dict.fromkeys(table["control"])) == [*ORDER, "another"]
    assert table["num_disambiguation"].to_list()[:3] == [0, 10, 1000]


def test_figure_3_names_the_published_value_with_its_runs_and_source(rows_frame: RowsFrame):
    found = cell(figure_3.table(rows_frame(THREE_SEEDS)), "subnetwork")
    assert (found["published_accuracy"], found["published_runs"]) == (0.442, 1)
    assert found["published_source"] == "arXiv 2310.10899, appendix per-depth figure"
    assert found["difference_from_published"] == pytest.approx(0.8 - 0.442)


def test_figure_3_puts_no_published_value_beside_a_correctly_sized_random_subnetwork(rows_frame: RowsFrame):
    table = figure_3.table(rows_frame([transfer("random_subnetwork", 0.5), transfer("random_as_released", 0.5)]))
    assert pd.isna(cell(table, "random_subnetwork")["published_accuracy"])
    assert cell(table, "random_as_released")["published_accuracy"] == 0.422


def test_figure_3_of_another_setting_has_no_published_values(rows_frame: RowsFrame):
    rows = [{**row, "num_integers": 100} for row in THREE_SEEDS]
    assert figure_3.table(rows_frame(rows)).filter(like="published").isna().all(axis=None)


def test_figure_3_mean_over_other_depths_has_no_published_value(rows_frame: RowsFrame):
    table = figure_3.table(rows_frame(sweep(["subnetwork"], [100], [0], [2, 4])))
    assert pd.isna(cell(table, "subnetwork", scope=MEAN_OVER_DEPTHS)["published_accuracy"])


def test_figure_3_without_transfers_is_empty(rows_frame: RowsFrame):
    table = figure_3.table(rows_frame([donor(1.0)]))
    assert table.empty
    assert list(table.columns) == [name for name in figure_3.COLUMNS if name != "num_seeds"]


def test_panels_are_the_mean_and_the_deepest_finished_depth(rows_frame: RowsFrame):
    rows = [*sweep(["subnetwork"], [10], [0], [2, 10, 6]), transfer("subnetwork", None, samples=10, num_layers=12)]
    table = figure_3.table(rows_frame(rows))
    assert figure_3.panels(table) == [("10", "Depth 10")]
    assert figure_3.panels(figure_3.table(rows_frame(rows[:-1]))) == [
        ("2,6,10", "Mean over depths 2, 6, 10"),
        ("10", "Depth 10"),
    ]


def test_gaps_say_how_many_cells_stand_on_fewer_seeds(rows_frame: RowsFrame):
    rows = [transfer("subnetwork", 0.5), transfer("subnetwork", None, seed=1), transfer("random_init", None)]
    assert figure_3.gaps(figure_3.table(rows_frame(rows))) == [
        "1 of 2 cells of the table have no finished seed and show as missing.",
        "1 of 2 cells stand on fewer seeds than planned: n tells for each.",
        "Cells of one seed have no interval.",
    ]


def test_replication_says_that_seeds_share_a_donor(rows_frame: RowsFrame):
    rows = rows_frame([transfer("subnetwork", 0.5, seed=seed, donor_seed=0, mask_seed=0) for seed in range(5)])
    assert figure_3.replication(rows).startswith("Per depth there are 1 donor seed(s), 1 mask seed(s) and 5 transfer")


def test_coverage_counts_each_status_of_each_control(rows_frame: RowsFrame):
    statuses = ["finished", "finished", "running", "failed", "blocked", "missing", "missing"]
    rows = [
        transfer("subnetwork", 0.5 if status == "finished" else None, seed=seed, status=status)
        for seed, status in enumerate(statuses)
    ]
    table = coverage.table(rows_frame([*rows, donor(1.0)]))
    assert table["stage"].to_list() == ["donor", "transfer"]
    assert table.iloc[1][["planned", "finished", "running", "failed", "blocked", "missing"]].to_list() == [
        7,
        2,
        1,
        1,
        1,
        2,
    ]


def test_coverage_counts_donors_and_masks_without_a_control(rows_frame: RowsFrame):
    table = coverage.table(rows_frame([donor(1.0), mask(None), donor(None, num_layers=4)]))
    assert table["control"].isna().all()
    assert table[["stage", "num_layers", "planned", "finished"]].to_numpy().tolist() == [
        ["donor", 2, 1, 1],
        ["donor", 4, 1, 0],
        ["mask", 2, 1, 0],
    ]


def test_coverage_sentences_state_the_gaps(rows_frame: RowsFrame):
    rows = [donor(1.0), mask(1.0), mask(1.0, seed=1), transfer("subnetwork", 0.5), transfer("subnetwork", None, seed=1)]
    rows.append(transfer("subnetwork", None, seed=2, status="failed"))
    assert coverage.sentences(coverage.table(rows_frame(rows))) == [
        "The one planned donor finished.",
        "All 2 planned masks finished.",
        "1 of 3 planned transfers finished; the others: 1 failed, 1 missing.",
    ]


def test_masks_stand_beside_the_donor_they_were_found_in(rows_frame: RowsFrame):
    table = masks.table(rows_frame([donor(0.9, seed=1), donor(1.0), mask(0.99, density=0.081), mask(None, seed=1)]))
    assert table["donor_validation_accuracy"].to_list() == [1.0, 0.9]
    assert table["density"].to_list() == [0.081, pd.NA]
    assert masks.shown(table)["subtask accuracy"].to_list() == ["0.990", "missing"]


def test_masks_list_a_donor_without_a_mask(rows_frame: RowsFrame):
    table = masks.table(rows_frame([donor(1.0)]))
    assert table[["num_layers", "donor_seed", "donor_status"]].to_numpy().tolist() == [[2, 0, "finished"]]
    assert masks.shown(table)["density"].to_list() == ["–"]


def test_training_means_are_over_runs_that_reach_the_epoch_together():
    curves = pd.DataFrame(
        {
            "control": "subnetwork",
            "num_disambiguation": 10,
            "seed": [0, 0, 1, 1, 1],
            "epoch": [1, 2, 1, 2, 3],
            "validation_accuracy": [0.2, 0.4, 0.4, 0.8, 0.9],
        }
    )
    table = training.table(curves)
    assert table["epoch"].to_list() == [1, 2]
    assert table["mean"].to_list() == pytest.approx([0.3, 0.6])
    assert table["num_runs"].to_list() == [2, 2]


def test_failures_are_grouped_by_text(rows_frame: RowsFrame):
    rows = [transfer("subnetwork", None, seed=seed, status="failed", failure="ValueError: x") for seed in range(7)]
    rows.append(donor(None, status="failed"))
    table = failures.table(rows_frame(rows))
    assert table[["stage", "num_cells", "failure"]].to_numpy().tolist() == [
        ["transfer", 7, "ValueError: x"],
        ["donor", 1, "no text was recorded"],
    ]
    assert table["cells"][0].startswith("subnetwork, depth 2, 100 samples, seed 0 (subnetwork-2-100-0); ")
    assert table["cells"][0].endswith("; …")


def test_failures_that_differ_in_the_file_of_their_traceback_are_one(rows_frame: RowsFrame):
    texts = [f"ValueError: density is 0 (runs/{seed}/failure.json)" for seed in range(2)]
    rows = [transfer("subnetwork", None, seed=seed, status="failed", failure=text) for seed, text in enumerate(texts)]
    assert failures.table(rows_frame(rows))[["num_cells", "failure"]].to_numpy().tolist() == [[2, texts[0]]]
