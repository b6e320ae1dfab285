"""Writing result rows and parts of the index as Parquet."""

import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from subind.specs.quoting import quoted_path

LOSSES = ("curve_train_loss", "curve_validation_loss")
"""Columns whose values hardly repeat. Split into byte streams, float32 losses take half the time and room of a
dictionary of doubles; accuracies are counts of samples and repeat, so that a dictionary suits them."""


def row_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of tables of the schema, to be used as a context."""
    leaves = {leaf: field.name in LOSSES for field in schema for leaf in _leaves(field.name, field.type)}
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=[leaf for leaf, is_loss in leaves.items() if not is_loss],
        column_encoding={leaf: "BYTE_STREAM_SPLIT" for leaf, is_loss in leaves.items() if is_loss},
    )


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary file next to `path`. It replaces `path` at the end of the block, or vanishes if the block raises."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_side_table(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Write a file next to the rows, whole or not at all; no file for no rows."""
    if not rows:
        path.unlink(missing_ok=True)
        return
    with written_whole(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)


def _leaves(path: str, kind: pa.DataType) -> Iterator[str]:
    """The Parquet columns of a field."""
    if pa.types.is_map(kind):
        yield from (f"{path}.key_value.key", f"{path}.key_value.value")
    elif pa.types.is_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path


OF_ROWS = frozenset({"run_id", "stage", "status"})
"""Columns that identify a file of result rows."""


def check_rows_target(path: Path) -> None:
    """Refuse to overwrite anything but rows. Raises ValueError naming the option, the path and what is there."""
    if not path.name:
        raise ValueError(f"--rows is {quoted_path(path)}, which is not a file name: give one such as rows.parquet")
    if re.match(r"[a-zA-Z][\w+.-]*:/", str(path)):
        raise ValueError(f"--rows is {quoted_path(path)}, a URL: rows are written to a file of this machine")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
        raise ValueError(f"--rows is {quoted_path(path)}, which is {kind}: give the path of a file")
    if not _columns(path) >= OF_ROWS:
        raise ValueError(
            f"--rows is {quoted_path(path)}, a file that holds no result rows: give a new path, or remove it"
        )


def _columns(path: Path) -> frozenset[str]:
    """The columns of a Parquet file; none of any other file."""
    try:
        return frozenset(pq.read_schema(path).names)
    except (pa.ArrowInvalid, OSError):
        return frozenset()
