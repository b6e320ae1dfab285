"""Grids that sweep a setting, and seeds with several runs of one cell, against numbers worked out by hand."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from analysis import write_report
from analysis.rows.load import transfers
from analysis.rows.seeds import MEAN_OVER_DEPTHS
from analysis.rows.settings import distinct, sentences, settings_of_arithmetic
from analysis.sections import coverage, figure_3, masks, training
from analysis.sections.figure_3 import CELL
from tests.analysis.rows import Row, donor, mask, transfer

RowsFile = Callable[[list[Row]], Path]
RowsFrame = Callable[[list[Row]], pd.DataFrame]

WEAK, STRONG = 1e-7, 1e-6
CURVE: Row = {"curve_epoch": [1, 2], "curve_validation_accuracy": [0.2, 0.4]}


def found_in(penalty: float, accuracy: float | None, *, seed: int = 0, **changes: object) -> Row:
    """The transfer of a subnetwork of a penalty."""
    given: Row = {"run_id": f"subnetwork-{penalty}-{seed}-{len(changes)}", **CURVE, **changes}
    return transfer("subnetwork", accuracy, seed=seed, penalty=penalty, **given)


TWO_PENALTIES = [
    *(found_in(WEAK, accuracy, seed=seed) for seed, accuracy in enumerate([0.7, 0.8, 0.9])),
    *(found_in(STRONG, accuracy, seed=seed) for seed, accuracy in enumerate([0.5, 0.5, 0.5])),
    *(transfer("random_init", accuracy, seed=seed, **CURVE) for seed, accuracy in enumerate([0.4, 0.4, 0.4])),
]


def test_figure_3_of_two_penalties_has_each_control_beside_each(rows_frame: RowsFrame):
    table = figure_3.table(rows_frame(TWO_PENALTIES))
    assert table.columns[:2].to_list() == ["penalty", "scope"]
    assert table[["penalty", "control", "num_planned", "num_finished"]].to_numpy().tolist() == [
        [WEAK, "subnetwork", 3, 3],
        [WEAK, "random_init", 3, 3],
        [STRONG, "subnetwork", 3, 3],
        [STRONG, "random_init", 3, 3],
    ]
    assert table["mean"].to_list() == pytest.approx([0.8, 0.4, 0.5, 0.4])


def test_figure_3_of_two_penalties_pairs_a_shared_control_with_each_subnetwork(rows_frame: RowsFrame):
    table = figure_3.table(rows_frame(TWO_PENALTIES)).query("control == 'random_init'")
    assert table["gap_mean"].to_list() == pytest.approx([-0.4, -0.1])
    assert table["gap_num_pairs"].to_list() == [3, 3]
    assert table["gap_high"].to_list() == pytest.approx([-0.4 + 4.302652729749464 * 0.1 / 3**0.5, -0.1])


def test_figure_3_of_two_penalties_has_published_values_beside_the_published_one_only(rows_frame: RowsFrame):
    table = figure_3.table(rows_frame(TWO_PENALTIES)).query("control == 'subnetwork'")
    assert table["published_accuracy"].to_list() == [0.442, pd.NA]


def test_figure_3_in_words_names_the_penalty(rows_frame: RowsFrame):
    shown = figure_3.shown(figure_3.table(rows_frame(TWO_PENALTIES)))
    assert shown["penalty"].to_list() == ["1e-07", "1e-07", "1e-06", "1e-06"]


def test_coverage_of_two_penalties_counts_a_shared_control_once(rows_frame: RowsFrame):
    table = coverage.of_arithmetic(rows_frame([*TWO_PENALTIES, donor(1.0)]))
    assert table[["stage", "penalty", "control", "planned"]].to_numpy().tolist() == [
        ["donor", pd.NA, pd.NA, 1],
        ["transfer", WEAK, "subnetwork", 3],
        ["transfer", STRONG, "subnetwork", 3],
        ["transfer", pd.NA, "random_init", 3],
    ]
    assert coverage.sentences(table)[-1] == "All 9 planned transfers finished."


def test_gaps_of_two_penalties_count_a_shared_cell_once(rows_frame: RowsFrame):
    rows = rows_frame([found_in(WEAK, 0.7), found_in(STRONG, 0.5), transfer("random_init", None)])
    cells = distinct(figure_3.table(rows), transfers(rows), cell=CELL)
    assert figure_3.gaps(cells)[0] == "1 of 3 cells of the table have no finished seed and show as missing."


def test_sentences_of_two_penalties_name_what_varies_and_what_is_shared(rows_frame: RowsFrame):
    assert sentences(rows_frame(TWO_PENALTIES)) == [
        (
            "The transfers have 2 combinations of settings (what varies: penalty): each has its figures and its rows "
            "in the tables."
        ),
        (
            "random init has no penalty: the same runs stand in every combination that differs only there, and are "
            "counted once."
        ),
    ]


def test_settings_of_two_rules_share_no_run(rows_frame: RowsFrame):
    rows = [
        {**row, "rule": rule, "run_id": row["run_id"] + rule} for row in TWO_PENALTIES[3:] for rule in ("a", "a + b")
    ]
    found = settings_of_arithmetic(rows_frame(rows))
    assert [each.title for each in found] == ["rule a", "rule a + b"]
    assert [len(each.rows) for each in found] == [6, 6]


def test_settings_of_a_penalty_per_depth_share_a_control_at_that_depth(rows_frame: RowsFrame):
    rows = [found_in(WEAK, 0.7), found_in(STRONG, 0.5, num_layers=4)]
    rows += [transfer("random_init", 0.4, num_layers=depth) for depth in (2, 4, 6)]
    found = settings_of_arithmetic(rows_frame(rows))
    assert [each.title for each in found] == ["penalty 1e-07", "penalty 1e-06", "no penalty"]
    assert [sorted(each.rows["num_layers"]) for each in found] == [[2, 2], [4, 4], [6]]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rule", ("a", "b")),
        ("modulus", (5, 7)),
        ("num_integers", (100, 1000)),
        ("d_model", (64, 128)),
        ("subtask", ("a * b", "a + b")),
        ("num_ambiguous", (0, 1000)),
        ("penalty", (0.0, 1e-7)),
        ("temperature_schedule", ("as_released", "exponential")),
        ("final_temperature", (10.0, 100.0)),
    ],
)
def test_tables_of_any_varying_setting_have_its_column(rows_frame: RowsFrame, name: str, values: tuple[object, object]):
    rows = [transfer("subnetwork", 0.5, run_id=f"run-{value}", **{name: value}) for value in values]
    frame = rows_frame(rows)
    for table in (figure_3.table(frame), coverage.of_arithmetic(frame)):
        assert table[name].to_list() == list(values)


def test_masks_of_two_subtasks_stand_with_their_subtask(rows_frame: RowsFrame):
    rows = [donor(1.0), donor(1.0, seed=1)]
    for subtask in ("a + b", "a * b"):
        rows += [
            mask(0.9, run_id=subtask, subtask=subtask),
            transfer("subnetwork", 0.5, run_id=f"to {subtask}", subtask=subtask),
        ]
    table = masks.table(rows_frame(rows))
    assert table[["subtask", "donor_seed"]].to_numpy().tolist() == [["a * b", 0], ["a + b", 0], [pd.NA, 1]]
    assert masks.shown(table)["subtask"].to_list() == ["a * b", "a + b", "–"]


OF_EACH = ("figure_3", "efficiency", "training", "readings")


def test_report_of_two_penalties_draws_and_names_each(rows_file: RowsFile, tmp_path: Path):
    page = write_report(rows_file(TWO_PENALTIES), tmp_path / "report")
    names = {path.name for path in page.parent.iterdir() if path.suffix == ".png"}
    assert names == {f"{name}-{place}.png" for name in OF_EACH for place in (1, 2)} | {"settings.png"}
    with Image.open(page.parent / "figure_3-2.png") as image:
        assert image.info["Title"] == "Test accuracy against disambiguation samples, penalty 1e-06: Depth 2"
    text = page.read_text()
    assert text.count("<figcaption>Training at depth 2, mean over seeds, penalty ") == 2
    assert text.index("<figcaption>Test accuracy against disambiguation samples, penalty 1e-06") < text.index(
        'id="figure_3"'
    )
    assert "They stand only next to the published setting: penalty 1e-07." in text


def test_report_of_one_combination_removes_the_pictures_of_several(rows_file: RowsFile, tmp_path: Path):
    write_report(rows_file(TWO_PENALTIES), tmp_path / "report")
    write_report(rows_file(TWO_PENALTIES[3:]), tmp_path / "report")
    names = {path.name for path in (tmp_path / "report").iterdir() if path.suffix == ".png"}
    assert names == {f"{name}.png" for name in OF_EACH}


def test_report_of_settings_of_which_nothing_finished_is_written(rows_file: RowsFile, tmp_path: Path):
    rows = [found_in(WEAK, None, **dict.fromkeys(CURVE)), found_in(STRONG, 0.5)]
    assert "penalty 1e-07: no finished cell" in write_report(rows_file(rows), tmp_path / "report").read_text()


TWO_MASKS = [
    *(found_in(WEAK, accuracy, run_id=f"mask-{draw}-{seed}", seed=seed, mask_seed=draw) for seed, draw, accuracy in
      [(0, 0, 0.6), (0, 1, 0.8), (1, 0, 0.9), (1, 1, 0.9), (2, 0, 0.8), (2, 1, None)]),
    *(transfer("random_init", 0.4, seed=seed) for seed in range(3)),
]  # fmt: skip


def test_figure_3_of_replicates_averages_them_within_their_seed(rows_frame: RowsFrame):
    table = figure_3.table(rows_frame(TWO_MASKS))
    assert table[["num_planned", "num_finished", "num_seeds"]].to_numpy().tolist() == [[6, 5, 3], [3, 3, 3]]
    assert table["mean"][0] == pytest.approx((0.7 + 0.9 + 0.8) / 3)
    assert table["interval_high"][0] == pytest.approx(0.8 + 4.302652729749464 * 0.1 / 3**0.5)
    assert (table["gap_num_pairs"][1], table["gap_mean"][1]) == (3, pytest.approx(-0.4))


def test_figure_3_of_replicates_counts_in_the_mean_over_depths_those_of_every_depth(rows_frame: RowsFrame):
    deeper = [{**row, "run_id": f"{row['run_id']}-4", "num_layers": 4} for row in TWO_MASKS if row["seed"] < 2]
    table = figure_3.table(rows_frame([*TWO_MASKS, *deeper]))
    table = table[table["scope"] == MEAN_OVER_DEPTHS]
    assert table[["num_planned", "num_finished", "num_seeds"]].to_numpy().tolist() == [[4, 4, 2], [2, 2, 2]]
    assert table["mean"].to_list() == pytest.approx([0.8, 0.4])


def test_replicates_are_told_with_what_they_differ_in(rows_frame: RowsFrame):
    assert figure_3.replicates(rows_frame(TWO_MASKS))[0] == (
        "6 transfers are not the only run of their cell and seed: up to 2 runs share one, which differ in mask seed."
    )
    hidden = rows_frame([transfer("subnetwork", 0.5, run_id=str(index)) for index in range(2)])
    assert figure_3.replicates(hidden)[0].endswith("which differ in what no column of the rows tells.")


def test_replicates_of_one_run_per_seed_are_not_told(rows_frame: RowsFrame):
    assert figure_3.replicates(rows_frame(TWO_PENALTIES)) == []


def test_gaps_of_replicates_of_one_seed_say_that_there_is_no_interval(rows_frame: RowsFrame):
    rows = rows_frame([transfer("subnetwork", 0.5, run_id=str(index)) for index in range(2)])
    assert figure_3.gaps(figure_3.table(rows)) == ["Cells of one seed have no interval."]


def test_training_of_replicates_averages_them_within_their_seed():
    curves = pd.DataFrame({"control": "subnetwork", "num_disambiguation": 10, "seed": [0, 0, 1], "epoch": 1})
    table = training.table(curves.assign(validation_accuracy=[0.2, 0.4, 0.9]))
    assert table[["mean", "num_runs"]].to_numpy().tolist() == [[pytest.approx(0.6), 3]]


def test_report_of_replicates_says_so(rows_file: RowsFile, tmp_path: Path):
    text = write_report(rows_file(TWO_MASKS), tmp_path / "report").read_text()
    assert "There n counts runs" in text
