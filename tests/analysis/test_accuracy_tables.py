"""Depth by depth, frozen against trainable, data efficiency, readings, and the summary of a cell."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.elements import summary
from analysis.rows.load import readings as load_readings
from analysis.sections import efficiency, figure_3, frozen, per_depth, readings
from subind.store.schemas import ROW_SCHEMA
from tests.analysis.rows import Row, sweep, transfer

RowsFrame = Callable[[list[Row]], pd.DataFrame]
RowsFile = Callable[[list[Row]], Path]


def test_summary_has_two_intervals_under_ten_values_and_one_from_ten_on():
    table = summary.table([np.linspace(0.5, 0.7, 9), np.linspace(0.5, 0.7, 10)])
    assert table["bootstrap_low"].isna().to_list() == [False, True]
    assert table["interval_low"].notna().all()


def test_summary_of_bimodal_values_counts_successes_with_wilsons_interval():
    row = summary.table([np.array([0.35, 0.95, 0.99, 0.9, 0.4])]).iloc[0]
    expected = stats.binomtest(3, 5).proportion_ci(0.95, method="wilson")
    assert (row["num_successes"], row["median"]) == (3, 0.9)
    assert (row["success_low"], row["success_high"]) == pytest.approx((expected.low, expected.high))


def test_figure_3_gives_the_chance_to_beat_the_subnetwork_and_an_adjusted_p(rows_frame: RowsFrame):
    rows = [transfer("subnetwork", 0.8, seed=seed) for seed in range(6)]
    rows += [transfer("full_transfer", 0.8 + 0.01 * (seed + 1), seed=seed) for seed in range(6)]
    rows += [transfer("random_init", 0.8 + 0.01 * (-1) ** seed, seed=seed) for seed in range(6)]
    table = figure_3.table(rows_frame(rows)).set_index("control")
    assert table.loc["full_transfer", ["improvement", "gap_p", "gap_q"]].to_list() == [1.0, 0.03125, 0.0625]
    assert table.loc["random_init", ["improvement", "gap_q"]].to_list() == [0.5, 1.0]
    assert table.loc["subnetwork", ["improvement", "gap_q"]].isna().all()


def test_per_depth_has_depths_side_by_side_and_says_what_is_missing(rows_frame: RowsFrame):
    rows = [transfer("subnetwork", 0.5, samples=100), transfer("subnetwork", None, samples=100, num_layers=4)]
    rows.append(transfer("subnetwork", 0.7, samples=100, num_layers=4, seed=1))
    rows.append(transfer("random_init", None, samples=100))
    shown = per_depth.shown(per_depth.table(figure_3.table(rows_frame(rows))))
    assert shown["depth 2"].to_list() == ["0.500 (n = 1, published 0.442)", "missing"]
    assert shown["depth 4"].to_list()[0].startswith("0.700 (n = 1/2")
    assert shown["depth 4"].to_list()[1] == "–"


def test_frozen_is_paired_by_seed_and_leaves_out_a_seed_without_partner(rows_frame: RowsFrame):
    rows = [transfer("subnetwork", accuracy, seed=seed) for seed, accuracy in enumerate((0.5, 0.6, 0.9))]
    rows += [transfer("subnetwork_trainable", accuracy, seed=seed) for seed, accuracy in enumerate((0.6, 0.9, None))]
    (row,) = frozen.table(rows_frame(rows)).to_dict("records")
    assert (row["num_planned"], row["num_pairs"]) == (3, 2)
    assert (row["frozen_mean"], row["trainable_mean"], row["difference"]) == pytest.approx((0.55, 0.75, 0.2))


def test_frozen_of_all_published_depths_has_the_published_difference(rows_frame: RowsFrame):
    controls, depths = ("subnetwork", "subnetwork_trainable"), (2, 4, 6, 8, 10, 12)
    table = frozen.table(rows_frame(sweep(controls, [1000], [0], depths)))
    mean = table[table["depths"] == "2,4,6,8,10,12"].iloc[0]
    assert mean["published_difference"] == pytest.approx(mean["published_trainable"] - mean["published_frozen"])
    assert "appendix B.3" in mean["published_source"]
    assert table.loc[table["depths"] == "2", "published_difference"].isna().all()


def test_efficiency_interpolates_on_the_logarithm_of_one_more_than_the_samples(rows_frame: RowsFrame):
    rows = [transfer("subnetwork", accuracy, samples=n) for n, accuracy in ((9, 0.4), (99, 0.6), (999, 0.8))]
    table = efficiency.table(rows_frame(rows)).set_index("accuracy")
    assert table.loc[0.5, "samples"] == pytest.approx(10**1.5 - 1)
    assert table.loc[0.7, "samples"] == pytest.approx(10**2.5 - 1)
    assert not table.loc[0.9, "is_reached"]
    assert efficiency.shown(table.reset_index())["samples needed"].to_list() == ["31", "315", "> 999"]


def test_efficiency_of_a_control_without_a_finished_run_is_missing(rows_frame: RowsFrame):
    table = efficiency.table(rows_frame([transfer("subnetwork", None), transfer("random_init", 0.95, samples=10)]))
    assert efficiency.shown(table)["samples needed"].to_list()[:2] == ["missing", "≤ 10"]


def learned(**changes: object) -> Row:
    curves = {
        "curve_epoch": [1, 2],
        "curve_validation_accuracy": [0.1, 0.9],
        "rivals": ["2 * a ** 2", "2 * b ** 2"],
        "rival_agreement": [0.2, 0.3],
        "curve_rival_agreement": [[0.8, 0.2], [0.5, 0.3]],
    }
    return transfer("subnetwork", 0.9, **{**curves, **changes})


def test_readings_hold_the_rule_and_every_rival_by_epoch(rows_file: RowsFile):
    path = rows_file([learned(), transfer("random_init", 0.5, curve_epoch=[1], curve_validation_accuracy=[0.4])])
    found = load_readings(path, run_ids=["subnetwork-2-100-0", "random_init-2-100-0"])
    own = found[found["control"] == "subnetwork"].pivot_table(index="reading", columns="epoch", values="agreement")
    assert own.loc["a ** 2 + a * b"].to_list() == [0.1, 0.9]
    assert own.loc["2 * a ** 2"].to_list() == [0.8, 0.2]
    assert own.loc["2 * b ** 2"].to_list() == [0.5, 0.3]
    assert found[found["control"] == "random_init"]["reading"].to_list() == ["a ** 2 + a * b"]


def test_readings_name_the_one_that_leads_at_each_epoch(rows_file: RowsFile):
    found = load_readings(rows_file([learned()]), run_ids=["subnetwork-2-100-0"])
    shown = readings.shown(readings.table(found))
    assert shown[["epoch", "leads"]].to_numpy().tolist() == [["1", "2 * a ** 2"], ["2", "a ** 2 + a * b"]]


def test_rows_hold_no_test_accuracy_that_one_could_select_by():
    assert [name for name in ROW_SCHEMA.names if "test" in name] == ["test_accuracy"]


def test_figure_3_of_seeds_nested_in_mask_draws_has_an_interval_over_draws(rows_frame: RowsFrame):
    levels = (0.5, 0.7, 0.9)
    rows = [
        transfer("subnetwork", level + 0.01 * run, seed=3 * draw + run, parent_id=f"mask-{draw}")
        for draw, level in enumerate(levels)
        for run in range(3)
    ]
    row = figure_3.table(rows_frame(rows)).iloc[0]
    assert row["num_draws"] == 3
    assert row["nested_high"] - row["nested_low"] > 1.3 * (row["interval_high"] - row["interval_low"])
    assert row["nested_low"] < row["mean"] < row["nested_high"]


def test_figure_3_of_one_run_a_mask_has_no_interval_over_draws(rows_frame: RowsFrame):
    rows = [transfer("subnetwork", 0.5 + 0.1 * seed, seed=seed, parent_id=f"mask-{seed}") for seed in range(3)]
    table = figure_3.table(rows_frame(rows))
    assert table["num_draws"].isna().all()
    assert not [name for name in figure_3.shown(table) if "draws" in name]
