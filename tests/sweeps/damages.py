"""Damages to the files of a store, by what then stands in a file's place, and the places where it may stand."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from subind.identity.run_ids import run_id
from subind.store.store import Checkpoint, Heartbeat, Store
from tests.subind.records import small_failure
from tests.sweeps.fabricated_grid import donor, exportable_record, mask, runs, transfers

ARTIFACT = b"the bits of a mask, so many that half of them is something else"


def damaged_store(folder: Path) -> Store:
    """Seed 0 is finished; of seed 1 the donor is, the mask has failed, a transfer is under way with a checkpoint."""
    store = Store(str(folder / "store"))
    for spec in [*runs(0)[:3], donor(1)]:
        files = {"mask.safetensors": ARTIFACT} if spec == mask(0) else {}
        store.commit(spec, exportable_record(spec), files)
    store.fail(mask(1), small_failure(mask(1)))
    under_way = (run_id(transfers(1)[1]),)
    store.save_checkpoint(Checkpoint(pack="p", runs=under_way, started=0.0, seconds=0.0, pack_size=1), b"a state")
    beat = Heartbeat(
        pack="p", runs=under_way, host=socket.gethostname(), process=os.getpid(), epoch=0, step=0, num_steps=9, time=0.0
    )
    store.beat(beat)
    store.add_weights(b"weights")
    return store


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


PLACES: dict[str, Callable[[Store], Path]] = {
    "record of a transfer": lambda store: Path(store.folder(transfers(0)[0]), "record.json"),
    "record of a mask": lambda store: Path(store.folder(mask(0)), "record.json"),
    "record of a donor": lambda store: Path(store.folder(donor(1)), "record.json"),
    "record of a failed run": lambda store: Path(store.folder(mask(1)), "record.json"),
    "artifact": lambda store: _only(Path(store.folder(mask(0))), "mask-*.safetensors"),
    "failure": lambda store: Path(store.failure_path(mask(1))),
    "heartbeat": lambda store: Path(store.url, "running", "p.json"),
    "another heartbeat": lambda store: Path(store.url, "running", "q.json"),
    "description of a checkpoint": lambda store: Path(store.url, "checkpoints", "p.json"),
    "state of a checkpoint": lambda store: _only(Path(store.url, "checkpoints"), "p-*.safetensors"),
    "part of the index": lambda store: _only(Path(store.url, "index"), "rows-*.parquet"),
    "imported weights": lambda store: _only(Path(store.url, "weights"), "*.safetensors"),
}


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may have a hundred letters
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _halved(path: Path, content: bytes) -> None:
    path.write_bytes(content[: len(content) // 2])


STAND_INS: dict[str, Callable[[Path, bytes], object]] = {
    "nothing": lambda _path, _content: None,
    "an empty file": lambda path, _content: path.write_bytes(b""),
    "half of it": _halved,
    "other bytes of that length": lambda path, content: path.write_bytes(b"\xff" * len(content)),
    "{}": lambda path, _content: path.write_bytes(b"{}"),
    "deep JSON": lambda path, _content: path.write_bytes(b"[" * 10**6),
    "JSON of something else": lambda path, _content: path.write_text(json.dumps({"run_id": [], "pack": "../p"})),
    "a folder": lambda path, _content: (path / "inside").mkdir(parents=True),
    "a pipe": lambda path, _content: os.mkfifo(path),
    "a socket": lambda path, _content: _socket(path),
    "a device": lambda path, _content: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path, _content: path.symlink_to("nothing-of-that-name"),
    "a link to itself": lambda path, _content: path.symlink_to(path.name),
}


def damage(path: Path, stand_in: str) -> None:
    """Put something else in the file's place."""
    content = path.read_bytes() if path.is_file() else b""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    STAND_INS[stand_in](path, content)
