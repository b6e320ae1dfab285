"""Reading rows: what is missing stays missing, what is wrong is refused by name, the fingerprint knows no order."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.rows.load import curves, donors, load, masks, row_fingerprint, transfers
from subind.store.schemas import ROW_SCHEMA
from tests.analysis.rows import Row, donor, mask, sweep, transfer

RowsFile = Callable[[list[Row]], Path]
RowsFrame = Callable[[list[Row]], pd.DataFrame]


def test_load_of_a_missing_cell_leaves_its_accuracy_absent(rows_frame: RowsFrame):
    assert rows_frame([transfer("subnetwork", None)])["test_accuracy"].isna().all()


def test_load_keeps_integers_beside_absent_ones(rows_frame: RowsFrame):
    rows = rows_frame([donor(1.0), transfer("subnetwork", 0.5, samples=250)])
    assert rows["num_disambiguation"].to_list() == [pd.NA, 250]
    assert rows["num_disambiguation"].dtype == pd.Int64Dtype()


def test_load_of_an_absent_file_names_the_command_that_writes_it(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="subind export"):
        load(tmp_path / "absent.parquet")


def test_load_of_another_format_is_refused(tmp_path: Path):
    path = tmp_path / "rows.parquet"
    path.write_text("run_id,stage\n")
    with pytest.raises(ValueError, match="no Parquet file"):
        load(path)


def test_load_without_a_column_names_it(tmp_path: Path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([donor(1.0)], schema=ROW_SCHEMA).drop_columns(["seed"]), path)
    with pytest.raises(ValueError, match="lacks the column 'seed'"):
        load(path)


def test_load_of_a_column_of_another_type_names_both_types(tmp_path: Path):
    path, table = tmp_path / "rows.parquet", pa.Table.from_pylist([donor(1.0)], schema=ROW_SCHEMA)
    place = table.schema.get_field_index("seed")
    pq.write_table(table.set_column(place, "seed", table["seed"].cast(pa.string())), path)
    with pytest.raises(ValueError, match="'seed' of type string, not int64"):
        load(path)


def test_load_of_no_rows_is_refused(rows_file: RowsFile):
    with pytest.raises(ValueError, match="nothing was planned"):
        load(rows_file([]))


def test_load_of_a_repeated_run_is_refused(rows_file: RowsFile):
    with pytest.raises(ValueError, match="the run_id of another row, first run_id 'donor-2-0'"):
        load(rows_file([donor(1.0), donor(0.9)]))


@pytest.mark.parametrize("accuracy", [{"test_accuracy": None}, {"test_accuracy": float("nan")}, {"test_accuracy": 1.5}])
def test_load_of_a_finished_transfer_without_an_accuracy_is_refused(rows_file: RowsFile, accuracy: Row):
    with pytest.raises(ValueError, match="no test_accuracy from 0 to 1"):
        load(rows_file([transfer("subnetwork", 0.5, **accuracy)]))


def test_load_of_an_unknown_status_is_refused(rows_file: RowsFile):
    with pytest.raises(ValueError, match="a status that is none of finished, running, failed, blocked, missing"):
        load(rows_file([donor(1.0, status="lost")]))


def test_load_of_a_transfer_without_a_control_is_refused(rows_file: RowsFile):
    with pytest.raises(ValueError, match="'control'"):
        load(rows_file([{**transfer("subnetwork", 0.5), "control": None}]))


def test_selections_part_the_rows_by_stage(rows_frame: RowsFrame):
    rows = rows_frame([donor(1.0), mask(1.0, density=0.1), transfer("subnetwork", 0.5)])
    assert [len(select(rows)) for select in (donors, masks, transfers)] == [1, 1, 1]


def test_row_fingerprint_of_shuffled_rows_and_columns_is_the_same(rows_frame: RowsFrame):
    rows = rows_frame(sweep(["subnetwork", "random_init"], [0, 10], range(3), [2]))
    shuffled = rows.sample(frac=1, random_state=1)[list(reversed(rows.columns))]
    assert row_fingerprint(shuffled) == row_fingerprint(rows)


@pytest.mark.parametrize(
    "changes",
    [
        {"test_accuracy": 0.5001},
        {"status": "failed", "test_accuracy": None},
        {"seed": 3},
        {"dirty": True},
        {"dirty": None},
        {"commit": None},
        {"commit": ""},
    ],
)
def test_row_fingerprint_of_another_value_differs(rows_frame: RowsFrame, changes: Row):
    before = row_fingerprint(rows_frame([transfer("subnetwork", 0.5)]))
    assert row_fingerprint(rows_frame([{**transfer("subnetwork", 0.5), **changes}])) != before


def test_row_fingerprint_tells_an_absent_value_from_zero(rows_frame: RowsFrame):
    first, second = (row_fingerprint(rows_frame([donor(1.0, density=density)])) for density in (None, 0.0))
    assert first != second


def test_curves_have_a_row_per_run_and_epoch_of_the_chosen_runs(rows_file: RowsFile):
    learned = {"curve_epoch": [1, 2], "curve_validation_accuracy": [0.2, 0.4]}
    rows = [transfer("subnetwork", 0.4, num_layers=layers, **learned) for layers in (2, 4)]
    rows += [transfer("random_init", None, num_layers=4), donor(1.0, num_layers=4, **learned)]
    found = curves(rows_file(rows), run_ids=["subnetwork-4-100-0", "random_init-4-100-0"])
    assert found.to_dict("list") == {
        "control": ["subnetwork"] * 2,
        "num_disambiguation": [100] * 2,
        "seed": [0] * 2,
        "epoch": [1, 2],
        "validation_accuracy": [0.2, 0.4],
    }


def test_curves_of_unequal_length_are_refused(rows_file: RowsFile):
    row = transfer("subnetwork", 0.4, curve_epoch=[1, 2], curve_validation_accuracy=[0.4])
    with pytest.raises(ValueError, match="fewer or more values than epochs"):
        curves(rows_file([row]), run_ids=["subnetwork-2-100-0"])
