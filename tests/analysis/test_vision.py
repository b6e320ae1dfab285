"""Tables of image classifiers against sums by hand, and pages with, without and beside them."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from analysis import load, row_fingerprint, write_report
from analysis.elements.section import Results
from analysis.rows import images, published
from analysis.sections import contact_sheets, cue_conflict, shape_bias, table_1, vision_masks, vision_training
from analysis.sections.contact_sheets import tiles
from subind.store.schemas import FIRST_LAYER_SCHEMA, IMAGE_SCHEMA, picture_table
from tests.analysis.rows import Row, donor, mask, sweep
from tests.analysis.vision_rows import CLASSES, run, write
from tests.conftest import REPOSITORY

OURS, DONORS = (0.7, 0.8, 0.65), (0.3, 0.35, 0.4)
ROWS = [
    *(run("donor", bias, seed=seed) for seed, bias in enumerate(DONORS)),
    *(run("subnetwork", bias, seed=seed, density=0.1 + seed / 100) for seed, bias in enumerate(OURS)),
    *(run("data_mixture", 0.5, seed=seed, mixture_share=share) for seed in range(3) for share in (0.0, 0.5)),
    *(run("random_init", None if seed == 2 else 0.4, seed=seed) for seed in range(3)),
]


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    return images.rows(write(tmp_path / "rows.parquet", ROWS))


def _cell(table: pd.DataFrame, **values: str) -> pd.Series:
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_table_1_has_every_start_in_order(rows: pd.DataFrame):
    assert table_1.table(rows)["start"].to_list() == [
        "donor",
        "subnetwork",
        "random init",
        "data mixture, 0% mean-pooled",
        "data mixture, 50% mean-pooled",
    ]


def test_table_1_mean_and_interval_are_those_of_scipy(rows: pd.DataFrame):
    cell = _cell(table_1.table(rows), start="subnetwork")
    expected = stats.t.interval(0.95, 2, loc=np.mean(OURS), scale=stats.sem(OURS))
    assert cell["shape_bias"] == pytest.approx(np.mean(OURS))
    assert (cell["shape_bias_low"], cell["shape_bias_high"]) == pytest.approx(expected)
    assert cell["interval_over"] == "runs"
    assert cell["density"] == pytest.approx(0.11)


def test_table_1_of_one_run_has_the_interval_over_its_images(tmp_path: Path):
    found = table_1.table(images.rows(write(tmp_path / "rows.parquet", [run("donor", 0.3)])))
    assert found.loc[0, ["shape_bias_low", "shape_bias_high"]].to_list() == pytest.approx([0.25, 0.35])
    assert found.loc[0, "interval_over"] == "images"


def test_table_1_says_how_many_runs_are_missing(rows: pd.DataFrame):
    cell = _cell(table_1.shown(table_1.table(rows)), start="random init")
    assert cell["finished / planned"] == "2 / 3"


def test_table_1_of_a_start_without_a_finished_run_says_missing(tmp_path: Path):
    rows = images.rows(write(tmp_path / "rows.parquet", [run("donor", 0.3), run("subnetwork", None)]))
    cell = _cell(table_1.shown(table_1.table(rows)), start="subnetwork")
    assert (cell["shape bias"], cell["finished / planned"]) == ("missing", "0 / 1")


def test_untrained_donors_and_their_subnetworks_are_starts_of_their_own(tmp_path: Path):
    made = [run("donor", 0.3, donor_kind="untrained"), run("subnetwork", 0.4, donor_kind="untrained")]
    found = images.rows(write(tmp_path / "rows.parquet", made))
    assert found["start"].to_list() == ["untrained donor", "subnetwork of an untrained donor"]


def test_paired_difference_from_the_donor_is_that_of_each_seed(rows: pd.DataFrame):
    cell = _cell(shape_bias.table(rows), other="donor")
    differences = np.subtract(OURS, DONORS)
    assert cell["num_pairs"] == 3
    assert cell["difference"] == pytest.approx(differences.mean())
    expected = stats.t.interval(0.95, 2, loc=differences.mean(), scale=stats.sem(differences))
    assert (cell["difference_low"], cell["difference_high"]) == pytest.approx(expected)


def test_paired_difference_p_is_that_of_all_sign_patterns(rows: pd.DataFrame):
    cell = _cell(shape_bias.table(rows), other="donor")
    exact = stats.permutation_test(
        (np.array(OURS), np.array(DONORS)),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        n_resamples=math.inf,
    )
    assert cell["p"] == pytest.approx(exact.pvalue)
    assert cell["smallest_p"] == 0.25


def test_paired_differences_name_their_starts_their_number_and_what_their_p_can_reach(rows: pd.DataFrame):
    of_family, floor = shape_bias.family(shape_bias.table(rows))
    starts = "donor, random init, data mixture, 0% mean-pooled and data mixture, 50% mean-pooled"
    assert of_family == f"4 difference(s), against {starts}: neither intervals (95% each) nor p are corrected."
    assert floor == "With 3 pair(s) no p can reach 5%: the smallest possible is 0.2500."


def test_paired_differences_of_six_pairs_can_reach_five_percent(tmp_path: Path):
    made = [run(start, 0.3 + seed / 50, seed=seed) for seed in range(6) for start in ("subnetwork", "full_transfer")]
    made = [{**row, "shape_bias": row["shape_bias"] + (row["control"] == "subnetwork") / 10} for row in made]
    found = shape_bias.family(shape_bias.table(images.rows(write(tmp_path / "rows.parquet", made))))
    assert len(found) == 1


def test_paired_difference_leaves_out_a_seed_that_has_not_finished(rows: pd.DataFrame):
    cell = _cell(shape_bias.table(rows), other="random init")
    assert (cell["num_planned"], cell["num_pairs"]) == (3, 2)


def test_recipients_of_one_donor_count_once_against_it(tmp_path: Path):
    recipients = [run("subnetwork", bias, seed=seed, donor_seed=0) for seed, bias in enumerate(OURS)]
    found = shape_bias.table(images.rows(write(tmp_path / "rows.parquet", [run("donor", 0.3), *recipients])))
    assert found.loc[0, "num_pairs"] == 1
    assert found.loc[0, "difference"] == pytest.approx(np.mean(OURS) - 0.3)


def test_start_without_a_varying_setting_stands_beside_each_of_its_values(tmp_path: Path):
    made = [run("subnetwork", 0.8, penalty=penalty, run_id=f"{penalty}") for penalty in (1e-8, 1e-7)]
    found = shape_bias.table(images.rows(write(tmp_path / "rows.parquet", [*made, run("random_init", 0.3)])))
    assert found["penalty"].to_list() == [1e-8, 1e-7]
    assert found["num_pairs"].to_list() == [1, 1]


def test_forest_has_a_point_and_an_interval_per_experiment_on_the_line_of_the_other_start():
    cells = [("0.8", "donor", 0.3), ("0.8", "random init", 0.1), ("0.9", "donor", -0.1)]
    parts = {name: [] for name, *_ in cells}
    for name, other, mean in cells:
        ends = {"difference_low": mean - 0.05, "difference_high": mean + 0.05}
        num = {"num_pairs": 3 if other == "donor" else 5}
        parts[name].append({"model": "small ResNet", "other": other, "difference": mean, **ends, **num})
    figure = shape_bias.draw([(name, pd.DataFrame(part)) for name, part in parts.items()], title="forest")
    (axes,) = figure.axes
    assert axes.get_title() == "small ResNet (n = 3 to 5 pairs)"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["donor", "random init"]
    lines = [line.get_xydata() for line in axes.get_lines() if line.get_color() != "#555555"]
    points = sorted((round(height), across) for [(across, height), *rest] in lines if not rest)
    assert points == [(0, -0.1), (0, 0.3), (1, 0.1)]
    spans = sorted((round(height), low, high) for [(low, height), *rest] in lines for high, _ in rest)
    assert np.allclose(spans, [(place, mean - 0.05, mean + 0.05) for place, mean in points])


def test_masks_stand_beside_the_whole_donor(tmp_path: Path):
    parent = run("donor", 0.3, run_id="donor-0")
    found = [
        run("mask", None, stage="mask", control=None, parent_id="donor-0", run_id="mask-0", **changes)
        for changes in [{"status": "finished", "density": 0.2, "subtask_accuracy": 0.8}]
    ]
    lost = run("mask", None, stage="mask", control=None, parent_id="donor-0", run_id="mask-1", seed=1)
    table = vision_masks.table(images.rows(write(tmp_path / "rows.parquet", [parent, *found, lost])))
    assert table["subtask_accuracy"].to_list() == [0.8, pd.NA]
    assert table["donor_accuracy_mean_pooled"].to_list() == [0.575, 0.575]
    assert vision_masks.shown(table)["density"].to_list() == ["0.200", "missing"]


def test_cue_conflict_by_class_adds_the_decisions_of_all_runs(tmp_path: Path):
    path = write(tmp_path / "rows.parquet", ROWS)
    found = cue_conflict.table(images.decisions(path, images.rows(path)), settings=[])
    cell = _cell(found, start="subnetwork", shape_class="disc")
    of_shape = sum(round(40 * bias) for bias in OURS)
    assert (cell["num_runs"], cell["num_images"]) == (3, 50)
    assert cell["shape_rate"] == pytest.approx(of_shape / 150)
    assert cell["shape_bias"] == pytest.approx(of_shape / 120)
    assert cell["other_rate"] == pytest.approx(30 / 150)


def test_cue_conflict_reads_columns_of_a_class_as_it_reads_maps(tmp_path: Path):
    path = write(tmp_path / "maps.parquet", ROWS)
    table = pq.read_table(path)
    for cue in ("shape", "texture", "other"):
        counts = [dict(each) if each else {} for each in table[f"cue_{cue}"].to_pylist()]
        table = table.drop_columns(f"cue_{cue}")
        for name in CLASSES:
            table = table.append_column(
                f"cue_{cue}.{name}", pa.array([each.get(name) for each in counts], pa.float64())
            )
    pq.write_table(table, tmp_path / "columns.parquet")
    first, second = (
        cue_conflict.table(images.decisions(each, images.rows(each)), settings=[])
        for each in (path, tmp_path / "columns.parquet")
    )
    pd.testing.assert_frame_equal(first, second)


def test_training_curves_are_means_over_the_finished_runs(tmp_path: Path):
    path = write(tmp_path / "rows.parquet", ROWS)
    rows = images.rows(path)
    found = vision_training.table(images.curves(path, rows), settings=[])
    chosen = found[(found["start"] == "subnetwork") & (found["evaluation_set"] == "mean_pooled")]
    assert chosen["mean"].to_list() == pytest.approx([0.2, 0.3, 0.5 + np.mean(OURS) / 4])
    assert chosen["num_runs"].to_list() == [3, 3, 3]
    assert "donor" not in set(found["start"])


def test_curve_of_several_evaluations_an_epoch_has_fractions_of_epochs(tmp_path: Path):
    path = write(tmp_path / "rows.parquet", [run("subnetwork", 0.5, evaluations_per_epoch=2)])
    found = images.curves(path, images.rows(path))
    assert found[found["evaluation_set"] == "original"]["epoch"].to_list() == [0.5, 1.0, 1.5]


def test_starts_that_hold_different_things_of_the_donor_are_told_apart(tmp_path: Path):
    made = [run("subnetwork", 0.5, held=held, run_id=held) for held in ("norms", "nothing")]
    rows = images.rows(write(tmp_path / "rows.parquet", [*made, run("random_init", 0.3, held="nothing")]))
    assert rows["start"].to_list() == ["subnetwork (held: norms)", "subnetwork (held: nothing)", "random init"]


def test_experiments_of_two_penalties_share_the_starts_without_one(tmp_path: Path):
    made = [run("subnetwork", 0.8, penalty=penalty, run_id=f"{penalty}") for penalty in (1e-8, 1e-7)]
    rows = images.rows(write(tmp_path / "rows.parquet", [*made, run("donor", 0.3)]))
    parts = images.experiments(table_1.table(rows))
    assert [each.values["penalty"] for each in parts] == [1e-8, 1e-7]
    assert [set(each.rows["start"]) for each in parts] == [{"donor", "subnetwork"}] * 2


def test_penalties_that_only_tell_models_apart_are_no_experiments(tmp_path: Path):
    made = [run("subnetwork", 0.8, model=model, penalty=penalty) for model, penalty in (("a", 1e-8), ("b", 1e-7))]
    rows = images.rows(write(tmp_path / "rows.parquet", made))
    assert images.varying(rows) == []
    both = [*made, run("subnetwork", 0.8, model="a", penalty=1e-7, run_id="other")]
    assert images.varying(images.rows(write(tmp_path / "both.parquet", both))) == ["penalty"]


def test_curve_with_fewer_values_than_epochs_is_refused(tmp_path: Path):
    path = write(tmp_path / "rows.parquet", [run("subnetwork", 0.5, curve_accuracy_original=[0.1])])
    with pytest.raises(ValueError, match="curve_accuracy_original with more or fewer values than evaluations"):
        images.curves(path, images.rows(path))


def test_published_curves_end_where_the_protocol_says():
    ends = {
        (model, name): curve.loc[curve["epoch"].idxmax(), "accuracy"]
        for (model, name, images), curve in published.vision_curves().groupby(["model", "control", "evaluation_set"])
        if images == "mean_pooled"
    }
    assert ends[("resnet18", "subnetwork")] == pytest.approx(0.507, abs=0.01)
    assert ends[("vitb16", "subnetwork")] == pytest.approx(0.663, abs=0.01)
    assert ends[("resnet18", "random_init")] == pytest.approx(0.245, abs=0.01)
    assert 19 < published.vision_curves().query("model == 'resnet18'")["epoch"].max() < 20


@pytest.mark.parametrize(("model", "known"), [("ResNet-18", True), ("vit_b_16", True), ("small ResNet", False)])
def test_published_curves_stand_beside_the_papers_models_alone(model: str, known: bool):
    assert (len(vision_training.of_paper(model)) > 0) == known


def test_published_files_are_those_of_the_reference(shared: Path):
    for name in ("vision_curves.csv", "shape_bias.csv"):
        ours = (REPOSITORY / "analysis" / "rows" / "published" / name).read_bytes()
        assert ours == (shared / "reference" / name).read_bytes()


def test_rows_of_arithmetic_have_no_image_classifier(rows_file: Callable[[list[Row]], Path]):
    path = rows_file([donor(1.0), mask(1.0, density=0.1)])
    rows = images.rows(path)
    assert rows.empty
    assert images.fingerprint(load(path), rows) == row_fingerprint(load(path))


def test_load_leaves_rows_of_vision_to_vision(tmp_path: Path):
    path = write(tmp_path / "rows.parquet", [*ROWS, *sweep(["subnetwork"], [0, 10], range(2), [2])])
    assert len(load(path)) == 4
    assert len(images.rows(path)) == len(ROWS)


def test_run_that_is_there_twice_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="has the run 'small ResNet-donor-0-None' twice"):
        images.rows(write(tmp_path / "rows.parquet", [run("donor", 0.3)] * 2))


def test_tiles_light_a_kept_weight_in_its_channel():
    bits = np.zeros((9, 3, 2, 2), np.uint8)
    bits[8, 1, 0, 1] = 1
    sheet = tiles({"height": 2, "width": 2, "num_shown": 9, "bits": bits.tobytes()})
    assert sheet.shape == (7, 25, 3)
    assert np.argwhere(sheet == 255).tolist() == [[4, 2, 1]]


def _pictures_beside(path: Path) -> None:
    image = {"task": "drawn", "caption": "disc\ndots", "place": 0, "height": 2, "width": 2, "pixels": bytes(range(12))}
    images = [{**image, "kind": kind} for kind in ("original", "mean_pooled", "cue_conflict")]
    layer = {"mask_id": "m", "model": "ResNet", "matrix": "conv1.weight", "seed": 0, "num_filters": 1, "num_kept": 3}
    layer |= {"num_weights": 12, "num_shown": 1, "height": 2, "width": 2, "bits": bytes([1, 0, 0, 1] + [0] * 7 + [1])}
    for name, schema, several in (("images", IMAGE_SCHEMA, images), ("first_layers", FIRST_LAYER_SCHEMA, [layer])):
        pq.write_table(pa.Table.from_pylist(several, schema=schema), picture_table(str(path), name))


def test_sheet_of_photographs_is_shown_as_one_of_drawn_images_is(tmp_path: Path):
    path = write(tmp_path / "rows.parquet", ROWS)
    _pictures_beside(path)
    drawn = Path(picture_table(str(path), "images"))
    drawn.rename(picture_table(str(path), "photographs"))
    section = contact_sheets.content(Results.read(path))
    assert section is not None
    assert [picture.name for picture in section.pictures] == ["contact_sheet", "first_layers"]
    assert len(section.pictures[0].draw().axes) >= 3


def test_report_of_image_classifiers_alone_has_their_sections_and_no_other(tmp_path: Path):
    path = write(tmp_path / "rows.parquet", ROWS)
    _pictures_beside(path)
    page = write_report(path, tmp_path / "report")
    found = re.findall(r'<section id="section-(\w+)">', page.read_text())
    assert found == [
        "coverage",
        "table_1",
        "shape_bias",
        "vision_training",
        "cue_conflict",
        "contact_sheets",
    ]
    drawn = {file.stem for file in page.parent.glob("*.png")}
    assert drawn == {"table_1", "shape_bias", "vision_training", "contact_sheet", "first_layers"}
    text = page.read_text()
    assert "1 missing" in text
    assert "0.717 (subnetwork) against 0.350 (their donors), difference +0.367" in text
    assert (page.parent / "latex" / "report.tex").is_file()


def test_report_of_both_kinds_has_the_sections_of_both(tmp_path: Path):
    path = write(tmp_path / "rows.parquet", [*ROWS, *sweep(["subnetwork", "random_init"], [0, 10], range(2), [2])])
    text = write_report(path, tmp_path / "report").read_text()
    assert 'id="section-figure_3"' in text
    assert 'id="section-table_1"' in text


def test_report_of_arithmetic_has_no_section_of_image_classifiers(
    rows_file: Callable[[list[Row]], Path], tmp_path: Path
):
    rows = rows_file(sweep(["subnetwork"], [0, 10], range(2), [2]))
    page = write_report(rows, tmp_path / "report")
    assert "image classifier" not in page.read_text()
    assert not (page.parent / "table_1.csv").exists()


def test_report_of_image_classifiers_of_which_none_has_finished_says_so(tmp_path: Path):
    path = write(tmp_path / "rows.parquet", [run("donor", None), run("subnetwork", None)])
    text = write_report(path, tmp_path / "report").read_text()
    assert "0 of 1 planned transfers finished" in text
    assert "missing" in text


def test_report_of_failed_image_classifiers_tells_why(tmp_path: Path):
    failed = run("subnetwork", None, status="failed", failure="ValueError: no images (x/failure.json)")
    text = write_report(write(tmp_path / "rows.parquet", [run("donor", 0.3), failed]), tmp_path / "report").read_text()
    assert "ValueError: no images" in text
    assert "subnetwork, seed 0" in text


# ---- the control of equal training


def test_longer_donors_are_a_start_of_their_own_beside_the_donors_of_masks(tmp_path: Path) -> None:
    made = [
        run("donor", 0.3, run_id="own"),
        run("donor", 0.4, run_id="longer"),
        run("full_transfer", 0.5, parent_id="own"),
        run("longer_donor", 0.6, parent_id="longer"),
        run("subnetwork", 0.7),
    ]
    rows = images.rows(write(tmp_path / "rows.parquet", made))
    table = table_1.table(rows)
    assert table["start"].to_list() == ["donor", "donor trained longer", "subnetwork", "full transfer", "longer donor"]
    assert table["shape_bias"].to_list() == pytest.approx([0.3, 0.4, 0.7, 0.5, 0.6])
    differences = shape_bias.table(rows).set_index("other")["difference"]
    assert differences.to_dict() == pytest.approx(
        {"donor": 0.4, "donor trained longer": 0.3, "full transfer": 0.2, "longer donor": 0.1}
    )
