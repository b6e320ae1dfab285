"""How far a checkpoint is, from a few kilobytes of its file: the tensors, hundreds of megabytes perhaps, stay."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import fsspec

from subind.store import Store

STATE = "__state__"
"""The key of a checkpoint under which its JSON state stands, as bytes."""

MOST_BYTES = 50_000_000
"""Neither the header nor the state of a checkpoint is so large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointState:
    """A pack's checkpoint: the epoch under way, its steps done, its size, and its age in seconds.

    None stands for what the file system or a damaged file does not tell.
    """

    pack: str
    num_bytes: int | None
    seconds_old: float | None
    epoch: int | None
    step: int | None


def checkpoint_state(store: Store, pack: str) -> CheckpointState:
    """How far the pack's checkpoint is. Raises FileNotFoundError if there is none."""
    files, root = fsspec.core.url_to_fs(store.url)
    folder = f"{root.rstrip('/')}/checkpoints"
    described = json.loads(files.cat_file(f"{folder}/{pack}.json"))
    path = f"{folder}/{str(described['file']).rpartition('/')[2]}"
    about = files.info(path)
    try:
        state = _state(files, path)
    except (ValueError, KeyError, TypeError):
        state = {}
    return CheckpointState(
        pack=pack,
        num_bytes=about.get("size"),
        seconds_old=_seconds_old(about),
        epoch=state.get("epoch"),
        step=state.get("step"),
    )


def _state(files: Any, path: str) -> dict[str, Any]:
    """The JSON state of a safetensors file: eight bytes of length, so many of JSON, then the tensors.

    Raises ValueError, KeyError or TypeError if the file is no such file.
    """
    length = int.from_bytes(files.cat_file(path, start=0, end=8), "little")
    if not 0 < length < MOST_BYTES:
        raise ValueError(f"{path} has a header of {length} bytes")
    header = json.loads(files.cat_file(path, start=8, end=8 + length))
    start, end = (8 + length + int(offset) for offset in header[STATE]["data_offsets"])
    if not 0 < end - start < MOST_BYTES:
        raise ValueError(f"{path} has a state of {end - start} bytes")
    state = json.loads(files.cat_file(path, start=start, end=end))
    return {"epoch": int(state["epoch"]), "step": int(state["step"])}


def _seconds_old(about: Mapping[str, Any]) -> float | None:
    """The age of a file from what its file system tells of it."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        match about.get(name):
            case float() | int() as seconds:
                return max(0.0, time.time() - seconds)
            case datetime() as moment:
                return max(0.0, time.time() - moment.timestamp())
            case str() as text:
                return max(0.0, time.time() - datetime.fromisoformat(text).timestamp())
    return None
