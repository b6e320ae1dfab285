"""Parts: Parquet files with one row of columns per record, so that each record is parsed once.

A row has the run's id and the stamp of the record's file when it was read. A part's name contains VERSION, so that
code never reads what other code derived, and a digest of its content, so that damage is detected.
"""

import hashlib
import inspect
import multiprocessing
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from subind.store.damage import REPAIR
from subind.store.results import RunRecord
from subind.store.store import Store
from sweeps.exporting import record_columns
from sweeps.exporting.record_columns import RECORD_SCHEMA, check_measured, measured_table
from sweeps.exporting.row_files import row_writer
from sweeps.hosts.workers import num_cores

VERSION = hashlib.sha256(inspect.getsource(record_columns).encode()).hexdigest()[:8]
"""The version of the code that derives the columns."""

PREFIX = f"rows-{VERSION}-"

SEPARATOR = " "
_KEYS = [pa.field("run_id", pa.string(), nullable=False), pa.field("stamp", pa.string(), nullable=False)]
PART_SCHEMA = pa.schema([*_KEYS, *RECORD_SCHEMA])

ROWS_OF_A_GROUP = 2048
"""The rows of a row group: 12 MB with 100 epochs."""

FEWEST_FOR_A_PROCESS = 1000
"""From this many records on, a further process is worth the second that it takes to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A committed run: its id, its folder in the store, and the stamp of its record's file."""

    run: str
    folder: str
    stamp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An open part; `keys` has `key(run, stamp)` of each row."""

    name: str
    file: pq.ParquetFile
    keys: pa.Array

    @property
    def num_rows(self) -> int:
        """Its rows."""
        return len(self.keys)


def key(run: str, stamp: str) -> str:
    """The key of a row; a record that was rewritten has another key."""
    return f"{run}{SEPARATOR}{stamp}"


def is_readable(name: str) -> bool:
    """Whether a file of that name is a part that this code has written."""
    return name.startswith(PREFIX)


def opened(path: Path) -> Part | None:
    """The part at a path of this machine; None if it is gone, damaged or of other code."""
    try:
        if not is_readable(path.name) or not path.is_file() or path.name != _named_by_content(path):
            return None
        file = pq.ParquetFile(path)
        table = file.read(columns=["run_id", "stamp"])
    except (OSError, pa.ArrowException):
        return None
    keys = pc.binary_join_element_wise(*(each.combine_chunks() for each in table.columns), SEPARATOR)
    return Part(name=path.name, file=file, keys=keys)


def written_part(folder: Path, tables: Iterable[pa.Table]) -> Path:
    """Write tables of PART_SCHEMA as a part, each as a row group; return the path, which names the content."""
    path = folder / uuid.uuid4().hex
    with row_writer(path, PART_SCHEMA) as writer:
        for table in tables:
            writer.write_table(table)
    return path.rename(folder / _named_by_content(path))


def _named_by_content(path: Path) -> str:
    with path.open("rb") as file:
        return f"{PREFIX}{hashlib.file_digest(file, 'sha256').hexdigest()[:32]}.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The parts that were written, the damage of damaged records by run, and the runs whose record was gone."""

    paths: Sequence[Path]
    damaged: Mapping[str, str]
    gone: frozenset[str]


def write_parts(store: Store, runs: Sequence[FinishedRun], folder: Path) -> Written:
    """Read the records of the runs and write parts into a local folder, on all cores if there are many records."""
    num_processes = min(num_cores(), len(runs) // FEWEST_FOR_A_PROCESS)
    if num_processes < 2:
        return _write_part(store.url, runs, folder)
    size = ceil(len(runs) / num_processes)
    shares = [runs[start : start + size] for start in range(0, len(runs), size)]
    with ProcessPoolExecutor(num_processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        several = list(pool.map(_write_part, [store.url] * len(shares), shares, [folder] * len(shares)))
    return Written(
        paths=[path for each in several for path in each.paths],
        damaged={run: why for each in several for run, why in each.damaged.items()},
        gone=frozenset(run for each in several for run in each.gone),
    )


def _write_part(url: str, runs: Sequence[FinishedRun], folder: Path) -> Written:
    damaged: dict[str, str] = {}
    gone: set[str] = set()
    groups = (runs[start : start + ROWS_OF_A_GROUP] for start in range(0, len(runs), ROWS_OF_A_GROUP))
    path = written_part(folder, (_part_table(Store(url), group, damaged, gone) for group in groups))
    return Written(paths=[path], damaged=damaged, gone=frozenset(gone))


def _part_table(store: Store, runs: Sequence[FinishedRun], damaged: dict[str, str], gone: set[str]) -> pa.Table:
    """The rows of the readable records; the others are added to the last two arguments."""
    read: list[FinishedRun] = []
    found: list[RunRecord] = []
    for each, record in zip(runs, store.records_or_errors((each.folder, each.run) for each in runs), strict=True):
        try:
            if not isinstance(record, RunRecord):
                raise record
            check_measured(record)
        except FileNotFoundError:
            gone.add(each.run)
        except ValueError as error:
            damaged[each.run] = f"{error}; {REPAIR}"
        else:
            read.append(each)
            found.append(record)
    columns = measured_table(found)
    keys = [pa.array([each.run for each in read], pa.string()), pa.array([each.stamp for each in read], pa.string())]
    return pa.Table.from_arrays([*keys, *columns.columns], schema=PART_SCHEMA)
