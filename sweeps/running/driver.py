"""The driver of a sweep: Ray Tune over the packs of a plan, with a live display and the MLflow mirror beside it."""

import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from math import floor
from pathlib import Path
from typing import Any

from rich.console import Console

from sweeps.hosts.local_ray import local_ray, worker_words  # isort: skip  sets what Ray reads when it is imported
import ray
from ray import cloudpickle, tune
from ray.tune import Callback, Stopper
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from subind.store.store import Store
from subind.training.loop import Runtime
from sweeps.grids.own_code import NO_OWN_CODE, OwnCode
from sweeps.hosts import stop_signals
from sweeps.hosts.ray_nodes import training_nodes
from sweeps.hosts.scratch import scratch_folder
from sweeps.hosts.sources import sources_digest
from sweeps.hosts.workers import Workers, num_cores
from sweeps.mirror.mirror import Label, Mirror, as_it_is
from sweeps.planning.plan import Plan
from sweeps.running.feed import Feed
from sweeps.running.live_progress import LiveProgress
from sweeps.running.mirror_thread import MirrorThread
from sweeps.running.searcher import PackSearcher, Place
from sweeps.running.tune_worker import Bell, trainable
from sweeps.running.verdicts import Fall, fall_of, with_words
from sweeps.running.worker import Job
from sweeps.watching.display import Display

CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}
class_cache.ENV_VARS_TO_PROPAGATE = class_cache.ENV_VARS_TO_PROPAGATE - CREDENTIALS
"""Tune would hand them to its workers in a runtime environment, which Ray logs in full; nodes have their own."""

SECONDS_AT_STOP = 4.0
"""How long Tune's loop goes on after a signal to stop. Tune then waits for 5 s more before it kills the workers."""

SECONDS_BETWEEN_LOOKS_AT_NODES = 1.0
"""How often the cluster is asked which nodes are being taken back."""


def drive(
    plan: Plan,
    store: Store,
    workers: Workers,
    *,
    tracking_uri: str | None,
    checkpoint_seconds: float,
    console: Console,
    feed: Feed | None = None,
    label: Label = as_it_is,
    images: str = "",
    own: OwnCode = NO_OWN_CODE,
) -> None:
    """Run the packs of a plan and of the feed to the end, or until Ctrl-C. What came of it stands in the store.

    They train on the cluster that this process is connected to, or else on this machine. `label` is given what the
    mirror is about to log of a run. `images` is the folder of photographs, `own` the user's code for workers.
    """
    runtime = Runtime(device=workers.device, num_threads=1, checkpoint_seconds=checkpoint_seconds, images=images)
    bell = Bell(f"subind-stop-{uuid.uuid4().hex}")
    job = replace(
        Job.of(plan, store, runtime), sources=sources_digest() if ray.is_initialized() else "", own=own, bell=bell.name
    )
    searcher = PackSearcher(
        plan, store, is_stopped=stop_signals.has_come, nodes=lambda: training_nodes(workers.device), feed=feed
    )
    progress = LiveProgress(searcher, store)
    mirror = MirrorThread(Mirror(store, grid=plan.grid, tracking_uri=tracking_uri, label=label), plan)
    with _no_heartbeat_left(searcher, store) as stop_beating, Display(console) as display:
        watcher = Watcher(searcher=searcher, display=display, progress=progress, mirror=mirror, bell=bell)
        watcher.show("Ray is starting")
        searcher.on_wait = watcher.update
        searcher.tell = display.tell
        searcher.on_finish = lambda runs: mirror.tell(searcher.states.runs[run] for run in runs)
        if job.code.unknown:
            display.tell(f"the commit or state of the code is not known ({job.code.unknown}): records say so")
        with local_ray(num_cpus=_num_cpus(workers), on_death=stop_beating), scratch_folder() as scratch:
            watcher.show("")
            with stop_signals.deferred(), mirror:
                stop = Stop(bell, searcher)
                _tuner(replace(job, scratch=str(scratch)), searcher, workers, watcher=watcher, stop=stop).fit()
                watcher.show("" if stop_signals.has_come() else "the last runs are mirrored to MLflow")
            watcher.show("stopped" if stop_signals.has_come() else "done")


def resources(workers: Workers) -> dict[str, float]:
    """What Ray reserves for a pack: a core, and of a GPU the part that leaves room for those that share it.

    Ray counts in parts of 1/10,000; a part that is rounded up would leave no room for the last one.
    """
    return {"cpu": 1, "gpu": floor(1e4 / workers.sharing) / 1e4 if workers.device == "cuda" else 0}


def placed(workers: Workers) -> Callable[[Mapping[str, Any]], tune.PlacementGroupFactory]:
    """Of a pack's config, what Ray reserves for it, and on which nodes not."""
    bundle = {name.upper(): amount for name, amount in resources(workers).items()}

    def factory(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
        if not config["avoid"]:
            return tune.PlacementGroupFactory([bundle])
        others = {"ray.io/node-id": f"!in({','.join(config['avoid'])})"}
        return tune.PlacementGroupFactory([bundle], bundle_label_selector=[others])

    return factory


def _num_cpus(workers: Workers) -> int:
    return max(workers.num_workers, num_cores())


class Stop(Stopper):
    """The end of a sweep by a signal: workers are told, and Tune's loop ends when they have saved their packs.

    Tune's own handler ends its loop at once, but not its wait for a next trial.
    """

    def __init__(self, bell: Bell, searcher: PackSearcher) -> None:
        self._bell = bell
        self._searcher = searcher
        self._end = math.inf

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles it for Tuner.restore, which is never used."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped alone."""
        return False

    def stop_all(self) -> bool:
        """Whether Tune is to end; at the first question after a signal the workers are told."""
        if not stop_signals.has_come():
            return False
        self._bell.ring()
        self._end = min(self._end, time.monotonic() + SECONDS_AT_STOP)
        return not self._searcher.running or time.monotonic() > self._end


class TuneSearcher(Searcher):
    """The searcher as Tune asks it. It stores nothing: Tuner.restore is never used, and resume is planning again."""

    def __init__(self, packs: PackSearcher) -> None:
        super().__init__(metric=None, mode=None)
        self._packs = packs

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        return self._packs.suggest(trial_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._packs.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._packs.on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


@contextmanager
def _no_heartbeat_left(searcher: PackSearcher, store: Store) -> Iterator[Callable[[], None]]:
    """Remove at the end the heartbeats of packs whose workers were ended with Ray; gives what does so."""

    def stop_beating() -> None:
        with suppress(OSError):
            for pack in searcher.unfinished():
                store.stop_beating(pack)

    try:
        yield stop_beating
    finally:
        stop_beating()
        searcher.close()


def _tuner(job: Job, searcher: PackSearcher, workers: Workers, *, watcher: Callback, stop: Stopper) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(trainable(job), placed(workers)),
        tune_config=tune.TuneConfig(
            search_alg=TuneSearcher(searcher),
            num_samples=-1,
            max_concurrent_trials=workers.num_workers,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=job.scratch,
            verbose=0,
            callbacks=[watcher],
            stop=stop,
        ),
    )


class Watcher(Callback):
    """Takes what Tune tells of the trials to the display, the searcher and the mirror."""

    def __init__(
        self, *, searcher: PackSearcher, display: Display, progress: LiveProgress, mirror: MirrorThread, bell: Bell
    ) -> None:
        self._bell = bell
        self._next_look_at_nodes = 0.0
        self._searcher = searcher
        self._display = display
        self._progress = progress
        self._mirror = mirror

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for Tuner.restore, which is never used."""
        return {}

    def update(self) -> None:
        """Bring the display up to date, if it is time to."""
        self._progress.note = self._mirror.note
        self._display.refresh(self._progress.snapshot)

    def show(self, doing: str) -> None:
        """Show the sweep now, and what the driver does that is not training."""
        self._progress.begin(doing)
        self._progress.note = self._mirror.note
        self._display.show(self._progress.snapshot())

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.update()
        if time.monotonic() > self._next_look_at_nodes:
            self._bell.ring_where_nodes_are_taken_back()
            self._next_look_at_nodes = time.monotonic() + SECONDS_BETWEEN_LOOKS_AT_NODES

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self._progress.take(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._mirror.wake()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        error, text = _error(trial)
        self._searcher.fell(trial.trial_id, lambda place: _fall(error, text, place))
        self._mirror.wake()


def _fall(error: BaseException | None, text: str, place: Place) -> Fall:
    """What befell a pack at a place. The log of a worker that died on this machine tells why."""
    fall = fall_of(error, text=text, host=place.host, node=place.node)
    return with_words(fall, worker_words(f"{error} {text}")) if fall.kind == "worker died" else fall


def _error(trial: Trial) -> tuple[BaseException | None, str]:
    """A trial's error, None if Tune has not kept it, and its text.

    They are read where Tune has just written them. `Trial.get_pickled_error` reads where they are copied to later.
    """
    path, text = trial.pickled_error_file, ""
    if trial.error_file and Path(trial.error_file).exists():
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    if path is None or not Path(path).exists():
        return None, text
    return cloudpickle.loads(Path(path).read_bytes()), text
