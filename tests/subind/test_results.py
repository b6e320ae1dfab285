"""Records as JSON: what comes back, and what is refused."""

import copy
import json
import math
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pytest

from subind.store.results import Artifact, Failure, RunRecord
from subind.store.row_columns import MEASURED_COLUMNS
from subind.store.schemas import ROW_SCHEMA
from tests.specs import tiny_donor, tiny_transfer
from tests.subind.records import small_failure, small_record

ARTIFACT = Artifact(file="mask-0a1b2c3d.safetensors", num_bytes=3, sha256="0a" * 32)


def test_record_read_from_its_json_is_equal() -> None:
    record = small_record(tiny_transfer(), artifacts={"mask": ARTIFACT})
    assert RunRecord.from_data(json.loads(json.dumps(record.data())), source="here") == record


def test_record_of_before_a_field_was_added_is_read_with_its_default() -> None:
    data = small_record(tiny_donor()).data()
    del data["provenance"]["num_halvings"]
    assert RunRecord.from_data(data, source="record.json").provenance.num_halvings == 0


def test_record_keeps_any_number_of_parents_and_the_digests_of_sources() -> None:
    record = small_record(tiny_transfer(), parents=("a" * 16, "b" * 16), sources={"own_network:lstm": "0a" * 32})
    found = RunRecord.from_data(json.loads(json.dumps(record.data())), source="here")
    assert (found.parents, found.sources) == (("a" * 16, "b" * 16), {"own_network:lstm": "0a" * 32})


def test_record_of_before_sources_were_kept_has_none() -> None:
    data = small_record(tiny_donor()).data()
    del data["sources"]
    assert RunRecord.from_data(data, source="record.json").sources == {}


@pytest.mark.parametrize("of", ["measurements", "curves"])
def test_record_that_measures_what_cannot_be_spelled_is_refused(of: str) -> None:
    data = small_record(tiny_donor()).data()
    data[of]["\ud800"] = data[of].popitem()[1]
    with pytest.raises(ValueError, match=r"record\.json measures '\\ud800', which is no text: choose another name"):
        RunRecord.from_data(data, source="record.json")


def test_failure_read_from_its_json_is_equal() -> None:
    failure = small_failure(tiny_donor())
    assert Failure.from_data(json.loads(json.dumps(asdict(failure))), source="here") == failure


HOSTILE: list[tuple[tuple[str, ...], Any]] = [
    (("run_id",), 5),
    (("stage",), None),
    (("spec",), []),
    (("spec",), "Donor"),
    (("parents",), "abc"),
    (("parents",), 5),
    (("parents",), [1, 2]),
    (("sources",), []),
    (("sources",), {"own:lstm": 1}),
    (("provenance",), None),
    (("provenance", "dirty"), 0),
    (("provenance", "dirty"), "no"),
    (("provenance", "versions"), {"torch": 2}),
    (("provenance", "seconds"), "1"),
    (("provenance", "seconds"), True),
    (("provenance", "pack_size"), 1.0),
    (("measurements",), []),
    (("measurements", "test_accuracy"), "0.5"),
    (("measurements", "test_accuracy"), None),
    (("measurements", "test_accuracy"), True),
    (("measurements", "test_accuracy"), math.nan),
    (("measurements", "test_accuracy"), math.inf),
    (("measurements", "test_accuracy"), 10**400),
    (("curves",), {"epoch": 1.0}),
    (("curves",), {"epoch": [[1.0]]}),
    (("curves", "epoch"), [1.0, None]),
    (("artifacts",), []),
    (("artifacts", "mask"), "mask.safetensors"),
    (("artifacts", "mask", "num_bytes"), "3"),
    (("artifacts", "mask", "file"), "../record.json"),
    (("artifacts", "mask", "file"), "/etc/passwd"),
    (("artifacts", "mask", "file"), ".."),
    (("artifacts", "mask", "file"), ""),
    (("artifacts", "mask", "file"), "a/b"),
    (("artifacts", "mask", "file"), "a\\b"),
    (("artifacts", "mask", "file"), "mask\n"),
    (("unknown",), 1),
    (("provenance", "unknown"), 1),
    (("provenance", "num_halvings"), "1"),
]


@pytest.mark.parametrize(("path", "value"), HOSTILE, ids=[f"{'.'.join(path)}={value!r:.16}" for path, value in HOSTILE])
def test_record_with_a_hostile_value_is_refused_with_its_source(path: tuple[str, ...], value: Any) -> None:
    data = copy.deepcopy(small_record(tiny_transfer(), artifacts={"mask": ARTIFACT}).data())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ValueError, match=r"runs/x/record\.json"):
        RunRecord.from_data(data, source="runs/x/record.json")


@pytest.mark.parametrize("data", [None, [], "record", 5, {}])
def test_record_from_what_is_no_object_of_its_fields_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match=r"record\.json is no RunRecord: it has"):
        RunRecord.from_data(data, source="record.json")


def test_record_with_a_wrong_value_names_the_field_and_its_type() -> None:
    data = small_record(tiny_donor()).data() | {"stage": 7}
    with pytest.raises(ValueError, match=r"record\.json has stage = 7: RunRecord wants <class 'str'>"):
        RunRecord.from_data(data, source="record.json")


@pytest.mark.parametrize(("name", "value"), [("attempts", "1"), ("pack", "abc"), ("pack", [1]), ("message", None)])
def test_failure_with_a_hostile_value_is_refused_with_its_source(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"failure\.json has {name} = "):
        Failure.from_data(asdict(small_failure(tiny_donor())) | {name: value}, source="failure.json")


def test_row_schema_has_a_column_for_everything_measured() -> None:
    assert set(MEASURED_COLUMNS) <= set(ROW_SCHEMA.names)


def test_row_schema_explains_only_columns_that_it_has() -> None:
    assert {name.decode() for name in ROW_SCHEMA.metadata} <= set(ROW_SCHEMA.names)


def test_row_schema_of_an_unfinished_cell_needs_no_measurement() -> None:
    row = {"run_id": "0" * 16, "grid": "g", "stage": "transfer", "status": "missing"}
    row |= {"rule": "a * b", "modulus": 7, "num_integers": 12, "seed": 0}
    table = pa.Table.from_pylist([row], schema=ROW_SCHEMA)
    table.validate(full=True)
    assert table["test_accuracy"].to_pylist() == [None]
