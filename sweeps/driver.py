"""The driver of a sweep: Ray Tune over the packs of a plan, with a live display and the MLflow mirror beside it."""

import os
import socket
import tempfile
import threading
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from sweeps.local_ray import local_ray  # isort: skip  sets what Ray reads when it is imported
from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial

from subind import provenance
from subind.fingerprint import encoded, run_id
from subind.results import Failure
from subind.spec import Spec
from subind.store import Store
from subind.training import Runtime
from sweeps.display import Board, Display, PackState
from sweeps.plan import Plan
from sweeps.search import PackSearcher
from sweeps.tracking import Mirror
from sweeps.trainable import Job, train_pack
from sweeps.workers import Workers

NUM_ATTEMPTS = 2
"""How often a pack is tried whose worker dies or raises, before its runs are quarantined."""


def drive(
    plan: Plan, store: Store, workers: Workers, *, tracking_uri: str | None, checkpoint_seconds: float, console: Console
) -> None:
    """Run the packs of a plan to the end, or until Ctrl-C. What came of it stands in the store."""
    job = Job(
        specs={run: encoded(plan.runs[run]) for run in plan.missing},
        store=store.url,
        code=provenance.code(),
        runtime=Runtime(device=workers.device, num_threads=1, checkpoint_seconds=checkpoint_seconds),
    )
    searcher = PackSearcher(plan, store)
    board = Board(plan=plan, finished=set(plan.finished), failed=set(plan.failed), blocked=set(plan.blocked))
    mirror = MirrorThread(Mirror(store, grid=plan.grid, tracking_uri=tracking_uri), plan)
    with local_ray(num_cpus=_num_cpus(workers)), tempfile.TemporaryDirectory(prefix="subind-tune-") as scratch:
        with Display(board, console) as display, mirror:
            watcher = Watcher(searcher=searcher, store=store, display=display, mirror=mirror)
            _tuner(job, searcher, workers, watcher, scratch).fit()
            watcher.update()


def _num_cpus(workers: Workers) -> int:
    return max(workers.num_workers, len(os.sched_getaffinity(0)))


def _tuner(job: Job, searcher: PackSearcher, workers: Workers, watcher: Callback, scratch: str) -> tune.Tuner:
    resources = {"cpu": 1, "gpu": 1 if workers.device == "cuda" else 0}
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(train_pack, job=job), resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            max_concurrent_trials=workers.num_workers,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=scratch,
            verbose=0,
            callbacks=[watcher],
            failure_config=tune.FailureConfig(max_failures=NUM_ATTEMPTS - 1),
        ),
    )


class Watcher(Callback):
    """Takes what Tune tells of the trials to the display, the store of failures and the mirror."""

    def __init__(self, *, searcher: PackSearcher, store: Store, display: Display, mirror: "MirrorThread") -> None:
        self._searcher = searcher
        self._store = store
        self._display = display
        self._mirror = mirror

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for Tuner.restore, which is never used."""
        return {}

    def update(self) -> None:
        """Bring the display up to date."""
        board, searcher = self._display.board, self._searcher
        board.finished, board.failed, board.blocked = searcher.finished, searcher.failed, searcher.blocked
        board.packs = {
            trial: board.packs.get(trial, PackState(pack=pack)) for trial, pack in searcher.running.items()
        }
        board.note = self._mirror.note
        self._display.refresh()

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.update()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        pack = self._searcher.running.get(trial.trial_id)
        if pack is not None and "step" in result:
            self._display.board.packs[trial.trial_id] = PackState(
                pack=pack,
                epoch=result["epoch"],
                step=result["step"],
                num_steps=result["num_steps"],
                accuracies=result["accuracies"],
            )

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._mirror.wake()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        runs = self._searcher.plan.runs
        pack = [runs[run] for run in trial.config["runs"]]
        for spec in pack:
            self._store.fail(spec, _failure(spec, pack, trial))
        self._mirror.wake()


def _failure(spec: Spec, pack: Sequence[Spec], trial: Trial) -> Failure:
    error = trial.get_error()
    cause = getattr(error, "cause", None) or error
    text = "".join(traceback.format_exception(error)) if error is not None else "the worker left no traceback"
    return Failure(
        run_id=run_id(spec),
        error=type(cause).__name__,
        message=str(cause).strip().splitlines()[-1] if str(cause).strip() else type(cause).__name__,
        traceback=text,
        host=trial.node_ip or socket.gethostname(),
        pack=tuple(run_id(each) for each in pack),
        attempts=NUM_ATTEMPTS,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )


class MirrorThread:
    """Mirrors finished runs to MLflow beside the sweep; a tracker that is slow or down delays only this."""

    def __init__(self, mirror: Mirror, plan: Plan) -> None:
        self.note = ""
        self._mirror = mirror
        self._plan = plan
        self._wake = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> "MirrorThread":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self.wake()
        self._thread.join()

    def wake(self) -> None:
        """Say that there may be something to mirror."""
        self._wake.set()

    def _loop(self) -> None:
        while not self._over:
            self._wake.wait()
            self._wake.clear()
            outcome = self._mirror.mirror(list(self._plan.runs.values()))
            self.note = f"MLflow is {outcome.num_delayed} runs behind ({outcome.error})" if outcome.num_delayed else ""
