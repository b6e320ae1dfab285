"""The columns of a result row that come from the record of its run, as a table with one row per record."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from subind.store.results import RunRecord
from subind.store.row_columns import RECORD_COLUMNS
from subind.store.row_values import measured_values
from subind.store.schemas import ROW_SCHEMA

RECORD_SCHEMA = pa.schema([ROW_SCHEMA.field(name) for name in RECORD_COLUMNS])


def measured_table(records: Iterable[RunRecord]) -> pa.Table:
    """One row of RECORD_SCHEMA per record; values that a record lacks are null.

    Raises ValueError as `measured_values`.
    """
    columns: dict[str, list[Any]] = {name: [] for name in RECORD_COLUMNS}
    for record in records:
        row = measured_values(record)
        for name, values in columns.items():
            values.append(row.get(name))
    arrays = [pa.array(columns[field.name], type=field.type) for field in RECORD_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=RECORD_SCHEMA)


def check_measured(record: RunRecord) -> None:
    """Raise ValueError if `measured_table` would refuse the record."""
    measured_values(record)
