"""A sweep in this process: the packs of a plan one after another, without Ray, for debuggers and notebooks."""

import socket
import time
from typing import Any

from rich.console import Console

from subind.store.store import Store
from subind.training.loop import Runtime
from sweeps.grids.own_code import NO_OWN_CODE, OwnCode
from sweeps.hosts import stop_signals
from sweeps.hosts.workers import Workers
from sweeps.mirror.mirror import Mirror
from sweeps.planning.plan import Plan
from sweeps.running.live_progress import LiveProgress
from sweeps.running.mirror_thread import MirrorThread
from sweeps.running.searcher import FINISHED, PackSearcher
from sweeps.running.verdicts import fall_of
from sweeps.running.worker import Job, run_pack
from sweeps.watching.display import Display

SECONDS_BETWEEN_QUESTIONS = 0.5
"""How often the searcher is asked again while another driver computes what is left, or a pause is not over."""


def drive_in_process(
    plan: Plan,
    store: Store,
    workers: Workers,
    *,
    tracking_uri: str | None,
    checkpoint_seconds: float,
    console: Console,
    images: str = "",
    own: OwnCode = NO_OWN_CODE,
) -> None:
    """Run the packs of a plan to the end, or until a signal to stop. What came of it stands in the store.

    `own` is not needed: the user's code was imported with the grid.
    """
    runtime = Runtime(device=workers.device, num_threads=1, checkpoint_seconds=checkpoint_seconds, images=images)
    job = Job.of(plan, store, runtime)
    searcher = PackSearcher(plan, store, is_stopped=stop_signals.has_come)
    progress = LiveProgress(searcher, store)
    mirror = MirrorThread(Mirror(store, grid=plan.grid, tracking_uri=tracking_uri), plan)
    console = Console(file=console.file, force_terminal=False)  # a picture that is drawn again would hide a debugger
    with Display(console) as display, stop_signals.deferred(), mirror:
        searcher.tell = display.tell
        searcher.on_finish = lambda runs: mirror.tell(searcher.states.runs[run] for run in runs)
        trial = 0
        while (config := searcher.suggest(str(trial))) != FINISHED:
            if isinstance(config, dict):
                _run(config, str(trial), job=job, searcher=searcher, progress=progress)
                mirror.wake()
                trial += 1
            else:
                time.sleep(SECONDS_BETWEEN_QUESTIONS)
            progress.note = mirror.note
            display.refresh(progress.snapshot)
        progress.begin("stopped" if stop_signals.has_come() else "done")
        display.show(progress.snapshot())


def _run(config: dict[str, Any], trial: str, *, job: Job, searcher: PackSearcher, progress: LiveProgress) -> None:
    """Compute a pack and account for it; an error of it is judged as that of a worker is."""
    host = socket.gethostname()

    def take(data: dict[str, Any]) -> None:
        searcher.on_trial_result(trial, {**data, "host": host, "node": ""})
        progress.take(trial, {**data, "host": host})

    try:
        run_pack(config, job=job, send=take)
    except Exception as error:  # noqa: BLE001  whatever a pack raises is judged
        fall = fall_of(error, text=str(error))
        searcher.on_trial_complete(trial, error=True)
        searcher.fell(trial, lambda _place: fall)
    else:
        searcher.on_trial_complete(trial)
