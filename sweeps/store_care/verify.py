"""`subind verify`: check every checksum of a store, list what depends on damaged files, and reset damaged runs.

It reads all records, artifacts and weights, a few megabytes at a time. An interrupted verification continues: the
store's `index/` keeps size and time of each file that was found whole, until the verification ends or a day has
passed. The next verification reads everything again, because a disk that loses bits changes no time.
"""

import hashlib
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

import orjson

from subind.specs.runs import Stage
from subind.store.errors import DamagedError
from subind.store.files import FileEntry, joined
from subind.store.results import RunRecord
from subind.store.store import Store, opened_files
from sweeps.exporting.record_columns import check_measured
from sweeps.watching.which_run import stored_runs

BLOCK_BYTES = 8_000_000
"""The bytes of a file that are in memory during a check."""

SECONDS_BETWEEN_NOTES = 10.0
"""How often the list of whole files is saved."""

SECONDS_OF_NOTES = 86_400.0
"""How long an interrupted verification can be continued."""

WEIGHTS = re.compile(r"([0-9a-f]{64})\.safetensors")
NAMED_WEIGHTS = re.compile(r".+\.sha256")

Kind = Literal["record", "artifact", "weights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A run of the store: its id, stage and folder."""

    run: str
    stage: Stage
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A damaged file: its kind, its damage and its run; `run` is empty for imported weights."""

    kind: Kind
    path: str
    why: str
    run: str = ""
    stage: Stage | None = None
    folder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of a verification: records and bytes that were read, and their totals."""

    num_records: int
    num_runs: int
    num_bytes: int
    all_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of a verification. `parents` has the parents in each run's record; `num_skipped` files were known
    as whole.
    """

    damages: tuple[Damage, ...]
    num_runs: int
    num_files: int
    num_skipped: int
    num_bytes: int
    parents: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file and its expected checksum."""

    path: str
    sha256: str
    num_bytes: int | None
    kind: Kind
    place: Place | None = None


def places_in(store: Store) -> list[Place]:
    """All runs of which the store has a folder with a record, readable or not."""
    listing, root = store.listing(), opened_files(store.url).root
    ended = listing.finished.keys() | listing.damaged.keys()
    return [
        Place(run=run, stage=known.stage, folder=joined(root, "runs", known.stage, known.folder))
        for run, known in stored_runs(store).items()
        if run in ended
    ]


def weights_in(store: Store) -> list[str]:
    """The names of all files of imported weights, and of what names them."""
    files = opened_files(store.url)
    names = [path.rpartition("/")[2] for path in files.paths(joined(files.root, "weights"))]
    return [name for name in names if WEIGHTS.fullmatch(name) or NAMED_WEIGHTS.fullmatch(name)]


def verify(
    store: Store,
    places: Sequence[Place],
    weights: Sequence[str],
    *,
    scope: str,
    tell: Callable[[Progress], None] = lambda _progress: None,
) -> Verified:
    """Check the runs and the files of weights. `scope` names what is checked, so that it can be continued."""
    notes = _Notes(store, scope)
    damages: list[Damage] = []
    expected: list[_File] = []
    parents: dict[str, tuple[str, ...]] = {}
    records = store.records_or_errors([(each.folder, each.run) for each in places])
    for number, (place, record) in enumerate(zip(places, records, strict=True), start=1):
        tell(Progress(num_records=number, num_runs=len(places), num_bytes=0, all_bytes=0))
        try:
            if not isinstance(record, RunRecord):
                raise record
            check_measured(record)
            parents[place.run] = record.parents
            expected += _artifacts(place, record)
        except FileNotFoundError as error:
            if _is_listed(store, place):
                damages.append(_of_record(place, str(error)))
        except ValueError as error:
            damages.append(_of_record(place, str(error)))
    named, wrong = _weights(store, weights)
    damages += wrong
    files = _Files(store, notes)
    try:
        damages += files.damages([*expected, *named], num_runs=len(places), tell=tell)
    except BaseException:
        notes.write()
        raise
    notes.remove()
    return Verified(
        damages=tuple(damages),
        num_runs=len(places),
        num_files=len(expected) + len(named),
        num_skipped=files.num_skipped,
        num_bytes=files.num_bytes,
        parents=parents,
    )


def _is_listed(store: Store, place: Place) -> bool:
    """Whether something is in the record's place, such as a dangling link."""
    return place.run in store.listing().damaged


def _of_record(place: Place, why: str) -> Damage:
    path = joined(place.folder, "record.json")
    return Damage(kind="record", path=path, why=why, run=place.run, stage=place.stage, folder=place.folder)


def _artifacts(place: Place, record: RunRecord) -> list[_File]:
    return [
        _File(
            path=joined(place.folder, each.file),
            sha256=each.sha256,
            num_bytes=each.num_bytes,
            kind="artifact",
            place=place,
        )
        for each in record.artifacts.values()
    ]


def _weights(store: Store, names: Iterable[str]) -> tuple[list[_File], list[Damage]]:
    """The files of weights with the checksums in their names, and the names without a file."""
    root = joined(opened_files(store.url).root, "weights")
    files, wrong = [], []
    for name in names:
        if match := WEIGHTS.fullmatch(name):
            files.append(_File(path=joined(root, name), sha256=match[1], num_bytes=None, kind="weights"))
            continue
        try:
            digest = store.named_weights(name.removesuffix(".sha256"))
        except ValueError as error:
            wrong.append(Damage(kind="weights", path=joined(root, name), why=str(error)))
            continue
        if digest is None or not store.has_weights(digest):
            why = "it names weights that are not there: import the file again"
            wrong.append(Damage(kind="weights", path=joined(root, name), why=why))
    return files, wrong


class _Files:
    """Check files one by one, and count the bytes that were read and skipped."""

    def __init__(self, store: Store, notes: "_Notes") -> None:
        self._store = store
        self._files = opened_files(store.url)
        self._notes = notes
        self.num_skipped = 0
        self.num_bytes = 0

    def damages(
        self, expected: Sequence[_File], *, num_runs: int, tell: Callable[[Progress], None]
    ) -> Iterator[Damage]:
        """The damage of the files."""
        entries = self._entries(expected)
        all_bytes = sum(entries[file.path].num_bytes for file in expected if file.path in entries)
        before = 0

        def tell_read(num_bytes: int) -> None:
            tell(Progress(num_records=num_runs, num_runs=num_runs, num_bytes=before + num_bytes, all_bytes=all_bytes))

        for file in expected:
            entry = entries.get(file.path)
            why = "it is missing, or not a file" if entry is None else self._why_damaged(file, entry, tell_read)
            before += 0 if entry is None else entry.num_bytes
            if why:
                owner = {} if file.place is None else asdict(file.place)
                yield Damage(kind=file.kind, path=file.path, why=why, **owner)

    def _entries(self, expected: Iterable[_File]) -> dict[str, FileEntry]:
        """Listing entries of the files, by path; an object store is listed once."""
        if not self._store.is_local:
            return {entry.path: entry for part in ("runs", "weights") for entry in self._store.tree(part)}
        folders = dict.fromkeys(file.path.rpartition("/")[0] for file in expected)
        return {entry.path: entry for folder in folders for entry in self._files.entries(folder)}

    def _why_damaged(self, file: _File, entry: FileEntry, tell_read: Callable[[int], None]) -> str:
        """The damage of the file; empty if it is whole. `tell_read` is called with the bytes read so far."""
        if file.num_bytes is not None and entry.num_bytes != file.num_bytes:
            return f"it has {entry.num_bytes:,} bytes, and {file.num_bytes:,} were committed"
        if self._notes.has(entry, file.sha256):
            self.num_skipped += 1
            return ""
        digest, num_bytes = hashlib.sha256(), 0
        try:
            for block in self._files.blocks(file.path, num_bytes=BLOCK_BYTES):
                digest.update(block)
                num_bytes += len(block)
                tell_read(num_bytes)
        except FileNotFoundError:
            return "it is missing, or not a file"
        except DamagedError as error:
            return str(error)
        self.num_bytes += num_bytes
        if digest.hexdigest() != file.sha256:
            return "its checksum differs from the one that was committed"
        self._notes.add(entry, file.sha256)
        return ""


class _Notes:
    """Files that an interrupted verification found whole, by path: size, time and checksum."""

    def __init__(self, store: Store, scope: str) -> None:
        self._files = opened_files(store.url)
        digest = hashlib.sha256(scope.encode()).hexdigest()[:12]
        self._path = joined(self._files.root, "index", f"verified-{digest}.json")
        self._known: dict[str, list[Any]] = {}
        self._begun, self._written = time.time(), time.monotonic()
        with suppress(OSError, ValueError, KeyError, TypeError):
            data = orjson.loads(self._files.read(self._path))
            if 0 <= time.time() - float(data["begun"]) < SECONDS_OF_NOTES:
                self._known = {str(path): list(each) for path, each in data["whole"].items()}
                self._begun = float(data["begun"])

    def has(self, entry: FileEntry, sha256: str) -> bool:
        """Whether the file was found whole and is unchanged since."""
        return self._known.get(entry.path) == [entry.num_bytes, entry.modified, sha256]

    def add(self, entry: FileEntry, sha256: str) -> None:
        """Note that a file is whole."""
        self._known[entry.path] = [entry.num_bytes, entry.modified, sha256]
        if time.monotonic() - self._written > SECONDS_BETWEEN_NOTES:
            self.write()

    def write(self) -> None:
        """Save the notes."""
        with suppress(OSError):  # without notes an interruption costs time, and nothing else
            self._files.replace(self._path, orjson.dumps({"begun": self._begun, "whole": self._known}))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Forget everything: the verification has ended."""
        with suppress(OSError):
            self._files.remove(self._path)


# ---- what follows


def finished_below(damaged: Iterable[str], parents: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """The runs with a record that descend from the damaged ones."""
    found, left = set(damaged), dict(parents)
    while more := {run for run, of in left.items() if run not in found and not found.isdisjoint(of)}:
        found |= more
    return frozenset(found - set(damaged))


def repaired(store: Store, damages: Iterable[Damage]) -> Iterator[tuple[str, str]]:
    """Move the folder of each damaged run, and each damaged file of weights, into `damaged/`: where from, and to.

    The runs are missing from then on; nothing is deleted. What has been mended since it was checked is left alone.
    """
    files = opened_files(store.url)
    for path, damage in {each.folder or each.path: each for each in damages}.items():
        place = Place(run=damage.run, stage=damage.stage or "donor", folder=damage.folder)
        if damage.folder and not verify(store, [place], [], scope=f"repair of {path}").damages:
            continue
        target = f"damaged/{path.removeprefix(files.root).strip('/')}-{uuid.uuid4().hex[:8]}"
        try:
            files.move(path, joined(files.root, target))
        except FileNotFoundError:
            continue
        yield path, target
