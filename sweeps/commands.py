"""What the commands do, without how they are typed: functions over a request that names a part of a grid."""

import shutil
import uuid
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize

from subind.specs.network_sizes import FLOAT
from subind.specs.quoting import quoted, quoted_path
from subind.specs.run import Run
from subind.specs.training import ImportedWeights
from subind.store.errors import StoreError
from subind.store.listing import Listing
from subind.store.results import STATUSES, Failure
from subind.store.store import Heartbeat, Store
from sweeps import grids, published
from sweeps.cells import chosen, condition
from sweeps.damaged_runs import failure_of, with_damaged_parents
from sweeps.forecast import Forecast
from sweeps.grid_files import Keep
from sweeps.image_identity import identified
from sweeps.keeping import kept_bytes, with_kept
from sweeps.memory import num_parameters
from sweeps.plan import Plan, accounts
from sweeps.status import told_stages, total
from sweeps.watch import Snapshot, Watch
from sweeps.weight_files import MOST_HEADER_BYTES, check_architectures

_SIGNS = {"<=": "_at_most_", ">=": "_at_least_", "!=": "_not_", "<": "_below_", ">": "_above_", "=": "_is_"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A part of a grid and the store that holds its runs; `added` are cells of further seeds.

    `images` is the folder of photographs that the runs are on, empty for those that the store remembers; `keep` are
    starts whose recipients leave their weights, besides those of the grid's KEEP.
    """

    grid: str
    where: tuple[str, ...]
    store: str
    added: tuple[Run, ...] = ()
    images: str = ""
    keep: Keep = ()

    @property
    def name(self) -> str:
        """What files of this part of the grid are called: the grid's name, and the conditions where there are any."""
        parts = [str(condition(text)) for text in self.where]
        for sign, word in _SIGNS.items():
            parts = [part.replace(sign, word) for part in parts]
        return "-".join([grids.label(self.grid), *parts]).replace("/", "_").replace(" ", "")

    def opened(self) -> Store:
        """The store; a local folder by its absolute path. Raises ValueError for an empty text."""
        if not self.store.strip():
            raise ValueError(f"--store is {quoted(self.store)}: give a folder, or a URL such as s3://bucket/folder")
        if "://" in self.store:
            return Store(self.store)
        try:
            return Store(str(Path(self.store).resolve()))
        except RuntimeError:  # pathlib's word for links in a circle
            raise ValueError(
                f"--store is {quoted_path(self.store)}, a link that leads to itself: give a folder"
            ) from None


def accounted(request: Request, store: Store, listing: Listing | None = None) -> Plan:
    """The plan for a request without packs, by the store's listing if the caller has one.

    Raises ValueError for an unknown grid, a bad condition, a bad spec, or imported weights that the store has not.
    """
    cells = (*chosen(grids.grid(request.grid), [condition(text) for text in request.where]), *request.added)
    cells = identified(cells, images=request.images, store=store)
    listing = listing or store.listing()
    found = accounts(
        grids.label(request.grid),
        cells,
        finished=listing.finished.keys(),
        failed=listing.failed,
        damaged=listing.damaged,
    )
    found = with_damaged_parents(with_kept(found, store, (*grids.keep(request.grid), *request.keep)), store)
    _check_imports(found, store)
    check_architectures(found, store)
    return found


def _check_imports(found: Plan, store: Store) -> None:
    for run in found.missing:
        weights = found.runs[run].imported()
        if isinstance(weights, ImportedWeights) and not store.has_weights(weights.sha256):
            raise ValueError(
                f"Train.weights.sha256 is {quoted(weights.sha256)}: the store {store.url} has no such file; "
                "put it there with `subind import FILE`"
            )


def import_weights(store: Store, path: Path) -> str:
    """Put a file of weights into the store; its SHA-256, or the name of one that torchvision publishes (*.pth).

    Raises ValueError if it is no safetensors file, or not the published one.
    """
    if path.suffix == published.ENDING:
        return published.import_published(store, path)
    _check_is_safetensors(path)
    content = path.read_bytes()
    try:
        tensors = deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error}): save the model with save_pretrained") from None
    known = {"wte.weight", "conv1.weight", "conv_proj.weight"}
    if not any(name.removeprefix("transformer.") in known for name, _ in tensors):
        raise ValueError(
            f"{path} has no wte.weight, conv1.weight or conv_proj.weight: give a file of transformers' "
            "GPT2LMHeadModel, or of torchvision's ResNet or VisionTransformer"
        )
    by_name = {name.removeprefix("transformer."): about["data"] for name, about in tensors}
    if by_name.get("lm_head.weight", by_name.get("wte.weight")) != by_name.get("wte.weight"):
        raise ValueError(f"{path} has lm_head.weight unlike wte.weight: give a model whose head is the token embedding")
    return store.add_weights(content)


def _check_is_safetensors(path: Path) -> None:
    """Refuse a file that is none, or whose header says nothing that could be, before it is read into memory."""
    if not path.is_file():
        raise ValueError(f"{path} is no file: give a safetensors file of transformers' GPT2LMHeadModel")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(size - 8, MOST_HEADER_BYTES):
        raise ValueError(
            f"{path} is no safetensors file (of its {size:,} bytes it says {length:,} are the header): "
            "save the model with save_pretrained"
        )


def plan_data(found: Plan, times: Forecast | None) -> dict[str, Any]:
    """A plan as JSON data, with its forecast, null where there is no ground for one."""
    return {
        "grid": found.grid,
        "cells": len(found.runs),
        "finished": len(found.finished),
        "failed": len(found.failed),
        "blocked": len(found.blocked),
        "missing": len(found.missing),
        "stale": len(found.stale),
        "damaged": dict(found.damaged),
        "packs": len(found.packs),
        "stages": {stage: found.num_runs(stage) for stage in found.stages},
        "kept": len(found.kept),
        "kept_bytes": kept_bytes(found),
        "unkept": len(found.unkept),
        "forecast_seconds": None if times is None else times.seconds,
        "forecast": None if times is None else times.data(),
    }


def status_data(found: Plan, store: Store, snapshot: Snapshot | None = None) -> dict[str, Any]:
    """The state of every run of a plan as JSON data, with the packs under way, the nodes and why runs have failed.

    A snapshot that the caller has taken tells it; `unattributed` are the finished runs whose nodes it does not know,
    and `unreadable` says by run why its record cannot be read.
    """
    taken = snapshot or Watch(found, store, seconds_of_records=0).look()
    counts = taken.counts
    return {
        "grid": found.grid,
        **{state: total(counts, state) for state in STATUSES},
        "stages": {stage: {state: counts[stage][state] for state in STATUSES} for stage in told_stages(counts)},
        "packs": [_pack_data(beat) for beat in taken.beats],
        "nodes": [node.data() for node in taken.nodes],
        "unattributed": taken.num_unattributed,
        "unreadable": dict(taken.unreadable),
        "failures": [_failure_data(found.runs[failure.run_id], store, failure) for failure in taken.failures],
        "failure_classes": [each.data() for each in taken.failure_classes],
    }


def _pack_data(beat: Heartbeat) -> dict[str, Any]:
    return {
        "pack": beat.pack,
        "host": beat.host,
        "process": beat.process,
        "step": beat.step,
        "num_steps": beat.num_steps,
    }


def _failure_data(spec: Run, store: Store, failure: Failure) -> dict[str, str]:
    return {
        "run_id": failure.run_id,
        "stage": spec.stage,
        "error": failure.error,
        "message": failure.message,
        "traceback": store.failure_path(spec) if failure.traceback else "",
    }


def retry_failed(found: Plan, store: Store) -> int:
    """Forget the failures of a plan's runs, so that they are tried again; how many there were.

    Runs with a damaged record or artifact are left as they are.
    """
    return _forgiven(found.failed - found.damaged.keys(), found, store)


def retry_failed_of_class(found: Plan, store: Store, error: str) -> int:
    """Forget those failures whose error is of that class, in any case; how many. Raises ValueError if there is none."""
    failures = {run: failure_of(run, found, store) for run in found.failed}
    classes = {run: failure.error for run, failure in failures.items() if failure is not None}
    chosen_runs = {run for run, name in classes.items() if name.lower() == error.lower()}
    if not chosen_runs:
        told = ", ".join(f"{name} ({number})" for name, number in sorted(Counter(classes.values()).items()))
        raise ValueError(
            f"--class is {quoted(error)}: {f'the failed runs have {told}' if told else 'no run has failed'}"
        )
    return _forgiven(chosen_runs - found.damaged.keys(), found, store)


def _forgiven(runs: Collection[str], found: Plan, store: Store) -> int:
    """Forget the failures of the runs; how many. Raises OSError after all others if one cannot be removed."""
    troubles = []
    for run in runs:
        try:
            store.forgive(found.runs[run])
        except OSError as error:
            troubles.append(error)
    if troubles:
        raise troubles[0]
    return len(runs)


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


OF_ONE_PROCESS = ("memory://",)
"""URLs of stores that live in the process that opens them, and nowhere else."""

CHECKPOINT_BYTES = 500_000_000
"""Room for the checkpoints of the packs under way."""


def _artifact_bytes(found: Plan, run: str) -> int:
    spec = found.runs[run]
    weights = FLOAT * num_parameters(spec)
    return 50_000 + (weights if spec.stage == "donor" or run in found.kept else weights // 32)
