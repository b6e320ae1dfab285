"""How far a checkpoint is, from a few kilobytes of its file: the tensors, hundreds of megabytes perhaps, stay."""

import json
from dataclasses import dataclass
from typing import Any

from subind.store.files import joined
from subind.store.store import Store, opened_files

STATE = "__state__"
"""The key of a checkpoint under which its JSON state stands, as bytes."""

MOST_BYTES = 50_000_000
"""Neither the header nor the state of a checkpoint is so large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointState:
    """A pack's checkpoint: the epoch under way and its steps done, None if the file is damaged; its size and age."""

    pack: str
    num_bytes: int
    seconds_old: float
    epoch: int | None
    step: int | None


def checkpoint_state(store: Store, pack: str) -> CheckpointState:
    """How far the pack's checkpoint is. Raises FileNotFoundError if there is none."""
    files = opened_files(store.url)
    folder = joined(files.root, "checkpoints")
    described = json.loads(files.read(f"{folder}/{pack}.json", most=MOST_BYTES))
    name = str(described["file"]).rpartition("/")[2]
    about = next((each for each in files.entries(folder) if each.name == name), None)
    if about is None:
        raise FileNotFoundError(f"{folder}/{name} is gone: the pack has another checkpoint, or is finished")
    try:
        state = _state(files.fs, about.path)
    except (ValueError, KeyError, TypeError):
        state = {}
    return CheckpointState(
        pack=pack,
        num_bytes=about.num_bytes,
        seconds_old=max(0.0, files.now() - about.modified),
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
