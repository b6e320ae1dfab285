"""The store of runs: a folder on any fsspec path, the only truth about what is finished.

    runs/<stage>/<slug>-<id>/record.json      written last and atomically: a run without it does not exist
    runs/<stage>/<slug>-<id>/failure.json     why a run has failed so far
    weights/<sha256>.safetensors              imported weights, from which donors may start
    checkpoints/<pack>.{json,safetensors}     a pack under way; removed once its runs are committed
    running/<pack>.json                       a heartbeat of the worker that computes the pack
    index/                                    what is derived from the records; may be removed at any time

Two writers of the same run: the first commit wins, the second is told so. Nothing here is unpickled or executed.
"""

import contextlib
import hashlib
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import fsspec
import orjson
from fsspec.implementations.local import LocalFileSystem

from subind import spec as specs
from subind.fingerprint import run_id
from subind.listing import Listing, local_listing, remote_listing
from subind.results import Artifact, Failure, RunRecord, checked_fields
from subind.spec import STAGES, Spec

HEARTBEAT_SECONDS = 10.0
"""How often a worker says that it lives; one silent for six of these is dead, as is one whose process has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A pack that a worker is computing: its runs, where, how far it is, and when (UNIX seconds) this was written."""

    pack: str
    runs: tuple[str, ...]
    host: str
    process: int
    epoch: int
    step: int
    num_steps: int
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A pack under way: its name and the runs whose state it holds, in replica order."""

    pack: str
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CheckpointFile:
    """What `checkpoints/<pack>.json` says: the file beside it that holds the state."""

    pack: str
    runs: tuple[str, ...]
    file: str
    sha256: str


def slug(spec: Spec) -> str:
    """The readable part of a run's folder, from the spec's leading fields."""
    layers = f"layers{specs.model(spec).num_layers}"
    match spec:
        case specs.Transfer(control=control, num_disambiguation=count):
            return f"{specs.control_name(control)}-{layers}-n{count}-seed{spec.seed}"
        case _:
            return f"{layers}-seed{spec.seed}"


class Store:
    """The runs under one root. `url` is a folder or any fsspec URL, such as s3://bucket/sweep."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, self._root = fsspec.core.url_to_fs(url)

    @property
    def is_local(self) -> bool:
        """Whether the store is a folder of this machine (or mounted on it)."""
        return isinstance(self._fs, LocalFileSystem)

    def is_shared(self) -> bool:
        """Whether other machines see the same store."""
        return not self.is_local

    def check_writable(self, token: str) -> str:
        """Write, read and remove a file; says where. Raises ValueError if what comes back is not what was written."""
        path = self._path(f".check-{token}")
        self._replace(path, token.encode())
        found = self._fs.cat_file(path)
        self._remove(path)
        if found != token.encode():
            raise ValueError(f"{self.url} gave back other bytes than were written: choose another --store")
        return f"{self.url} can be written"

    # ---- runs

    def folder(self, spec: Spec) -> str:
        """The run's folder, as a path of the store's file system."""
        return self._path("runs", specs.stage(spec), f"{slug(spec)}-{run_id(spec)}")

    def listing(self) -> Listing:
        """The finished and the failed runs, in one look at every folder."""
        if self.is_local:
            return local_listing(self._path("runs"))
        self._fs.invalidate_cache()
        return remote_listing(self._fs, self._path("runs"))

    def finished(self) -> frozenset[str]:
        """The ids of all runs that are committed."""
        return frozenset(self.listing().finished)

    def is_finished(self, spec: Spec) -> bool:
        """Whether the run is committed."""
        return bool(self._fs.exists(self._join(self.folder(spec), "record.json")))

    def record(self, spec: Spec) -> RunRecord:
        """The run's record. Raises FileNotFoundError if there is none, ValueError if the file is not its record."""
        return self.record_in(self.folder(spec), run_id(spec))

    def record_in(self, folder: str, run: str) -> RunRecord:
        """The record of the run with that id, whose folder is known. Raises as `record` does."""
        path = self._join(folder, "record.json")
        record = RunRecord.from_data(self._read_json(path), source=path)
        if record.run_id != run:
            raise ValueError(f"{path} is the record of run {record.run_id}, not of {run}: remove that folder")
        return record

    def sampled_records(self, most: int) -> list[RunRecord]:
        """At most so many records, those of each stage evenly spread over the names of its runs; only readable ones."""
        found: list[RunRecord] = []
        for place, stage in enumerate(STAGES):
            folders = sorted(self._list("runs", stage))
            share = (most - len(found)) // (len(STAGES) - place)
            for folder in folders[:: max(1, -(-len(folders) // max(1, share)))]:
                with contextlib.suppress(ValueError, OSError):
                    found.append(self.record_in(folder, folder.rpartition("-")[2]))
        return found

    def commit(self, spec: Spec, record: RunRecord, files: Mapping[str, bytes]) -> bool:
        """Write the artifacts, then the record; the run is finished from then on. False if another writer was first.

        Artifacts are named by their content, so that two writers never mix. Raises ValueError, before anything is
        written, if the record holds NaN or a value of another type than declared; OSError if it cannot be written.
        """
        RunRecord.from_data(record.data(), source=f"the record of run {record.run_id}")
        folder = self.folder(spec)
        artifacts = {name: self._write_artifact(folder, name, content) for name, content in files.items()}
        data = {**record.data(), "artifacts": {name: asdict(artifact) for name, artifact in artifacts.items()}}
        content = json.dumps(data, sort_keys=True, allow_nan=False).encode()
        first = self._create(self._join(folder, "record.json"), content)
        self._remove(self._join(folder, "failure.json"))
        return first

    def artifact(self, spec: Spec, name: str) -> bytes:
        """The content of a run's artifact. Raises ValueError if it is absent or not what was committed."""
        artifacts = self.record(spec).artifacts
        if name not in artifacts:
            raise ValueError(f"run {run_id(spec)} has no artifact {name!r}: it has {sorted(artifacts)}")
        found = artifacts[name]
        path = self._join(self.folder(spec), found.file)
        content: bytes = self._fs.cat_file(path)
        if hashlib.sha256(content).hexdigest() != found.sha256:
            raise ValueError(f"{path} is damaged (its checksum differs): remove its folder and run the sweep again")
        return content

    # ---- imported weights

    def add_weights(self, content: bytes) -> str:
        """Keep a file of weights under its SHA-256, which is returned."""
        digest = hashlib.sha256(content).hexdigest()
        self._replace(self._weights_path(digest), content)
        return digest

    def has_weights(self, sha256: str) -> bool:
        """Whether the file of weights is there."""
        return bool(self._fs.exists(self._weights_path(sha256)))

    def weights(self, sha256: str) -> bytes:
        """A file of weights by its SHA-256. Raises FileNotFoundError if it is absent, ValueError if it is damaged."""
        content: bytes = self._fs.cat_file(self._weights_path(sha256))
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"{self._weights_path(sha256)} is damaged (its checksum differs): import the file again")
        return content

    def _weights_path(self, sha256: str) -> str:
        return self._path("weights", f"{sha256}.safetensors")

    # ---- failures

    def fail(self, spec: Spec, failure: Failure) -> None:
        """Write why the run failed; a run that is finished stays finished."""
        if not self.is_finished(spec):
            self._replace(self.failure_path(spec), json.dumps(asdict(failure), sort_keys=True).encode())

    def failure_path(self, spec: Spec) -> str:
        """Where the run's failure is written, traceback included."""
        return self._join(self.folder(spec), "failure.json")

    def failed(self) -> frozenset[str]:
        """The ids of all runs that have a failure and no record."""
        return self.listing().failed

    def failure(self, spec: Spec) -> Failure:
        """Why the run failed. Raises FileNotFoundError if it did not."""
        path = self.failure_path(spec)
        return Failure.from_data(self._read_json(path), source=path)

    def forgive(self, spec: Spec) -> None:
        """Forget the run's failure, so that it is tried again."""
        self._remove(self.failure_path(spec))

    # ---- packs under way

    def save_checkpoint(self, checkpoint: Checkpoint, content: bytes) -> None:
        """Replace the pack's checkpoint; a reader sees the old one or the new one, whole."""
        file = f"{checkpoint.pack}-{uuid.uuid4().hex[:8]}.safetensors"
        self._replace(self._path("checkpoints", file), content)
        digest = hashlib.sha256(content).hexdigest()
        described = _CheckpointFile(pack=checkpoint.pack, runs=checkpoint.runs, file=file, sha256=digest)
        self._replace(self._path("checkpoints", f"{checkpoint.pack}.json"), json.dumps(asdict(described)).encode())
        self._sweep_checkpoint_files(checkpoint.pack, keep=file)

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """All packs under way that have a checkpoint."""
        paths = (path for path in self._list("checkpoints") if path.endswith(".json"))
        found = (described for path in paths if (described := self._checkpoint_file(path)) is not None)
        checkpoints = (Checkpoint(pack=each.pack, runs=each.runs) for each in found)
        return tuple(sorted(checkpoints, key=lambda each: each.pack))

    def checkpoint_content(self, pack: str) -> bytes | None:
        """The pack's checkpoint, or None if there is none or it is not whole."""
        described = self._checkpoint_file(self._path("checkpoints", f"{pack}.json"))
        if described is None:
            return None
        try:
            content: bytes = self._fs.cat_file(self._path("checkpoints", described.file))
        except FileNotFoundError:
            return None
        return content if hashlib.sha256(content).hexdigest() == described.sha256 else None

    def remove_checkpoint(self, pack: str) -> None:
        """Remove the pack's checkpoint, if there is one."""
        self._remove(self._path("checkpoints", f"{pack}.json"))
        self._sweep_checkpoint_files(pack, keep="")

    def beat(self, heartbeat: Heartbeat) -> None:
        """Say that a pack is being computed."""
        self._replace(self._path("running", f"{heartbeat.pack}.json"), json.dumps(asdict(heartbeat)).encode())

    def heartbeats(self) -> tuple[Heartbeat, ...]:
        """The packs whose worker has been heard of lately."""
        oldest = time.time() - 6 * HEARTBEAT_SECONDS
        data = ((path, self._read_json_or_none(path)) for path in self._list("running") if path.endswith(".json"))
        given = (checked_fields(Heartbeat, each, source=path) for path, each in data if each is not None)
        beats = (Heartbeat(**{**each, "runs": tuple(each["runs"])}) for each in given)
        return tuple(beat for beat in beats if beat.time > oldest and not _is_gone(beat))

    def stop_beating(self, pack: str) -> None:
        """Say that a pack is no longer being computed."""
        self._remove(self._path("running", f"{pack}.json"))

    # ---- files

    def _path(self, *parts: str) -> str:
        return self._join(self._root, *parts)

    @staticmethod
    def _join(*parts: str) -> str:
        return "/".join(part.rstrip("/") for part in parts)

    def _list(self, *parts: str) -> list[str]:
        try:
            return [str(each) for each in self._fs.ls(self._path(*parts), detail=False, refresh=True)]
        except FileNotFoundError:
            return []

    def _read_json(self, path: str) -> Any:
        try:
            return orjson.loads(self._content(path))
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{path} is no JSON ({error}): remove it and run the sweep again") from None

    def _content(self, path: str) -> bytes:
        if self.is_local:
            with open(path, "rb") as file:
                return file.read()
        content: bytes = self._fs.cat_file(path)
        return content

    def _read_json_or_none(self, path: str) -> Any:
        try:
            return self._read_json(path)
        except FileNotFoundError:
            return None

    def _checkpoint_file(self, path: str) -> _CheckpointFile | None:
        data = self._read_json_or_none(path)
        if data is None:
            return None
        given = checked_fields(_CheckpointFile, data, source=path)
        if "/" in given["file"]:
            raise ValueError(f"{path} names the file {given['file']!r}, which is not beside it: remove {path}")
        return _CheckpointFile(**{**given, "runs": tuple(given["runs"])})

    def _write_artifact(self, folder: str, name: str, content: bytes) -> Artifact:
        digest = hashlib.sha256(content).hexdigest()
        stem, dot, ending = name.partition(".")
        file = f"{stem}-{digest[:8]}{dot}{ending}"
        self._replace(self._join(folder, file), content)
        return Artifact(file=file, num_bytes=len(content), sha256=digest)

    def _replace(self, path: str, content: bytes) -> None:
        """Write the whole file atomically, over what is there."""
        if not self.is_local:
            self._fs.pipe_file(path, content)
            return
        temporary = _written_aside(path, content)
        os.replace(temporary, path)
        _sync_folder(os.path.dirname(path))

    def _create(self, path: str, content: bytes) -> bool:
        """Write the whole file atomically unless there is one; False if there is."""
        if not self.is_local:
            try:
                self._fs.pipe_file(path, content, mode="create")
            except FileExistsError:
                return False
            return True
        temporary = _written_aside(path, content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)
        _sync_folder(os.path.dirname(path))
        return True

    def _remove(self, path: str) -> None:
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            return

    def _sweep_checkpoint_files(self, pack: str, *, keep: str) -> None:
        for path in self._list("checkpoints"):
            name = path.rsplit("/", 1)[1]
            if re.fullmatch(rf"{re.escape(pack)}-[0-9a-f]{{8}}\.safetensors", name) and name != keep:
                self._remove(path)


def _is_gone(beat: Heartbeat) -> bool:
    """Whether the worker ran on this host and its process has ended."""
    if beat.host != socket.gethostname():
        return False
    try:
        os.kill(beat.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _written_aside(path: str, content: bytes) -> str:
    """A synced temporary file beside `path`; on a full disk nothing is left behind and OSError names the path."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    return temporary


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
