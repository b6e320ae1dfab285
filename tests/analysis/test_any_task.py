"""The page of a task that the analysis does not know, and of measurements: against numbers worked out by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import load, write_report
from analysis.report import compare
from analysis.rows import images, recipients
from analysis.sections import any_training, measurements, starts
from tests.analysis.rows import ABSENT, PROVENANCE, Row, mask, transfer

TASK: Row = {"grid": "digits", "task": "parity", "model": "mlp_64", "chance_accuracy": 0.5}
STARTS = ("subnetwork", "full_transfer", "random_init")
WriteRows = Callable[[list[Row]], Path]


def recipient(start: str, accuracy: float | None, *, seed: int = 0, num: int = 100, **changes: Any) -> Row:
    """A finished recipient on `num` digits, or with the accuracy None a missing one."""
    row = {**ABSENT, **TASK, "stage": "transfer", "control": start, "seed": seed, "fields": [("num_digits", str(num))]}
    row |= {"run_id": f"{start}-{num}-{seed}", "status": "missing"}
    if accuracy is not None:
        curve = {"curve_epoch": [1, 2], "curve_validation_accuracy": [accuracy / 2, accuracy]}
        own = {"test_accuracy": accuracy, "measurements": [("test_accuracy", accuracy), ("test_loss", 1 - accuracy)]}
        row |= {"status": "finished", **PROVENANCE, **own, **curve}
    return {**row, **changes}


def measured_by_loss(row: Row) -> Row:
    """The row as of a task that measures its loss alone."""
    loss = [("test_loss", 1 - row["test_accuracy"])]
    return {**row, "test_accuracy": None, "measurements": loss, "chance_accuracy": None}


def grid(nums: tuple[int, ...] = (100,)) -> list[Row]:
    """Accuracies at three seeds: the subnetwork 0.1 above full transfer and 0.3 above a fresh network."""
    below = {"subnetwork": 0.0, "full_transfer": 0.1, "random_init": 0.3}
    return [
        recipient(start, round(0.8 - less + 0.05 * seed + num / 10_000, 4), seed=seed, num=num)
        for num in nums
        for start, less in below.items()
        for seed in (0, 1, 2)
    ]


def table_of(path: Path) -> tuple[pd.DataFrame, recipients.Comparison]:
    given = recipients.compared(recipients.rows(path))
    return starts.table(given), given


def test_rows_of_a_task_without_columns_of_its_own_are_of_no_other_kind(rows_file: WriteRows) -> None:
    arithmetic = transfer("subnetwork", 0.5, task="a * b", model="layers2")
    path = rows_file([*grid(), arithmetic])
    assert len(recipients.rows(path)) == 9
    assert load(path)["run_id"].to_list() == [arithmetic["run_id"]]
    assert images.rows(path).empty


def test_table_has_means_over_seeds_and_differences_by_seed(rows_file: WriteRows) -> None:
    found, given = table_of(rows_file(grid()))
    assert given.axes == []
    assert found["start"].to_list() == ["subnetwork", "full transfer", "random init"]
    assert found["mean"].to_list() == pytest.approx([0.86, 0.76, 0.56])
    half = 4.302652729749464 * 0.05 / 3**0.5  # t of two degrees, the deviation of three seeds 0.05 apart
    assert (found["high"] - found["mean"]).to_list() == pytest.approx([half] * 3)
    assert pd.isna(found["difference"].iloc[0])
    assert found["difference"].to_list()[1:] == pytest.approx([0.1, 0.3])
    assert found["num_pairs"].to_list()[1:] == [3, 3]
    assert found["p"].to_list()[1:] == [0.25, 0.25]  # two of the eight patterns of signs
    assert found["p_holm"].to_list()[1:] == [0.5, 0.5]


def test_sentences_say_which_start_is_first_by_how_much_and_what_the_test_can_tell(rows_file: WriteRows) -> None:
    found, given = table_of(rows_file(grid()))
    first, against, family = starts.sentences(found, given)
    assert first == (
        "Highest mean test accuracy: subnetwork 0.860 [0.736, 0.984] (3 seeds); next full transfer 0.760 "
        "[0.636, 0.884] (3 seeds), subnetwork minus full transfer +0.100 [0.100, 0.100] by seed (n = 3); chance 0.500."
    )
    assert "full transfer +0.100 [0.100, 0.100] (n = 3, Holm p 0.5000)" in against
    assert family == (
        "2 difference(s) share Holm's correction: 0 with p at most 5%. None can have: with 3 pair(s) the p of one "
        "difference is at least 0.2500, before the correction."
    )


def test_lower_loss_is_better(rows_file: WriteRows) -> None:
    found, given = table_of(rows_file([measured_by_loss(row) for row in grid()]))
    assert set(found["measure"]) == {"test_loss"}
    assert starts.sentences(found, given)[0].startswith("Lowest mean test loss: subnetwork 0.140")


def test_axis_is_what_varies_within_the_reference_start(rows_file: WriteRows) -> None:
    found, given = table_of(rows_file(grid((100, 200, 400))))
    assert given.axes == ["num_digits"]
    assert found["num_digits"].to_list() == [100] * 3 + [200] * 3 + [400] * 3
    assert found["difference"].dropna().to_list() == pytest.approx([0.1, 0.3] * 3)
    assert starts.sentences(found, given)[1].startswith("digits 200: highest mean test accuracy: subnetwork 0.870")


def test_many_settings_are_counted_in_one_sentence(rows_file: WriteRows) -> None:
    found, given = table_of(rows_file(grid(tuple(range(100, 800, 100)))))
    first, _ = starts.sentences(found, given)
    assert first == "Of 7 settings, the best mean is that of subnetwork in 7; ties count for each."


def test_start_without_a_mask_stands_in_every_setting_of_masks(rows_file: WriteRows) -> None:
    rows = [
        recipient("subnetwork", 0.5 + penalty, seed=seed, penalty=penalty, run_id=f"s-{penalty}-{seed}")
        for penalty in (0.1, 0.2)
        for seed in (0, 1)
    ]
    rows += [recipient("random_init", 0.5, seed=seed) for seed in (0, 1)]
    found, given = table_of(rows_file(rows))
    assert given.axes == ["penalty"]
    assert found[found["start"] == "random init"]["difference"].to_list() == pytest.approx([0.1, 0.2])


def test_what_varies_within_another_start_alone_is_a_part_of_its_name(rows_file: WriteRows) -> None:
    rows = [recipient("subnetwork", 0.9, seed=seed, fields=[("scale", "1.0")]) for seed in (0, 1)]
    rows += [
        recipient("rescaled", 0.5, seed=seed, fields=[("scale", str(scale))], run_id=f"{scale}-{seed}")
        for seed in (0, 1)
        for scale in (1.0, 2.0)
    ]
    found, given = table_of(rows_file(rows))
    assert given.axes == []
    assert found["start"].to_list() == ["subnetwork", "rescaled, scale 1", "rescaled, scale 2"]
    assert found["num_pairs"].to_list()[1:] == [2, 2]


def test_seed_of_which_one_run_is_missing_has_no_pair(rows_file: WriteRows) -> None:
    rows = [row for row in grid() if (row["control"], row["seed"]) != ("full_transfer", 1)]
    found, _ = table_of(rows_file([*rows, recipient("full_transfer", None, seed=1)]))
    row = found.set_index("start").loc["full transfer"]
    assert (row["num_planned"], row["num_finished"], row["num_seeds"], row["num_pairs"]) == (3, 2, 2, 2)


def test_runs_of_one_seed_are_averaged_and_count_once(rows_file: WriteRows) -> None:
    twice = [recipient("subnetwork", 0.6, seed=0, run_id="a"), recipient("subnetwork", 0.8, seed=0, run_id="b")]
    found, _ = table_of(rows_file([*twice, recipient("full_transfer", 0.5, seed=0)]))
    assert found["mean"].to_list() == pytest.approx([0.7, 0.5])
    assert found["difference"].to_list()[1:] == pytest.approx([0.2])
    assert found["num_seeds"].to_list() == [1, 1]
    assert found["low"].isna().all()


def test_curves_are_means_over_the_runs_of_a_start(rows_file: WriteRows) -> None:
    path = rows_file(grid())
    given = recipients.compared(recipients.rows(path))
    name, curves = recipients.curves(path, given)
    means = any_training.means(curves, given.axes).set_index(["start", "epoch"])
    assert name == "validation_accuracy"
    assert means.loc[("subnetwork", 1.0), "mean"] == pytest.approx(0.43)
    assert means.loc[("subnetwork", 2.0), "num_runs"] == 3


def measurement(start: str | None, value: float, *, seed: int = 0) -> Row:
    """A finished run that has measured a network's accuracy in two classes and in all."""
    row = {**ABSENT, **TASK, **PROVENANCE, "stage": "measurement", "measurement": "per_class", "control": start}
    values = [("accuracy", value), ("accuracy.cat", 1.0), ("accuracy.dog", 0.0)]
    return {**row, "run_id": f"m-{start}-{seed}", "seed": seed, "status": "finished", "measurements": values}


def test_measurements_are_means_by_start_and_entries_of_tables_stay_in_the_file(rows_file: WriteRows) -> None:
    rows = [
        measurement(start, value + seed, seed=seed)
        for start, value in (("subnetwork", 1.0), (None, 3.0))
        for seed in (0, 1)
    ]
    found = measurements.table(recipients.measurements(rows_file(rows)))
    of_accuracy = found[found["name"] == "accuracy"]
    assert of_accuracy["start"].to_list() == ["donor", "subnetwork"]
    assert of_accuracy["mean"].to_list() == pytest.approx([3.5, 1.5])
    assert of_accuracy["num_finished"].to_list() == [2, 2]
    assert of_accuracy["low"].iloc[0] == pytest.approx(3.5 - 12.706204736432095 * 0.5)
    assert len(found) == 6
    assert measurements.shown(found)["what"].to_list() == ["accuracy", "accuracy"]


def test_page_of_any_task_has_every_section(rows_file: WriteRows, tmp_path: Path) -> None:
    donor = {**recipient("x", 0.9), "run_id": "d", "stage": "donor", "control": None, "donor_kind": "trained"}
    own_mask = {**mask(0.9, density=0.1), **TASK, "num_layers": None, "donor_kind": "trained"}
    path = rows_file([donor, own_mask, *grid((100, 200, 400)), measurement("subnetwork", 1.0)])
    page = write_report(path, tmp_path / "report").read_text()
    titles = ["Coverage", "Which start wins", "Training", "Donors and masks", "Measurements"]
    places = [page.index(f"<h2>{title}</h2>") for title in titles]
    assert places == sorted(places)
    assert "Recipients learn parity; network mlp_64; 3 start(s), 3 seed(s)." in page
    assert "Test accuracy against disambiguation samples" not in page
    for name in ("starts.png", "starts.csv", "any_training.svg", "measurements.tex", "latex/report.tex"):
        assert (tmp_path / "report" / name).is_file()


def test_page_of_several_measures_has_a_picture_of_each(rows_file: WriteRows, tmp_path: Path) -> None:
    other = [measured_by_loss({**row, "task": "other", "run_id": f"o-{row['run_id']}"}) for row in grid()]
    write_report(rows_file([*grid(), *other]), tmp_path / "report")
    assert (tmp_path / "report" / "starts-test_accuracy.png").is_file()
    assert (tmp_path / "report" / "starts-test_loss.png").is_file()


def test_methods_say_what_p_is_corrected_for() -> None:
    assert any("Holm's p is corrected for all differences" in each for each in starts.METHODS)


def test_comparison_of_two_files_matches_cells_of_any_task(rows_file: WriteRows) -> None:
    made = rows_file(grid((100, 200)))
    before = made.rename(made.with_name("before.parquet"))
    moved = [{**row, "run_id": f"new-{row['run_id']}"} for row in grid((100, 200))]
    better = {**moved[0], "test_accuracy": moved[0]["test_accuracy"] + 0.5}
    (found,) = compare.of_files(before, rows_file([better, *moved[1:]]))
    assert found.kind.name == "any-task"
    assert found.cells["difference"].to_list().count(0.0) == 17
    assert found.cells["difference"].max() == pytest.approx(0.5)


def test_page_of_recipients_that_have_all_failed_says_so(rows_file: WriteRows, tmp_path: Path) -> None:
    rows = [{**recipient(start, None), "status": "failed"} for start in STARTS]
    page = write_report(rows_file(rows), tmp_path / "report").read_text()
    assert "Recipients learn parity; network mlp_64; 3 start(s), 1 seed(s)." in page
