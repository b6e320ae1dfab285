"""What is said of code whose commit or state nobody knows: in rows and in MLflow."""

from dataclasses import replace

from sweeps.exporting.record_columns import measured_table
from sweeps.mirror.content import tags
from tests.specs import tiny_donor
from tests.subind.records import small_record


def test_row_and_tags_of_unknown_code_do_not_call_it_clean() -> None:
    record = small_record(tiny_donor())
    unknown = replace(record, provenance=replace(record.provenance, commit="", dirty=None))
    (row,) = measured_table([unknown]).select(["commit", "dirty"]).to_pylist()
    assert row == {"commit": "", "dirty": None}
    assert tags(tiny_donor(), unknown)["subind.dirty"] == "unknown"
    assert tags(tiny_donor(), record)["subind.dirty"] == "false"
