"""Values of result rows: of columns that the plan knows, and of those that a record gives."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subind.specs.run import Run
from subind.store.results import Artifact, RunRecord
from subind.store.row_columns import COLUMNS, LATER_COLUMNS, MEASURED_COLUMNS, RECORD_COLUMNS
from subind.store.row_values import measured_values, planned_values
from subind.store.schemas import ROW_SCHEMA
from tests.specs import RIVALS, tiny_donor, tiny_mask, tiny_transfer
from tests.subind.records import small_record

RESULTS = Path(__file__).parents[2] / "results"
WEIGHTS = Artifact(file="weights-0a1b2c3d.safetensors", num_bytes=3, sha256="0a" * 32)
AGREEMENT = {f"rival_agreement.{rule}": place / 4 for place, rule in enumerate(("2 * a ** 2", "2 * b ** 2"), start=1)}


def row(record: RunRecord, run: Run) -> dict[str, Any]:
    """The row of a finished run, as its Parquet file gives it back."""
    cell = {"run_id": record.run_id, "grid": "g", "stage": run.stage, "status": "finished", "seed": run.seed}
    values = cell | planned_values(run.columns()) | measured_values(record)
    table = pa.Table.from_pylist([values], schema=ROW_SCHEMA)
    table.validate(full=True)
    (found,) = table.to_pylist()
    assert isinstance(found, dict)
    return found


# ---- planned


def test_planned_values_of_a_transfer_are_its_columns() -> None:
    columns = tiny_transfer().columns()
    assert planned_values(columns) == columns


def test_planned_values_without_a_column_stand_in_fields_as_text() -> None:
    values = planned_values({"rule": "a", "hidden": 64, "patterns": ("*.weight", "b"), "share": 0.5})
    assert values == {"rule": "a", "fields": [("hidden", "64"), ("patterns", "*.weight, b"), ("share", "0.5")]}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"test_accuracy": 1.0}, "gives 'test_accuracy', which is measured: choose another name"),
        ({"is_kept": True}, "gives 'is_kept', which is measured"),
        ({"rule": 5}, "gives rule = 5: the column is of type string"),
        ({"modulus": 7.0}, r"gives modulus = 7\.0: the column is of type int64"),
        ({"modulus": True}, "gives modulus = True: the column is of type int64"),
        ({"modulus": 2**63}, "gives modulus = 9223372036854775808"),
        ({"penalty": "1"}, "gives penalty = '1': the column is of type double"),
        ({"rivals": "a"}, "gives rivals = 'a': the column is of type list"),
        ({"rivals": [1]}, r"gives rivals = \[1\]"),
        ({"task": "\ud800"}, r"gives task = '\\ud800'"),
        ({"own": "\ud800"}, r"gives 'own' = '\\ud800', which cannot be spelled"),
        ({"\ud800": 1}, "which cannot be spelled"),
        ({5: 1}, "which cannot be spelled"),
    ],
)
def test_planned_values_that_no_column_holds_are_refused(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planned_values(columns)


# ---- measured


def test_measured_values_stand_in_their_columns_and_all_in_the_map() -> None:
    run = tiny_transfer()
    measurements = {
        "test_accuracy": 0.5,
        "best_epoch": 2.0,
        "kept_fraction": 0.25,
        "kept_fraction.h.0": 0.5,
        "own": 3.0,
    }
    found = row(small_record(run, measurements=measurements), run)
    assert [found[name] for name in ("test_accuracy", "best_epoch", "kept_fraction")] == [0.5, 2, 0.25]
    assert dict(found["measurements"]) == measurements
    assert found["density"] is None


def test_measured_values_of_curves_without_a_column_stand_in_curves() -> None:
    run = tiny_transfer()
    curves = {"epoch": [1.0, 2.0], "validation_loss": [2.5, 2.25], "perplexity": [9.0, 8.0]}
    found = row(small_record(run, curves=curves), run)
    assert found["curve_epoch"] == [1, 2]
    assert found["curve_validation_loss"] == [2.5, 2.25]
    assert found["curves"] == [("perplexity", [9.0, 8.0])]


def test_measured_values_of_rivals_have_the_order_of_the_task() -> None:
    run = tiny_transfer(rivals=RIVALS[::-1])
    curves = {"epoch": [1.0], **{name: [value] for name, value in AGREEMENT.items()}}
    found = row(small_record(run, measurements=AGREEMENT, curves=curves), run)
    assert found["rivals"] == ["2 * b ** 2", "2 * a ** 2"]
    assert found["rival_agreement"] == [0.5, 0.25]
    assert found["curve_rival_agreement"] == [[0.5], [0.25]]
    assert found["curves"] == []


def test_measured_values_of_a_mask_have_the_density_of_every_matrix() -> None:
    found = row(
        small_record(tiny_mask(), measurements={"density": 0.2, "density.h.0": 0.1, "density.h.1": 0.3}), tiny_mask()
    )
    assert found["density"] == 0.2
    assert found["matrix_density"] == [("h.0", 0.1), ("h.1", 0.3)]


def test_measured_values_of_cue_conflict_are_tables_by_class() -> None:
    found = row(small_record(tiny_donor(), measurements={"cue_shape.cat": 3.0, "num_cue_conflict": 16.0}), tiny_donor())
    assert found["cue_shape"] == [("cat", 3.0)]
    assert found["num_cue_conflict"] == 16


def test_measured_values_without_curves_have_no_epochs() -> None:
    assert row(small_record(tiny_donor(), curves={}), tiny_donor())["curve_epoch"] is None


@pytest.mark.parametrize("is_kept", [False, True])
def test_row_says_whether_the_network_is_kept(is_kept: bool) -> None:
    artifacts = {"weights.safetensors": WEIGHTS} if is_kept else {}
    assert row(small_record(tiny_transfer(), artifacts=artifacts), tiny_transfer())["is_kept"] is is_kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curves": {"validation_loss": [1.0]}}, "lacks 'epoch'"),
        ({"curves": {"epoch": [2.0**31]}}, "has epoch = 2147483648"),
        ({"measurements": {"best_epoch": 2.0**31}}, "has best_epoch = 2147483648"),
        ({"measurements": {"rival_agreement.2 * a ** 2": 0.5}}, r"lacks 'rival_agreement\.2 \* b \*\* 2'"),
    ],
)
def test_measured_values_of_a_record_that_lacks_something_name_its_file(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"the record of run \w+ \(runs/.*record\.json\) {message}"):
        measured_values(small_record(tiny_transfer(), **changes))


# ---- the schema


def test_every_column_stands_in_the_schema_once() -> None:
    assert ROW_SCHEMA.names == [each.name for each in COLUMNS]
    assert len(set(ROW_SCHEMA.names)) == len(ROW_SCHEMA.names)
    assert set(MEASURED_COLUMNS) < set(RECORD_COLUMNS) < set(ROW_SCHEMA.names)


@pytest.mark.parametrize("name", ["figure-3-depth-2", "tuned-depth-2", "vision-map", "vision-shapes"])
def test_schema_has_the_columns_of_committed_rows_with_their_types(name: str) -> None:
    committed = pq.read_schema(RESULTS / f"{name}.parquet")
    for field in committed:
        assert ROW_SCHEMA.field(field.name).type == field.type
    lacking = set(ROW_SCHEMA.names) - set(committed.names)
    assert lacking <= {*LATER_COLUMNS, "donor_kind", "kept_epoch", "chance_accuracy", "chance_agreement", "seen_share"}
