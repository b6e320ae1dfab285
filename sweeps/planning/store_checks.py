"""A store by its address: whether it is there, can be written, and has room for what a sweep leaves in it."""

import shutil
import uuid
from pathlib import Path

from subind.specs.network_sizes import FLOAT
from subind.specs.quoting import quoted, quoted_path
from subind.store.errors import StoreError
from subind.store.store import Store
from sweeps.costs.memory import num_parameters
from sweeps.planning.plan import Plan

OF_ONE_PROCESS = ("memory://",)
"""URLs of stores that live in the process that opens them, and nowhere else."""


CHECKPOINT_BYTES = 500_000_000
"""Room for the checkpoints of the packs under way."""


def opened_store(address: str) -> Store:
    """The store; a local folder by its absolute path. Raises ValueError for an empty text."""
    if not address.strip():
        raise ValueError(f"--store is {quoted(address)}: give a folder, or a URL such as s3://bucket/folder")
    if "://" in address:
        return Store(address)
    try:
        return Store(str(Path(address).resolve()))
    except RuntimeError:  # pathlib's word for links in a circle
        raise ValueError(f"--store is {quoted_path(address)}, a link that leads to itself: give a folder") from None


def check_exists(store: Store) -> None:
    """Raise ValueError if there is no such store: a folder that is none, or a URL where nothing stands."""
    if not store.exists():
        remedy = "give the one that a run has written, or begin one with `subind run`"
        raise ValueError(f"--store is {quoted_path(store.url)}: there is no such store; {remedy}")


def check_outlives_process(store: Store) -> None:
    """Raise ValueError for a store that lives in this process alone: its workers would write to others."""
    if store.url.startswith(OF_ONE_PROCESS):
        remedy = "give a folder, or a URL such as s3://bucket/folder"
        raise ValueError(f"--store is {quoted_path(store.url)}, which no worker shares and which ends here: {remedy}")


def check_store(store: Store, found: Plan) -> None:
    """Refuse a sweep whose store has no room for it or cannot be written. Raises ValueError or OSError."""
    if not found.missing:
        return
    if store.is_local:
        _check_room(store, found)
    try:
        store.check_writable(uuid.uuid4().hex)
    except OSError as error:
        if not store.is_local or isinstance(error, StoreError):
            raise
        raise StoreError(
            f"--store is {quoted_path(store.url)}: it cannot be written ({error.strerror or error}); "
            "let its owner allow that, or choose another --store"
        ) from None


def _check_room(store: Store, found: Plan) -> None:
    folder = Path(store.url)
    while not folder.exists():
        folder = folder.parent
    needed = sum(_artifact_bytes(found, run) for run in found.missing) + CHECKPOINT_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ValueError(
            f"--store is {quoted_path(store.url)}: its disk has {free / 1e9:.1f} GB free and the sweep needs about "
            f"{needed / 1e9:.1f} GB; free some, or choose another store"
        )


def _artifact_bytes(found: Plan, run: str) -> int:
    spec = found.runs[run]
    weights = FLOAT * num_parameters(spec)
    return 50_000 + (weights if spec.stage == "donor" or run in found.kept else weights // 32)
