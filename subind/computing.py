"""The method as a library: compute a run, and what it lacks, in this process."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

from subind.identity.parts import source_digests
from subind.identity.run_ids import encoded, run_id
from subind.masks.hard import HardMask
from subind.specs.run import MaskRun, NetworkRun, Run, lineage
from subind.specs.runs import Train
from subind.specs.training import FreshWeights, ImportedWeights
from subind.stages import run as stages
from subind.stages.parents import IMPORTED_FILE, MASK_FILE, WEIGHTS_FILE, Parents
from subind.store.provenance import Code, code
from subind.store.results import Provenance, RunRecord
from subind.store.store import Store
from subind.training.loop import Finished, Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """A finished run: its record with measurements and curves, and what it left.

    `weights` are the network's in the layout of its library, `mask` is the hard mask by the names of the parameters;
    each is empty where the run leaves none.
    """

    run: Run
    record: RunRecord
    weights: dict[str, Tensor]
    mask: HardMask

    @property
    def measurements(self) -> dict[str, float]:
        """The values at the kept epoch and those of the final evaluation, by name."""
        return dict(self.record.measurements)

    @property
    def curves(self) -> dict[str, list[float]]:
        """One value per evaluated epoch, in the order of the curve `epoch`."""
        return dict(self.record.curves)


def compute(run: Run, *, store: Store | str, runtime: Runtime | None = None) -> Computed:
    """Compute a run and all that it descends from, but for what the store has, and commit each run there.

    Recipients are kept: they leave their weights. `store` is a folder or a Store; the same that `subind run` writes.

    Raises RuntimeError if a run fails, with its reason; ValueError if what the store has is damaged.
    """
    opened = store if isinstance(store, Store) else Store(store)
    where = Runtime(checkpoint_seconds=float("inf")) if runtime is None else runtime
    for each in _parents_first(run):
        if not _is_there(each, opened, is_kept=each is run or _is_read(each, run)):
            _compute_one(each, opened, where)
    parents = Parents(opened.artifact)
    return Computed(
        run=run,
        record=opened.record(run),
        weights=parents.tensors(run) if isinstance(run, NetworkRun) else {},
        mask=parents.mask(run) if isinstance(run, MaskRun) else {},
    )


def _parents_first(run: Run) -> Iterator[Run]:
    """The run and all that it descends from, each once and after its parents."""
    done: set[Run] = set()

    def visit(each: Run) -> Iterator[Run]:
        for parent in each.parents():
            yield from visit(parent)
        if each not in done:
            done.add(each)
            yield each

    yield from visit(run)


def _is_read(each: Run, run: Run) -> bool:
    return any(each in descendant.parents() for descendant in lineage(run))


def _is_there(run: Run, store: Store, *, is_kept: bool) -> bool:
    """Whether the run is finished and left what is read of it."""
    if not store.is_finished(run):
        return False
    needed = {"donor": WEIGHTS_FILE, "transfer": WEIGHTS_FILE, "mask": MASK_FILE}.get(run.stage)
    return needed is None or not is_kept or needed in store.record(run).artifacts


def _compute_one(run: Run, store: Store, runtime: Runtime) -> None:
    def read(of: Run, file: str) -> bytes:
        return _imported(of, store) if file == IMPORTED_FILE else store.artifact(of, file)

    began = time.time()
    done = stages.run(
        [run],
        read=read,
        runtime=runtime,
        save=lambda saved: None,
        report=lambda progress: None,
        kept=frozenset({run}),
    )
    for finished in done:
        if finished.replica.failure:
            raise RuntimeError(f"run {run_id(run)} ({run.stage}) failed: {finished.replica.failure}")
        seconds = round(time.time() - began, 3)
        made = record(finished, code(), runtime.device, started=began, seconds=seconds, pack_size=1)
        store.commit(run, made, finished.files)


def _imported(run: Run, store: Store) -> bytes:
    """The weights that a donor starts from. Raises ValueError or FileNotFoundError if the store lacks them."""
    assert isinstance(run, Train)
    weights = run.weights
    assert not isinstance(weights, FreshWeights), "fresh weights are drawn"
    digest = weights.sha256 if isinstance(weights, ImportedWeights) else store.named_weights(weights.file)
    if digest is None:
        raise ValueError(f"the store lacks the weights {weights}: put them there with `subind import FILE`")
    return store.weights(digest)


def record(finished: Finished, code: Code, device: str, **spent: Any) -> RunRecord:
    """The record of a run that is done. `spent` is what only its worker knows: started (UNIX seconds), seconds, and
    what else `Provenance` has.
    """
    run, started = finished.replica.spec, datetime.fromtimestamp(spent.pop("started"), UTC)
    return RunRecord(
        run_id=run_id(run),
        stage=run.stage,
        spec=encoded(run),
        parents=tuple(run_id(parent) for parent in run.parents()),
        provenance=Provenance(
            commit=code.commit,
            dirty=code.dirty,
            versions=code.versions,
            device=torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
            host=socket.gethostname(),
            started=started.isoformat(timespec="seconds"),
            **spent,
        ),
        measurements=finished.measurements,
        curves=finished.replica.curves,
        sources=source_digests(run),
    )
