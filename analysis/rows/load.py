"""Reading result rows: the schema is checked, what is missing stays missing, and the rows have a fingerprint.

A row describes one planned cell. Whether it has a result is told by its status alone.
"""

import hashlib
import json
import re
from collections.abc import Collection
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.rows import kinds
from subind.store.results import STATUSES
from subind.store.row_columns import LATER_COLUMNS
from subind.store.schemas import OVERLAP_SCHEMA, PART_SCHEMA, RECIPIENT_SCHEMA, ROW_SCHEMA, side_table

FINGERPRINT_LENGTH = 16
"""Hexadecimal digits of a row fingerprint (64 bits)."""

OF_VISION = re.compile(
    r"model|image_size|(shape|texture)_(predictivity|contrast)|num_training_images|mixture_share|held"
    r"|evaluations_per_epoch|(curve_)?accuracy_(original|mean_pooled)|curve_subtask_accuracy|shape_bias\w*"
    r"|(shape|texture|other)_rate|num_cue_conflict|cue_(shape|texture|other)(\..+)?"
)
"""The columns that the rows of vision have and those of arithmetic lack (`analysis.rows.images` reads them)."""

OF_ANY_TASK = ("task", "measurement", "parent_ids", "fields", "measurements", "curves", "is_kept")
"""The columns that rows of any task have (`analysis.rows.recipients` reads them)."""

OF_ARITHMETIC = tuple(
    field for field in ROW_SCHEMA if not OF_VISION.fullmatch(field.name) and field.name not in OF_ANY_TASK
)

SCALAR_COLUMNS = tuple(field.name for field in OF_ARITHMETIC if not pa.types.is_nested(field.type))
"""The columns with one value a row. Lists and curves are read only where they are drawn."""

OPTIONAL = ("donor_kind", "kept_epoch", "chance_accuracy", "chance_agreement", "seen_share", *LATER_COLUMNS)
"""Columns that a file may lack: they are absent in every row then."""

REMEDY = "write it again with `subind export`"

PANDAS_TYPES = {
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
}

KEYS = ["control", "num_disambiguation", "seed"]
"""What tells the runs of one combination and depth apart."""

Places = npt.NDArray[np.int64]

_SIDE_SCHEMAS = {"recipients": RECIPIENT_SCHEMA, "parts": PART_SCHEMA, "overlaps": OVERLAP_SCHEMA}


def load(path: str | PathLike[str]) -> pd.DataFrame:
    """The rows of a Parquet file, one per planned cell, with the scalar columns of the row schema.

    Those of arithmetic alone: `images.rows` and `recipients.rows` read the others. Absent values are
    pd.NA. Raises FileNotFoundError, or ValueError if the file is not Parquet, lacks a column or has another type in it,
    is empty, repeats a run, or has a status or a finished run that the schema does not allow.

    >>> rows = load("results/figure-3-depth-2.parquet")
    >>> len(transfers(rows))
    45
    """
    lacked = _check_schema(Path(path))
    table = pq.read_table(path, columns=[name for name in SCALAR_COLUMNS if name not in lacked])
    table = kinds.filtered(table, path, "arithmetic")
    for name in lacked:
        table = table.append_column(name, pa.nulls(table.num_rows, ROW_SCHEMA.field(name).type))
    rows: pd.DataFrame = table.select(list(SCALAR_COLUMNS)).to_pandas(types_mapper=PANDAS_TYPES.get)
    _check_rows(rows, path)
    return rows


def mask_counts(path: str | PathLike[str], name: Literal["recipients", "parts", "overlaps"]) -> pd.DataFrame:
    """A table of counts over the stored masks that an export wrote beside the rows; no rows where there is none.

    Its columns are those of RECIPIENT_SCHEMA, PART_SCHEMA or OVERLAP_SCHEMA of `subind.store.results`. Raises
    ValueError if the file has others.

    >>> mask_counts("results/figure-3-depth-2.parquet", "recipients")["control"].nunique()
    9
    """
    schema, beside = _SIDE_SCHEMAS[name], Path(side_table(str(path), name))
    if not beside.is_file():
        none: pd.DataFrame = schema.empty_table().to_pandas(types_mapper=PANDAS_TYPES.get)
        return none
    found = pq.read_table(beside)
    if found.schema.names != schema.names:
        raise ValueError(f"{beside} has the columns {found.schema.names}, not {schema.names}: {REMEDY}")
    frame: pd.DataFrame = found.to_pandas(types_mapper=PANDAS_TYPES.get)
    return frame


def curves(path: str | PathLike[str], *, run_ids: Collection[str]) -> pd.DataFrame:
    """The validation accuracy of the finished transfers among the given runs, a row per run and epoch.

    Columns: control, num_disambiguation, seed, epoch, validation_accuracy.
    """
    table = _finished_transfers(path, run_ids, ["curve_epoch", "curve_validation_accuracy"])
    epoch, accuracy = table["curve_epoch"], table["curve_validation_accuracy"]
    tidy = table.select(KEYS).to_pandas().iloc[np.repeat(np.arange(table.num_rows), _lengths(path, epoch, accuracy))]
    flat = {"epoch": pc.list_flatten(epoch), "validation_accuracy": pc.list_flatten(accuracy)}
    found: pd.DataFrame = tidy.assign(**{name: values.to_numpy() for name, values in flat.items()})
    return found.reset_index(drop=True)


def readings(path: str | PathLike[str], *, run_ids: Collection[str]) -> pd.DataFrame:
    """How far the finished transfers among the given runs answer as each reading of their data, a row per epoch.

    Columns: control, num_disambiguation, seed, rule, epoch, reading, agreement: the share of validation samples that
    are answered as the rule itself (which is the validation accuracy) or as one of its rivals. A run without recorded
    rivals has the rule alone.
    """
    lists = ["curve_epoch", "curve_validation_accuracy", "rivals", "curve_rival_agreement"]
    table = _finished_transfers(path, run_ids, ["rule", *lists])
    recorded = table.filter(pc.is_valid(table["curve_rival_agreement"])).combine_chunks()
    agreement, runs = (found(recorded["curve_rival_agreement"]) for found in (pc.list_flatten, pc.list_parent_indices))
    names = pc.list_flatten(recorded["rivals"])
    words = pd.Index(sorted({*pc.unique(table["rule"]).to_pylist(), *pc.unique(names).to_pylist()}), dtype="str")
    every = np.arange(table.num_rows)
    own = _tidy(path, table, table["curve_validation_accuracy"], runs=every, readings=table["rule"], words=words)
    if not len(agreement):
        return own
    places = runs.to_numpy()
    others = _tidy(path, recorded, agreement, runs=places, readings=names, words=words)
    return pd.concat([own, others], ignore_index=True)


def chance_agreement(path: str | PathLike[str], *, run_ids: Collection[str]) -> dict[str, float]:
    """By reading of the given runs' data, the agreement that needs no knowledge of it; readings without one are absent.

    With the rule it is that of the best constant answer, with a rival that of the rule itself.
    """
    columns = ["rule", "chance_accuracy", "rivals", "chance_agreement"]
    if not set(columns) <= set(pq.read_schema(path).names):
        return {}
    table = _finished_transfers(path, run_ids, columns)
    by_chance: dict[str, float | None] = {}
    for row in table.select(columns).to_pylist():
        by_chance |= {row["rule"]: row["chance_accuracy"]}
        by_chance |= zip(row["rivals"] or [], row["chance_agreement"] or [], strict=False)
    return {reading: level for reading, level in by_chance.items() if level is not None}


def _tidy(
    path: str | PathLike[str],
    table: pa.Table,
    curves: pa.ChunkedArray,
    *,
    runs: Places,
    readings: pa.ChunkedArray,
    words: pd.Index,
) -> pd.DataFrame:
    """A row per value of the curves; `runs` and `readings` are those of each curve. Texts are categories: they repeat
    a hundred thousand times.
    """
    epochs = table["curve_epoch"].combine_chunks().take(pa.array(runs))
    lengths = _lengths(path, epochs, curves)
    rows = np.repeat(runs, lengths)
    names = sorted(pc.unique(table["control"]).to_pylist())
    control = pd.Categorical(table["control"].to_pandas(), categories=names)
    rule, reading = (pd.Categorical(each.to_pandas(), categories=words) for each in (table["rule"], readings))
    return pd.DataFrame(
        {
            "control": control[rows],
            "num_disambiguation": table["num_disambiguation"].to_numpy()[rows].astype(np.int32),
            "seed": table["seed"].to_numpy()[rows],
            "rule": rule[rows],
            "epoch": pc.list_flatten(epochs).to_numpy().astype(np.int32),
            "reading": reading[np.repeat(np.arange(len(curves)), lengths)],
            "agreement": pc.list_flatten(curves).to_numpy(),
        }
    )


def _finished_transfers(path: str | PathLike[str], run_ids: Collection[str], columns: list[str]) -> pa.Table:
    """KEYS and the columns of the finished transfers among the runs, from the row groups that have any."""
    wanted = pa.array(list(run_ids), pa.string())
    file = pq.ParquetFile(path)
    groups = [group for group in range(file.num_row_groups) if _has_any(file, group, wanted)]
    read = file.read_row_groups(groups, columns=["run_id", "stage", "status", *KEYS, *columns])
    chosen = (pc.field("stage") == "transfer") & (pc.field("status") == "finished")
    return read.filter(chosen & pc.field("run_id").isin(wanted)).combine_chunks()


def _lengths(path: str | PathLike[str], epochs: pa.ChunkedArray, values: pa.ChunkedArray) -> Places:
    """The number of epochs of each curve. Raises ValueError if one has another number of values."""
    lengths, others = (pc.fill_null(pc.list_value_length(each), 0).to_numpy() for each in (epochs, values))
    if not np.array_equal(lengths, others):
        raise ValueError(f"{path} has curves with fewer or more values than epochs: {REMEDY}")
    found: Places = lengths.astype(np.int64)
    return found


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


def _check_schema(path: Path) -> list[str]:
    """The optional columns that the file lacks."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: write it with `subind export`")
    try:
        found = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is no Parquet file ({error}): {REMEDY}") from None
    lacked = [name for name in OPTIONAL if name not in found.names]
    for field in OF_ARITHMETIC:
        if field.name in lacked:
            continue
        if field.name not in found.names:
            raise ValueError(f"{path} lacks the column {field.name!r}: {REMEDY}")
        if found.field(field.name).type != field.type:
            given = found.field(field.name).type
            raise ValueError(f"{path} has {field.name!r} of type {given}, not {field.type}: {REMEDY}")
    return lacked


def _check_rows(rows: pd.DataFrame, path: str | PathLike[str]) -> None:
    if rows.empty and pq.read_metadata(path).num_rows == 0:
        raise ValueError(f"{path} has no rows, so nothing was planned: export a grid with cells")
    required = [field.name for field in OF_ARITHMETIC if not field.nullable]
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
