"""The index of a store's records: parts in its folder `index`, shared by all who read and write the store.

    index/rows-<version>-<digest>.parquet     see sweeps.exporting.record_parts

Parts are only added, merged and removed, by any number of processes at once. A row is valid if its run's record
still has the stamp under which it was read. A duplicate row is harmless. Rows of a broken or missing part are read
again from the records. So the index may be slow but never wrong, and removing it is always safe.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from subind.store.files import joined
from subind.store.local_files import LocalFiles
from subind.store.store import Store, opened_files
from sweeps.exporting.record_columns import RECORD_SCHEMA
from sweeps.exporting.record_parts import (
    PART_SCHEMA,
    ROWS_OF_A_GROUP,
    FinishedRun,
    Part,
    is_readable,
    key,
    opened,
    write_parts,
    written_part,
)

MOST_PARTS = 16
"""If there are more parts, the small ones are merged."""
FEWEST_ROWS = 10_000
"""A part with fewer rows is small."""

Positions = npt.NDArray[np.int64]


class RecordIndex:
    """The parts of a store's index, held open.

    `stamps` are those of the store's finished runs, and `scratch` is an empty folder of this machine for as long as
    the index is used. Errors of the index are never raised: rows that it cannot read or write come from the records.
    `damaged` says why records could not be read, by run; the records of the runs in `gone` have disappeared.
    """

    def __init__(self, store: Store, *, stamps: Mapping[str, str], scratch: Path) -> None:
        self._store = store
        self._stamps = stamps
        self._scratch = scratch
        self.damaged: Mapping[str, str] = {}
        self.gone: frozenset[str] = frozenset()
        self._files = opened_files(store.url)
        self._root = joined(self._files.root, "index")
        self._names = self._listed()
        self._parts = [part for name in self._names if (part := self._opened(name)) is not None]

    def rows(self, runs: Sequence[str | None], *, folder: Callable[[str], str]) -> "Rows":
        """The rows of the runs, in their order, null for None. Records that no part holds are read and added first.

        `folder` gives a run's folder in the store. Rows of records that are damaged or gone are null: see `damaged` and
        `gone`.
        """
        positions = self._positions(runs)
        absent = [run for run, place in zip(runs, positions.tolist(), strict=True) if run is not None and place < 0]
        if absent:
            found = [FinishedRun(run=run, folder=folder(run), stamp=self._stamps.get(run, "")) for run in absent]
            written = write_parts(self._store, found, self._scratch)
            self._add(written.paths, is_trusted=all(each.stamp for each in found))
            self.damaged, self.gone = written.damaged, written.gone
            positions = self._positions(runs)
        return Rows(self._parts, positions)

    def tidy(self) -> None:
        """If there are many parts, merge the valid rows of the small ones, and remove parts that cannot be read."""
        if len(self._names) <= MOST_PARTS:
            return
        small = [part for part in self._parts if part.num_rows < FEWEST_ROWS]
        unreadable = set(self._names).difference(part.name for part in self._parts)
        current = pa.array([key(run, stamp) for run, stamp in self._stamps.items()])
        with suppress(OSError):
            merged = written_part(self._scratch, _merged(small, current))
            self._publish(merged)
            self._remove({*unreadable, *(part.name for part in small)} - {merged.name})

    def _positions(self, runs: Sequence[str | None]) -> Positions:
        """The place of each run's row in all parts together; -1 for none."""
        if not self._parts:
            return np.full(len(runs), -1, dtype=np.int64)
        keys = [None if run is None else key(run, self._stamps.get(run, "")) for run in runs]
        known = pa.chunked_array([part.keys for part in self._parts])
        return np.asarray(
            pc.fill_null(pc.index_in(pa.array(keys, pa.string()), known, skip_nulls=True), -1).to_numpy(),
            dtype=np.int64,
        )

    def _add(self, paths: Sequence[Path], *, is_trusted: bool) -> None:
        """Add parts that were just written; they are shared only if every record has a stamp."""
        for path in paths:
            part = opened(path)
            if part is None:
                raise OSError(f"{path} was just written and cannot be read: check the disk of {path.parent}")
            self._parts.append(part)
            if is_trusted:
                with suppress(OSError):
                    self._publish(path)

    # ---- files

    def _listed(self) -> list[str]:
        try:
            found = self._files.paths(self._root)
        except OSError:
            return []
        return sorted(name for path in found if (name := path.rpartition("/")[2]).startswith("rows-"))

    def _opened(self, name: str) -> Part | None:
        """A part of the store; a remote one is downloaded."""
        if isinstance(self._files, LocalFiles):
            return opened(Path(self._root, name))
        if is_readable(name):
            with suppress(OSError):
                (self._scratch / name).write_bytes(self._files.read(f"{self._root}/{name}"))
        return opened(self._scratch / name)

    def _publish(self, path: Path) -> None:
        """Put a part into the store; it appears whole."""
        self._names.append(path.name)
        self._files.replace(f"{self._root}/{path.name}", path.read_bytes())

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(OSError):
                self._files.remove(f"{self._root}/{name}")


class Rows:
    """Rows of RECORD_SCHEMA out of several parts, taken a slice after the other.

    A row group is read when the first row of it is taken and let go after the last, so that little is in memory where
    the rows are wanted about as they were written.
    """

    def __init__(self, parts: Sequence[Part], positions: Positions) -> None:
        self._groups = [(part, group) for part in parts for group in range(part.file.num_row_groups)]
        sizes = [part.file.metadata.row_group(group).num_rows for part, group in self._groups]
        self._starts = np.cumsum([0, *sizes])
        self._positions = positions
        self._group_of = np.searchsorted(self._starts, positions, side="right") - 1
        self._last_use = np.full(len(sizes), -1)
        present = positions >= 0
        np.maximum.at(self._last_use, self._group_of[present], np.flatnonzero(present))
        self._held: dict[int, pa.Table] = {}

    def taken(self, start: int, stop: int) -> pa.Table:
        """The rows from `start` to before `stop`."""
        positions, groups = self._positions[start:stop], self._group_of[start:stop]
        present = positions >= 0
        wanted = np.unique(groups[present])
        if not wanted.size:
            nulls = [pa.nulls(len(positions), each.type) for each in RECORD_SCHEMA]
            return pa.Table.from_arrays(nulls, schema=RECORD_SCHEMA)
        tables = [self._group(group) for group in wanted.tolist()]
        firsts = np.cumsum([0, *(table.num_rows for table in tables)])
        places = positions - self._starts[groups] + firsts[np.searchsorted(wanted, groups).clip(max=len(wanted) - 1)]
        self._held = {group: table for group, table in self._held.items() if self._last_use[group] >= stop}
        together = pa.concat_tables(tables)
        if present.all() and (np.diff(places) == 1).all():
            return together.slice(places[0], len(places))
        return together.take(pa.array(places, mask=~present))

    def _group(self, number: int) -> pa.Table:
        if number not in self._held:
            part, place = self._groups[number]
            self._held[number] = part.file.read_row_group(place, columns=RECORD_SCHEMA.names)
        return self._held[number]


def _merged(parts: Sequence[Part], current: pa.Array) -> Iterator[pa.Table]:
    """The rows of the parts whose key is among the current ones, each key once, in tables of a row group's size."""
    left = pa.concat_arrays([part.keys for part in parts])
    holds = np.asarray(pc.is_in(left, current))
    _, first = np.unique(left.dictionary_encode().indices.to_numpy(), return_index=True)
    holds &= np.isin(np.arange(len(left)), first)
    waiting, start = PART_SCHEMA.empty_table(), 0
    for part in parts:
        for group in range(part.file.num_row_groups):
            table = part.file.read_row_group(group)
            waiting = pa.concat_tables([waiting, table.filter(pa.array(holds[start : start + table.num_rows]))])
            start += table.num_rows
            if waiting.num_rows >= ROWS_OF_A_GROUP:
                yield waiting.combine_chunks()
                waiting = PART_SCHEMA.empty_table()
    if waiting.num_rows:
        yield waiting.combine_chunks()
