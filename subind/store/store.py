"""The store of runs: a folder on any fsspec path, the only truth about what is finished.

    runs/<stage>/<slug>-<id>/record.json      written last and atomically: a run without it does not exist
    runs/<stage>/<slug>-<id>/failure.json     why a run has failed so far
    weights/<sha256>.safetensors              imported weights, from which donors may start
    weights/<name>.sha256                     which of them torchvision publishes under a name
    checkpoints/<pack>.{json,safetensors}     a pack under way; removed once its runs are committed
    running/<pack>.json                       a heartbeat of the worker that computes the pack
    images.json                               the photographs of the last sweep on any (sweeps/inputs/photographs.py)
    index/, stories/                          derived from records, noted by drivers; may be removed at any time
    damaged/                                  what `subind verify --repair` has moved aside; nobody reads it

Of two writers of the same run the first commit wins; the other one learns it. Nothing is unpickled or executed.
"""

import hashlib
import json
import pathlib
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from subind.identity.json_files import MOST_BYTES, parsed
from subind.identity.run_ids import run_id
from subind.specs.run import STAGES, Run
from subind.store.damage import REPAIR, Reports
from subind.store.errors import DamagedError, shown
from subind.store.files import FileEntry, Files, joined
from subind.store.listing import Listing, listing_of_folders, local_listing, remote_listing
from subind.store.local_files import LocalFiles
from subind.store.mounts import network_file_system
from subind.store.names import slug
from subind.store.record_json import check_fits, record_of
from subind.store.remote_files import FIRST_PATIENCE_SECONDS, RemoteFiles
from subind.store.results import Artifact, Failure, RunRecord
from subind.store.under_way import (
    HEARTBEAT_SECONDS,
    PLAIN_NAME,
    Checkpoint,
    CheckpointFile,
    Heartbeat,
    checkpoint_from,
    heartbeat_from,
    is_live,
    pack_file,
)

__all__ = ["HEARTBEAT_SECONDS", "Checkpoint", "Heartbeat", "Store"]

_BEAT = re.compile(r"[^.].*\.json")


def opened_files(url: str, *, patience_seconds: float = FIRST_PATIENCE_SECONDS) -> Files:
    """The files below a folder or any fsspec URL. Raises ValueError if no file system is known or installed for it."""
    if "://" in url and not url.startswith(("file://", "local://")):
        return RemoteFiles(url, patience_seconds=patience_seconds)
    return LocalFiles(url)


class Store:
    """The runs under one root. `url` is a folder or any fsspec URL, such as s3://bucket/sweep."""

    def __init__(self, url: str, *, patience_seconds: float = FIRST_PATIENCE_SECONDS) -> None:
        """`patience_seconds` is how long an object store is asked again that has not answered yet."""
        self.url = url
        self._files, self._reports = opened_files(url, patience_seconds=patience_seconds), Reports()
        self._root = self._files.root

    @property
    def is_local(self) -> bool:
        """Whether the store is a folder of this machine (or mounted on it)."""
        return isinstance(self._files, LocalFiles)

    def exists(self) -> bool:
        """Whether there is a folder, of a store at a URL whether anything is in it."""
        return pathlib.Path(self._root).is_dir() if self.is_local else bool(self._files.paths(self._root))

    def is_shared(self) -> bool:
        """Whether other machines see the same store: it is at a URL, or its folder is on a network file system."""
        return not self.is_local or network_file_system(self._root) != ""

    def check_writable(self, token: str) -> str:
        """Create, replace, read, list and remove a file; says where.

        Raises ValueError if the store does not do what is asked of it, OSError with the remedy if it cannot be reached.
        """
        path = self._path(f".check-{token}")
        if not self._files.create(path, token.encode()):
            raise ValueError(f"{shown(self.url)} has a file {path} already: choose another --store")
        try:
            wrong = self._lacking(path, token.encode() * 2)
        finally:
            self._files.remove(path)
        if wrong:
            raise ValueError(f"{shown(self.url)} {wrong}: choose another --store")
        return f"{shown(self.url)} can be written"

    def _lacking(self, path: str, content: bytes) -> str:
        """What the store does not do of what is asked of it; empty if it does all. There is a file at the path."""
        if self._files.create(path, b"second"):
            return "lets a second writer replace what a first one has created"
        self._files.replace(path, content)
        if self._files.read(path) != content:
            return "gave back other bytes than were written"
        listed = {entry.path.rpartition("/")[2] for entry in self._files.entries(self._root)}
        return "" if path.rpartition("/")[2] in listed else "does not list what was written"

    def tree(self, *parts: str) -> Iterator[FileEntry]:
        """All files in a folder of the store and below, from as few looks as can be."""
        return self._files.tree(self._path(*parts))

    def now(self) -> float:
        """The time by the store's clock, by which the files of `tree` are dated."""
        return self._files.now()

    def remove_file(self, entry: FileEntry) -> None:
        """Remove a file that `tree` listed, if it still exists."""
        self._files.remove(entry.path)

    # ---- runs

    def folder(self, spec: Run) -> str:
        """The run's folder, as a path of the store's file system."""
        return self._path("runs", spec.stage, f"{slug(spec)}-{run_id(spec)}")

    def listing(self) -> Listing:
        """The finished and the failed runs, in one look at every folder."""
        match self._files:
            case RemoteFiles() as files:
                return remote_listing(files.found(self._path("runs")))
            case _:
                return local_listing(self._path("runs"))

    def listing_of(self, several: Iterable[Run]) -> Listing:
        """The finished and the failed among a few runs, without stamps and without a look at any other run."""
        return listing_of_folders(self._files, {run_id(spec): self.folder(spec) for spec in several})

    def finished(self) -> frozenset[str]:
        """The ids of all runs that are committed."""
        return frozenset(self.listing().finished)

    def is_finished(self, spec: Run) -> bool:
        """Whether the run is committed."""
        return self._files.exists(joined(self.folder(spec), "record.json"))

    def record(self, spec: Run) -> RunRecord:
        """The run's record. Raises FileNotFoundError if there is none, ValueError if the file is not its record."""
        return self.record_in(self.folder(spec), run_id(spec))

    def record_in(self, folder: str, run: str) -> RunRecord:
        """The record of the run with that id, whose folder is known. Raises as `record` does."""
        return next(self.records_in([(folder, run)]))

    def records_in(self, several: Iterable[tuple[str, str]]) -> Iterator[RunRecord]:
        """The records of runs whose folders are known, in order; an object store is asked for many at once.

        Raises as `record` does.
        """
        for record in self.records_or_errors(several):
            if not isinstance(record, RunRecord):
                raise record
            yield record

    def sampled_records(self, most: int) -> list[RunRecord]:
        """At most so many records, those of each stage evenly spread over the names of its runs; only readable ones."""
        chosen: list[tuple[str, str]] = []
        for place, stage in enumerate(STAGES):
            folders = sorted(self._files.paths(self._path("runs", stage)))
            share = (most - len(chosen)) // (len(STAGES) - place)
            some = folders[:: max(1, -(-len(folders) // max(1, share)))]
            chosen += [(folder, folder.rpartition("-")[2]) for folder in some]
        return list(self.readable_records(chosen))

    def readable_records(self, several: Iterable[tuple[str, str]]) -> Iterator[RunRecord]:
        """The records of runs whose folders are known, in order, less those that cannot be read."""
        return (each for each in self.records_or_errors(several) if isinstance(each, RunRecord))

    def records_or_errors(self, several: Iterable[tuple[str, str]]) -> Iterator[RunRecord | ValueError | OSError]:
        """The records of runs whose folders are known, in order, or why one cannot be read."""
        places = list(several)
        paths = (joined(folder, "record.json") for folder, _ in places)
        contents = self._files.contents(paths, most=MOST_BYTES)
        for (folder, run), content in zip(places, contents, strict=True):
            if isinstance(content, OSError):
                yield content
                continue
            try:
                yield record_of(content, joined(folder, "record.json"), run)
            except ValueError as error:
                yield error

    def commit(self, spec: Run, record: RunRecord, files: Mapping[str, bytes]) -> bool:
        """Write the artifacts, then the record; the run is finished from then on. False if another writer was first.

        A record of the same run that lacks one of the artifacts is replaced: a recipient that is kept after all.

        Artifacts are named by their content, so that two writers never mix. Raises ValueError, before anything is
        written, if the record is too large, holds NaN or a value of another type than declared; OSError if it cannot be
        written.
        """
        check_fits(record)
        folder = self.folder(spec)
        artifacts = {name: self._write_artifact(folder, name, content) for name, content in files.items()}
        data = {**record.data(), "artifacts": {name: asdict(artifact) for name, artifact in artifacts.items()}}
        content = json.dumps(data, sort_keys=True, allow_nan=False).encode()
        first = self._files.create(joined(folder, "record.json"), content)
        if not first and artifacts and self._lacks(folder, record.run_id, artifacts):
            self._files.replace(joined(folder, "record.json"), content)
            first = True
        self._files.remove(joined(folder, "failure.json"))
        return first

    def _lacks(self, folder: str, run: str, artifacts: Collection[str]) -> bool:
        """Whether the run's record is whole and lacks one of the artifacts."""
        try:
            return not self.record_in(folder, run).artifacts.keys() >= set(artifacts)
        except (FileNotFoundError, ValueError):
            return False

    def artifact(self, spec: Run, name: str) -> bytes:
        """The content of a run's artifact. Raises ValueError if it is absent or not what was committed."""
        return self.artifact_in(self.folder(spec), run_id(spec), name)

    def artifact_in(self, folder: str, run: str, name: str) -> bytes:
        """The same of the run whose folder is known."""
        artifacts = self.record_in(folder, run).artifacts
        if name not in artifacts:
            raise ValueError(f"run {run} has no artifact {name!r}: it has {sorted(artifacts)}")
        path = joined(folder, artifacts[name].file)
        content = self._files.read(path)
        if hashlib.sha256(content).hexdigest() != artifacts[name].sha256:
            raise DamagedError(f"{path} is damaged (its checksum differs): {REPAIR}")
        return content

    # ---- imported weights

    def add_weights(self, content: bytes) -> str:
        """Keep a file of weights under its SHA-256, which is returned."""
        digest = hashlib.sha256(content).hexdigest()
        self._files.replace(self._weights_path(digest), content)
        return digest

    def has_weights(self, sha256: str) -> bool:
        """Whether the file of weights is there."""
        return self._files.exists(self._weights_path(sha256))

    def weights(self, sha256: str) -> bytes:
        """A file of weights by its SHA-256. Raises FileNotFoundError if it is absent, ValueError if it is damaged."""
        content = self._files.read(self._weights_path(sha256))
        if hashlib.sha256(content).hexdigest() != sha256:
            raise DamagedError(f"{self._weights_path(sha256)} is damaged (its checksum differs): import the file again")
        return content

    def weights_beginning(self, sha256: str, num_bytes: int) -> bytes:
        """So many bytes of a file of weights, of a shorter one all. Raises FileNotFoundError if it is absent."""
        return self._files.read(self._weights_path(sha256), most=num_bytes - 1)[:num_bytes]

    def name_weights(self, name: str, sha256: str) -> None:
        """Give stored weights the name of a published file."""
        self._files.replace(self._path("weights", f"{name}.sha256"), sha256.encode())

    def named_weights(self, name: str) -> str | None:
        """The SHA-256 of the weights that a published file's name stands for; None if it was not imported."""
        path = self._path("weights", f"{name}.sha256")
        if not self._files.exists(path):
            return None
        digest = self._files.read(path, most=MOST_BYTES).decode(errors="replace")
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise DamagedError(f"{path} holds no SHA-256: import the file again")
        return digest

    def _weights_path(self, sha256: str) -> str:
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise ValueError(f"sha256 is {sha256!r}: give the 64 hexadecimal digits that `subind import FILE` prints")
        return self._path("weights", f"{sha256}.safetensors")

    # ---- failures

    def fail(self, spec: Run, failure: Failure) -> None:
        """Write why the run failed; a run that is finished stays finished."""
        if not self.is_finished(spec):
            self._files.replace(self.failure_path(spec), json.dumps(asdict(failure), sort_keys=True).encode())

    def failure_path(self, spec: Run) -> str:
        """Where the run's failure is written, traceback included."""
        return joined(self.folder(spec), "failure.json")

    def failed(self) -> frozenset[str]:
        """The ids of all runs that have a failure and no record."""
        return self.listing().failed

    def failure(self, spec: Run) -> Failure:
        """Why the run failed. Raises FileNotFoundError if it did not."""
        path = self.failure_path(spec)
        return Failure.from_data(self._read_json(path), source=path)

    def forgive(self, spec: Run) -> None:
        """Forgive the run's failure, so that it is tried again."""
        self._files.remove(self.failure_path(spec))

    # ---- packs under way

    def save_checkpoint(self, checkpoint: Checkpoint, content: bytes) -> None:
        """Replace the pack's checkpoint; a reader sees the old one or the new one, whole."""
        digest = hashlib.sha256(content).hexdigest()
        file = pack_file(checkpoint.pack, f"-{digest[:8]}.safetensors")
        self._files.replace(self._path("checkpoints", file), content)
        described = CheckpointFile(**asdict(checkpoint), file=file, sha256=digest)
        self._files.replace(self._checkpoint_path(checkpoint.pack), json.dumps(asdict(described)).encode())
        self._sweep_checkpoint_files(checkpoint.pack, keep=file)

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """All packs under way that have a checkpoint; a damaged description of one is reported and left out."""
        paths = (path for path in self._files.paths(self._path("checkpoints")) if path.endswith(".json"))
        told = (self._reports.unless_damaged(partial(self._checkpoint_file, path)) for path in paths)
        return tuple(sorted((each.checkpoint() for each in told if each is not None), key=lambda each: each.pack))

    def checkpoint_content(self, pack: str) -> bytes | None:
        """The pack's checkpoint, or None if there is none or it is not whole."""
        described = self._reports.unless_damaged(lambda: self._checkpoint_file(self._checkpoint_path(pack)))
        if described is None:
            return None
        try:
            content = self._files.read(self._path("checkpoints", described.file))
        except (FileNotFoundError, DamagedError):
            return None
        return content if hashlib.sha256(content).hexdigest() == described.sha256 else None

    def remove_checkpoint(self, pack: str) -> None:
        """Remove the pack's checkpoint, if there is one."""
        self._files.remove(self._checkpoint_path(pack))
        self._sweep_checkpoint_files(pack, keep="")

    def beat(self, heartbeat: Heartbeat) -> None:
        """Write the heartbeat of a pack."""
        self._files.replace(self._heartbeat_path(heartbeat.pack), json.dumps(asdict(heartbeat)).encode())

    def heartbeats(self) -> tuple[Heartbeat, ...]:
        """The packs with a recent heartbeat, by the store's clock.

        `time` of each is when it was written as the reader's clock would have said. A damaged file is reported and
        left out.
        """
        entries = [each for each in self._files.entries(self._path("running")) if _BEAT.fullmatch(each.name)]
        found = []
        for entry in entries:
            beat, age = self._reports.unless_damaged(partial(self._heartbeat, entry.path)), self.now() - entry.modified
            if beat is not None and is_live(beat, age_seconds=age):
                found.append(replace(beat, time=time.time() - max(age, 0.0)))
        return tuple(found)

    def stop_beating(self, pack: str) -> None:
        """Remove the heartbeat of a pack, and the half-written one of a dead worker."""
        path = self._heartbeat_path(pack)
        self._files.remove(path)
        for each in self._files.paths(self._path("running")):
            if each.rpartition("/")[2].startswith(f".{path.rpartition('/')[2]}."):
                self._files.remove(each)

    # ---- files

    def _path(self, *parts: str) -> str:
        return joined(self._root, *parts)

    def _checkpoint_path(self, pack: str) -> str:
        return self._path("checkpoints", pack_file(pack, ".json"))

    def _heartbeat_path(self, pack: str) -> str:
        return self._path("running", pack_file(pack, ".json"))

    def _read_json(self, path: str) -> Any:
        return parsed(self._files.read(path, most=MOST_BYTES), source=path)

    def _heartbeat(self, path: str) -> Heartbeat | None:
        with suppress(FileNotFoundError):
            return heartbeat_from(self._read_json(path), source=path)
        return None

    def _checkpoint_file(self, path: str) -> CheckpointFile | None:
        with suppress(FileNotFoundError):
            return checkpoint_from(self._read_json(path), source=path)
        return None

    def _write_artifact(self, folder: str, name: str, content: bytes) -> Artifact:
        assert PLAIN_NAME.fullmatch(name), f"the artifact {name!r} has no plain name"
        digest = hashlib.sha256(content).hexdigest()
        stem, dot, ending = name.partition(".")
        file = f"{stem}-{digest[:8]}{dot}{ending}"
        self._files.replace(joined(folder, file), content)
        return Artifact(file=file, num_bytes=len(content), sha256=digest)

    def _sweep_checkpoint_files(self, pack: str, *, keep: str) -> None:
        for path in self._files.paths(self._path("checkpoints")):
            name = path.rsplit("/", 1)[1]
            if re.fullmatch(rf"{re.escape(pack)}-[0-9a-f]{{8}}\.safetensors", name) and name != keep:
                self._files.remove(path)
