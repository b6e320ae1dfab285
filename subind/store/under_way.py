"""Packs under way in a store: the heartbeats of their workers, and their checkpoints."""

import os
import re
import socket
from dataclasses import dataclass, fields
from typing import Any

from subind.store.json_fields import checked_fields

HEARTBEAT_SECONDS = 10.0
"""How often a worker writes a heartbeat. A worker that misses six, or whose process has ended, is dead."""

PLAIN_NAME = re.compile(r"[\w-][\w.-]*")
"""Names that stay in their folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A pack that a worker is computing: its runs, where, how far it is, and when this was written (UNIX seconds).

    A worker writes the time of its own clock, which may be wrong; a heartbeat that a store gives has that of the
    reader's clock.
    """

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
    """A pack under way: its name, the runs whose state it holds, in replica order, and what it has taken so far.

    `seconds` is the wall time that its workers have spent up to the checkpoint, one after another; the first of them
    began at `started` (UNIX seconds) with `pack_size` runs. All are zero where that is not known.
    """

    pack: str
    runs: tuple[str, ...]
    started: float = 0.0
    seconds: float = 0.0
    pack_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFile(Checkpoint):
    """What `checkpoints/<pack>.json` says, with the name of the file that holds the state."""

    file: str
    sha256: str

    def checkpoint(self) -> Checkpoint:
        """What it says of the pack."""
        return Checkpoint(**{each.name: getattr(self, each.name) for each in fields(Checkpoint)})


def heartbeat_from(data: Any, *, source: str) -> Heartbeat:
    """The heartbeat of a file's JSON data. Raises ValueError naming the file if it is none, or of another pack."""
    given = checked_fields(Heartbeat, data, source=source)
    _check_pack(given["pack"], source)
    return Heartbeat(**{**given, "runs": tuple(given["runs"])})


def checkpoint_from(data: Any, *, source: str) -> CheckpointFile:
    """What a file of a checkpoint says. Raises ValueError naming the file if it is none, or of another pack."""
    given = checked_fields(CheckpointFile, data, source=source)
    _check_pack(given["pack"], source)
    if not PLAIN_NAME.fullmatch(given["file"]):
        raise ValueError(f"{source} names the file {given['file']!r}, which is not beside it: remove {source}")
    return CheckpointFile(**{**given, "runs": tuple(given["runs"])})


def pack_file(pack: str, ending: str) -> str:
    """The name of a pack's file. Raises ValueError if it would not stay in its folder."""
    if not PLAIN_NAME.fullmatch(pack):
        raise ValueError(f"the pack {pack!r} has no plain name: give letters, digits, - and _")
    return f"{pack}{ending}"


def is_live(beat: Heartbeat, *, age_seconds: float) -> bool:
    """Whether the worker of a heartbeat of this age, by the store's clock, is alive.

    A timestamp far in the future was written before the clock was set back; a live worker would write soon.
    """
    return abs(age_seconds) < 6 * HEARTBEAT_SECONDS and not _is_gone(beat)


def _is_gone(beat: Heartbeat) -> bool:
    """Whether the worker ran on this host and its process has ended."""
    if beat.host != socket.gethostname():
        return False
    try:
        os.kill(beat.process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _check_pack(pack: str, source: str) -> None:
    if f"{pack}.json" != source.rpartition("/")[2] or not PLAIN_NAME.fullmatch(pack):
        raise ValueError(f"{source} is of the pack {pack!r}, not of the one it is named after: remove {source}")
