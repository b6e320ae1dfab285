"""What a worker does with a pack, wherever it runs: resume, train, tell how far it is, checkpoint, commit."""

import contextlib
import json
import math
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from subind.computing import record
from subind.identity.run_ids import canonical_json, decode, run_id
from subind.specs.run import Run
from subind.stages import run as stages
from subind.stages.parents import IMPORTED_FILE
from subind.store.errors import DamagedError
from subind.store.provenance import Code, code
from subind.store.remote_files import PATIENCE_SECONDS
from subind.store.results import Failure
from subind.store.store import HEARTBEAT_SECONDS, Checkpoint, Heartbeat, Store
from subind.training.loop import Finished, Progress, Replica, Rung, Runtime, Saved
from sweeps.grids.own_code import NO_OWN_CODE, OwnCode
from sweeps.hosts import patience, stop_signals
from sweeps.inputs.published_weights import imported_weights
from sweeps.planning.keeping import is_done
from sweeps.planning.plan import Plan
from sweeps.watching.checkpoint_state import STATE

REPORT_SECONDS = 2.0
"""How often a worker tells the driver how far it is."""

SLOW_SECONDS = 4.0
"""A stop cannot wait for a step or an evaluation that takes longer: such a pack is checkpointed this often."""

SHARE_OF_SAVING = 0.1
"""The part of a slow pack's time that these checkpoints may take."""

STOPPED = "Stopped"
"""The class of failure of a run that a rung has stopped: nothing is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all packs of a sweep share: the specs as JSON by run id, the store, the code and the runtime.

    Every worker reads it for every pack: text is read a hundred times faster than the data that it stands for.

    `sources` is the digest of the driver's sources, which a worker's must equal; empty where both read the same files.
    `own` is the user's code that the specs need, and `kept` are the recipients that leave their weights.
    `scratch` is the driver's folder for what must not outlive it, `bell` is how it tells workers to stop.
    """

    specs: Mapping[str, str]
    store: str
    code: Code
    sources: str
    runtime: Runtime
    own: OwnCode = NO_OWN_CODE
    kept: frozenset[str] = frozenset()
    scratch: str = ""
    bell: str = ""

    @classmethod
    def of(cls, plan: Plan, store: Store, runtime: Runtime) -> "Job":
        """The job of a plan, for workers that read the driver's own files."""
        specs = {run: canonical_json(plan.runs[run]) for run in plan.missing}
        return cls(specs=specs, store=store.url, code=code(), sources="", runtime=runtime, kept=plan.kept)


class StoppedError(Exception):
    """A pack has saved its checkpoint because this process is told to stop."""


def run_pack(config: Mapping[str, Any], *, job: Job, send: Callable[[dict[str, Any]], None]) -> None:
    """Compute the runs of a pack that are not yet finished, and commit each as soon as it is done.

    `config` has the pack's name and runs; of a pack that was made while the sweep ran also their `specs` and `rungs`.
    Once this process is told to stop (`stop_signals`), it ends with a checkpoint after the step under way.
    """
    store = Store(job.store, patience_seconds=PATIENCE_SECONDS)
    known = {**job.specs, **config["specs"]} if "specs" in config else job.specs
    planned = [decode(json.loads(known[each])) for each in config["runs"]]
    pack = [spec for spec in planned if not is_done(spec, store, is_kept=run_id(spec) in job.kept)]
    if not pack:
        return
    rungs = tuple(Rung(share=each["share"], limits=each["limits"]) for each in config.get("rungs", ()))
    worker = Worker(
        name=str(config["pack"]),
        pack=pack,
        store=store,
        job=replace(job, runtime=replace(job.runtime, rungs=rungs)),
        num_halvings=int(config["num_halvings"]),
        send=send,
    )
    worker.send_progress()
    with worker.heartbeat(), contextlib.suppress(StoppedError):
        worker.run()
    worker.send_progress()


class Worker:
    """One pack under way: its progress, which `send` takes to the driver, its heartbeat, its commits."""

    def __init__(
        self,
        *,
        name: str,
        pack: Sequence[Run],
        store: Store,
        job: Job,
        num_halvings: int,
        send: Callable[[dict[str, Any]], None],
    ) -> None:
        self.name = name
        self.num_failed = 0
        self._send = send
        self._notes: list[str] = []
        self._num_halvings = num_halvings
        self._num_saved = 0
        self._resumed_step = 0
        self._pack = list(pack)
        self._store = store
        self._job = job
        self._progress = Progress(epoch=0, step=0, num_steps=1, accuracies=())
        self._began = time.monotonic()
        self._before = self._fresh = Spent(started=time.time(), seconds=0.0, pack_size=len(pack))
        self._reported = 0.0
        self._longest_step = 0.0
        self._last_step = self._last_save = math.inf
        self._seconds_of_a_save = 0.0

    def run(self) -> None:
        """Train, commit, and remove the checkpoint. Raises StoppedError after a checkpoint at a stop."""
        self._end_if_stopped()
        done = stages.run(
            self._pack,
            read=self._read,
            runtime=self._job.runtime,
            save=self._save,
            report=self._report,
            kept={spec for spec in self._pack if run_id(spec) in self._job.kept},
            resumed=self._resumed(),
            refuse=self._start_over,
            is_wanted=self._is_checkpoint_wanted,
        )
        for finished in done:
            self._conclude(finished)
        self._remove_checkpoints()

    def _remove_checkpoints(self) -> None:
        """Remove the pack's checkpoint, and that of a larger pack which this was a part of, if all of it is done."""
        with contextlib.suppress(DamagedError):
            self._store.remove_checkpoint(self.name)
        own = {run_id(spec) for spec in self._pack}
        larger = [each for each in self._store.checkpoints() if own & set(each.runs)]
        if larger:
            finished = self._store.finished()
            for each in larger:
                if finished.issuperset(each.runs):
                    self._store.remove_checkpoint(each.pack)

    def _read(self, run: Run, file: str) -> bytes:
        if file != IMPORTED_FILE:
            return self._store.artifact(run, file)
        weights = run.imported()
        assert weights is not None, "only runs that start from imported weights ask for them"
        return imported_weights(self._store, weights)

    def progress_data(self) -> dict[str, Any]:
        """How far the pack is, as a Tune result."""
        progress = self._progress
        return {
            "epoch": progress.epoch,
            "step": progress.step,
            "num_steps": progress.num_steps,
            "accuracies": list(progress.accuracies),
            "failed": self.num_failed,
            "num_saved": self._num_saved,
            "resumed_step": self._resumed_step,
            "notes": list(self._notes),
        }

    def send_progress(self) -> None:
        """Tell the driver how far the pack is, and what a person should know of it."""
        self._send(self.progress_data())

    @contextlib.contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Say every few seconds that this pack is being computed, until the block ends."""
        over = threading.Event()
        thread = threading.Thread(target=self._beat_until, args=(over,), daemon=True)
        self._written_if_possible(lambda: self._store.beat(self._heartbeat()))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with contextlib.suppress(DamagedError):
                self._store.stop_beating(self.name)

    def _beat_until(self, over: threading.Event) -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                self._store.beat(self._heartbeat())

    def _heartbeat(self) -> Heartbeat:
        progress = self._progress
        return Heartbeat(
            pack=self.name,
            runs=tuple(run_id(spec) for spec in self._pack),
            host=socket.gethostname(),
            process=os.getpid(),
            epoch=progress.epoch,
            step=progress.step,
            num_steps=progress.num_steps,
            time=time.time(),
        )

    def _written_if_possible(self, write: Callable[[], None]) -> bool:
        """Write what the pack can do without. False if something else stands in the file's place, which is told."""
        try:
            patience.DISK.answer(write, tell=self._tell)
        except DamagedError as error:
            if str(error) not in self._notes:
                self._tell(str(error))
            return False
        return True

    def _tell(self, text: str) -> None:
        """Have the driver say what the pack waits for."""
        self._notes.append(text)
        self.send_progress()

    def _report(self, progress: Progress) -> None:
        self._progress = progress
        if time.monotonic() - self._reported > REPORT_SECONDS:
            self._reported = time.monotonic()
            self.send_progress()

    # ---- results

    def _conclude(self, finished: Finished) -> None:
        spec = finished.replica.spec
        if finished.replica.failure:
            self.num_failed += 1
            why = failure_of(finished.replica, self._pack)
            patience.DISK.answer(lambda: self._store.fail(spec, why), tell=self._tell)
            return
        made = record(
            finished,
            self._job.code,
            self._job.runtime.device,
            started=self._before.started,
            seconds=round(self._seconds(), 3),
            pack_size=self._before.pack_size,
            num_halvings=self._num_halvings,
        )
        patience.DISK.answer(lambda: self._store.commit(spec, made, finished.files), tell=self._tell)

    def _seconds(self) -> float:
        """What the pack has taken so far: this worker's time, and that of those before it up to their checkpoint."""
        return self._before.seconds + time.monotonic() - self._began

    # ---- checkpoints

    def _is_checkpoint_wanted(self) -> bool:
        """Whether a stop has come; and often where the next step or evaluation may outlast the time that one leaves."""
        now = time.monotonic()
        self._longest_step = max(self._longest_step, now - self._last_step)
        self._last_step, self._last_save = now, min(self._last_save, now)
        pause = max(SLOW_SECONDS, self._seconds_of_a_save / SHARE_OF_SAVING)
        is_due = self._longest_step > SLOW_SECONDS and now - self._last_save > pause
        return is_due or stop_signals.has_come()

    def _end_if_stopped(self) -> None:
        if stop_signals.has_come():
            raise StoppedError

    def _save(self, saved: Saved) -> None:
        start = time.monotonic()
        self._write_checkpoint(saved)
        self._last_save = time.monotonic()
        self._seconds_of_a_save = self._last_save - start
        self._end_if_stopped()

    def _write_checkpoint(self, saved: Saved) -> None:
        state = torch.frombuffer(bytearray(saved.state.encode()), dtype=torch.uint8)
        tensors = {name: tensor.cpu().contiguous() for name, tensor in saved.tensors.items()}
        described = Checkpoint(
            pack=self.name,
            runs=tuple(run_id(spec) for spec in saved.specs),
            started=self._before.started,
            seconds=round(self._seconds(), 3),
            pack_size=self._before.pack_size,
        )
        content = save_tensors({**tensors, STATE: state})
        if not self._written_if_possible(lambda: self._store.save_checkpoint(described, content)):
            return
        self._num_saved += 1
        self.send_progress()

    def _resumed(self) -> stages.Resumed | None:
        """The checkpoint that covers the pack: its own, or that of a larger pack which this one is a part of."""
        own = {run_id(spec) for spec in self._pack}
        covering = [each for each in self._store.checkpoints() if own <= set(each.runs)]
        found = min(covering, key=lambda each: (each.pack != self.name, len(each.runs)), default=None)
        if found is None:
            return None
        content = self._store.checkpoint_content(found.pack)
        try:
            tensors = load_tensors(content or b"")
            state = tensors.pop(STATE).numpy().tobytes().decode()
        except (SafetensorError, KeyError, UnicodeDecodeError):
            self._start_over("the checkpoint's file is gone or damaged, and training starts over")
            return None
        self._before = spent_before(found, len(self._pack), fresh=self._fresh)
        with contextlib.suppress(ValueError, KeyError, TypeError):
            self._resumed_step = int(json.loads(state)["step"])
        places = {each: place for place, each in enumerate(found.runs)}
        return stages.Resumed(tensors=tensors, state=state, places=[places[run_id(spec)] for spec in self._pack])

    def _start_over(self, reason: str) -> None:
        self._before, self._resumed_step = self._fresh, 0
        self._notes.append(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """When a pack's first worker began (UNIX seconds), with how many runs, and the seconds before the last worker."""

    started: float
    seconds: float
    pack_size: int


def spent_before(checkpoint: Checkpoint, num_runs: int, *, fresh: Spent) -> Spent:
    """What a pack of so many runs has taken before the worker that goes on from a checkpoint; `fresh` if unknown.

    A part of a larger pack has its share of what that one has taken.
    """
    if not checkpoint.pack_size:
        return fresh
    if num_runs == len(checkpoint.runs):
        return Spent(started=checkpoint.started, seconds=checkpoint.seconds, pack_size=checkpoint.pack_size)
    return replace(fresh, seconds=checkpoint.seconds * num_runs / len(checkpoint.runs))


def failure_of(replica: Replica, pack: Sequence[Run]) -> Failure:
    """The failure of one run that did not take its pack down."""
    return Failure(
        run_id=run_id(replica.spec),
        error=STOPPED if replica.is_stopped else "RunFailed",
        message=replica.failure,
        traceback="".join(traceback.format_stack(limit=8)),
        host=socket.gethostname(),
        pack=tuple(run_id(each) for each in pack),
        attempts=1,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
