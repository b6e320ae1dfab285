"""Reading result rows: the schema is checked, what is missing stays missing, and the rows have a fingerprint.

A row describes one planned cell. Whether it has a result is told by its status alone.
"""

import hashlib
import json
from collections.abc import Collection
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from subind.results import ROW_SCHEMA, STATUSES

FINGERPRINT_LENGTH = 16
"""Hexadecimal digits of a row fingerprint (64 bits)."""

SCALAR_COLUMNS = tuple(field.name for field in ROW_SCHEMA if not pa.types.is_nested(field.type))
"""The columns with one value a row. Lists and curves are read only where they are drawn."""

REMEDY = "write it again with `subind export`"

_PANDAS_TYPES = {
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
}


def load(path: str | PathLike[str]) -> pd.DataFrame:
    """The rows of a Parquet file, one per planned cell, with the scalar columns of the row schema.

    Absent values are pd.NA. Raises FileNotFoundError, or ValueError if the file is not Parquet, lacks a column or has
    another type in it, is empty, repeats a run, or has a status or a finished run that the schema does not allow.
    """
    _check_schema(Path(path))
    rows: pd.DataFrame = pq.read_table(path, columns=list(SCALAR_COLUMNS)).to_pandas(types_mapper=_PANDAS_TYPES.get)
    _check_rows(rows, path)
    return rows


def curves(path: str | PathLike[str], *, run_ids: Collection[str]) -> pd.DataFrame:
    """The validation accuracy of the finished transfers among the given runs, a row per run and epoch.

    Columns: control, num_disambiguation, seed, epoch, validation_accuracy.
    """
    keys = ["control", "num_disambiguation", "seed"]
    wanted = pa.array(list(run_ids), pa.string())
    file = pq.ParquetFile(path)
    groups = [group for group in range(file.num_row_groups) if _has_any(file, group, wanted)]
    read = file.read_row_groups(
        groups, columns=["run_id", "stage", "status", *keys, "curve_epoch", "curve_validation_accuracy"]
    )
    chosen = (pc.field("stage") == "transfer") & (pc.field("status") == "finished")
    table = read.filter(chosen & pc.field("run_id").isin(wanted)).combine_chunks()
    lists = [table.column(name) for name in ("curve_epoch", "curve_validation_accuracy")]
    lengths, others = (pc.fill_null(pc.list_value_length(each), 0) for each in lists)
    if not lengths.equals(others):
        raise ValueError(f"{path} has curves of unequal length in curve_epoch and curve_validation_accuracy: {REMEDY}")
    tidy: pd.DataFrame = table.select(keys).to_pandas().iloc[np.repeat(np.arange(table.num_rows), lengths.to_numpy())]
    epoch, accuracy = (pc.list_flatten(each).to_numpy() for each in lists)
    return tidy.assign(epoch=epoch, validation_accuracy=accuracy).reset_index(drop=True)


def _has_any(file: pq.ParquetFile, group: int, run_ids: pa.Array) -> bool:
    """Whether a row group has a row of one of the runs. Of a large sweep most groups have another depth."""
    return bool(pc.any(pc.is_in(file.read_row_group(group, columns=["run_id"])["run_id"], run_ids)).as_py())


def transfers(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of recipients."""
    return rows[rows["stage"] == "transfer"]


def masks(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of discovered masks."""
    return rows[rows["stage"] == "mask"]


def donors(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of donors."""
    return rows[rows["stage"] == "donor"]


def row_fingerprint(rows: pd.DataFrame) -> str:
    """A hash over all values of the given rows: 16 hexadecimal digits, whatever the order of rows and columns.

    Curves are not among the loaded columns; the id, the commit and the measurements of their runs stand for them.
    """
    ordered = rows.sort_values("run_id", kind="stable")
    digest = hashlib.sha256()
    for name in sorted(ordered.columns):
        digest.update(json.dumps([name, len(ordered)]).encode())
        digest.update(_column_bytes(ordered[name]))
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def _column_bytes(column: pd.Series) -> bytes:
    missing = column.isna().to_numpy()
    marks = np.packbits(missing).tobytes()
    if pd.api.types.is_bool_dtype(column.dtype):
        return marks + column.fillna(False).to_numpy(np.uint8).tobytes()
    if pd.api.types.is_integer_dtype(column.dtype):
        return marks + column.fillna(0).to_numpy("<i8").tobytes()
    if pd.api.types.is_float_dtype(column.dtype):
        return marks + column.fillna(0.0).to_numpy("<f8").tobytes()
    return marks + json.dumps(column.fillna("").to_list()).encode()


def _check_schema(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: write it with `subind export`")
    try:
        found = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is no Parquet file ({error}): {REMEDY}") from None
    for field in ROW_SCHEMA:
        if field.name not in found.names:
            raise ValueError(f"{path} lacks the column {field.name!r}: {REMEDY}")
        if found.field(field.name).type != field.type:
            given = found.field(field.name).type
            raise ValueError(f"{path} has {field.name!r} of type {given}, not {field.type}: {REMEDY}")


def _check_rows(rows: pd.DataFrame, path: str | PathLike[str]) -> None:
    if rows.empty:
        raise ValueError(f"{path} has no rows, so nothing was planned: export a grid with cells")
    required = [field.name for field in ROW_SCHEMA if not field.nullable]
    planned = ["control", "num_disambiguation"]
    of_transfers = transfers(rows)
    finished = of_transfers[of_transfers["status"] == "finished"]
    _refuse(rows, rows[required].isna().any(axis=1), f"no value in one of {required}", path)
    _refuse(rows, ~rows["status"].isin(STATUSES), f"a status that is none of {', '.join(STATUSES)}", path)
    _refuse(rows, rows["run_id"].duplicated(), "the run_id of another row", path)
    _refuse(of_transfers, of_transfers[planned].isna().any(axis=1), f"no value in one of {planned}", path)
    share = finished["test_accuracy"].between(0, 1).fillna(False).astype(bool)
    _refuse(finished, ~share, "the status finished and no test_accuracy from 0 to 1", path)


def _refuse(rows: pd.DataFrame, wrong: pd.Series, what: str, path: str | PathLike[str]) -> None:
    if wrong.any():
        first = rows[wrong].iloc[0]
        raise ValueError(
            f"{path} has {int(wrong.sum())} rows with {what}, first run_id {first['run_id']!r} "
            f"with status {first['status']!r}: {REMEDY}"
        )
