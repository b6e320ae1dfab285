"""A sweep on a cluster of three nodes in a storm: every twenty seconds something is killed, stopped, spoilt or started.

    uv run python -m tests.end_to_end.chaos --minutes 5 --json

In the storm a worker, a node, the head, the GCS or the driver is killed, a worker is stopped for a minute, junk is
written into the store, its disk is full, a second driver, `gc`, `retry` or `verify` is started, or the MLflow server
dies while it writes. A driver that was killed or ended early is started again with the same command, as a service
manager would. What is counted in the end comes from the files of the store and from the kernel's log of what was
created there: `lost` are finished runs whose record vanished or changed, `repeated` are runs that were computed to the
end again after they were finished, `identical` says whether all rows equal those of the same sweep left in peace, bit
for bit, `unmirrored` are runs that MLflow has not exactly once after `subind sync`, and `wrong` counts other commands
that failed. Logs stand in a folder that is named where something is wrong, and then stays.
"""

import argparse
import contextlib
import json
import random
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.end_to_end.clusters import RunningCluster, cluster
from tests.end_to_end.commits import CommitLog
from tests.end_to_end.storms import NUM_NODES, Storm, Tracker, say
from tests.end_to_end.sweeps import GRID, Folder, folder, until
from tests.small_disk import small_disk

SECONDS_BETWEEN_STRIKES = 20.0
NUM_EPOCHS = {"donor": 800, "mask": 1200, "transfer": 2400}
SEEDS, COUNTS = (0, 1, 2, 3), (3, 6, 9, 12, 15)
NUM_TRANSFERS = len(SEEDS) * len(COUNTS) * 3

SILENT_SECONDS = 600.0
"""A sweep in whose store nothing has changed for so long is stuck, also on a busy machine."""


def write_grid(here: Folder, num_epochs: dict[str, int]) -> None:
    """60 transfers over four masks and four donors."""
    text = GRID.format(num_epochs=num_epochs, rate=1e-3)
    text = text.replace("for seed in (0, 1)", f"for seed in {SEEDS}").replace(
        "for count in (6, 12)", f"for count in {COUNTS}"
    )
    (here.path / "tiny.py").write_text(text)


def chaos(*, minutes: float, seed: int, logs: Path) -> dict[str, Any]:
    """The figures of a calm sweep and one in a storm of so many minutes; what all processes say goes to `logs`."""
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="subind-chaos-")))
        nodes = stack.enter_context(cluster(NUM_NODES, log=logs / "cluster.log"))
        calm = _calm_results(work / "calm", nodes, logs)
        disk = stack.enter_context(small_disk(work / "stormy"))
        here = stack.enter_context(folder(disk.path))
        tracker = Tracker(folder=logs, port=_free_port())
        tracker.start()
        stack.callback(tracker.kill)
        storm = Storm(
            here=here, disk=disk, logs=logs, tracker=tracker, generator=random.Random(seed), clusters=stack, nodes=nodes
        )
        write_grid(here, NUM_EPOCHS)
        with CommitLog(here.store) as log:
            storm.start_driver()
            _endure(storm, minutes)
        results, unmirrored = here.results(), _unmirrored(here, tracker)
    say(f"strikes {dict(storm.strikes)}; the drivers ended with {storm.ends}; repeated {dict(log.repeated)}")
    for each in storm.wrong:
        say(each)
    return {
        "cells": len(results),
        "kills": storm.strikes.total(),
        "lost": len(storm.lost) + len(log.committed - results.keys()),
        "repeated": len(log.repeated),
        "identical": results == calm,
        "unmirrored": unmirrored,
        "wrong": len(storm.wrong),
    }


def _calm_results(path: Path, nodes: RunningCluster, logs: Path) -> dict[str, Any]:
    start = time.monotonic()
    path.mkdir()
    with folder(path) as here:
        write_grid(here, NUM_EPOCHS)
        driver = here.start("run", "--address", nodes.address, log=logs / "calm.log")
        _wait(lambda: driver.poll() is not None, here)
        assert driver.returncode == 0, f"the calm sweep ended with {driver.returncode}"
        say(f"the calm sweep took {time.monotonic() - start:.0f} s: {len(here.records())} runs")
        return here.results()


def _endure(storm: Storm, minutes: float) -> None:
    start = time.monotonic()
    next_strike = start + SECONDS_BETWEEN_STRIKES

    def is_over() -> bool:
        nonlocal next_strike
        now = time.monotonic()
        if next_strike <= now < start + 60 * minutes + 1:
            storm.strike()
            next_strike = max(next_strike + SECONDS_BETWEEN_STRIKES, now + SECONDS_BETWEEN_STRIKES / 2)
        return storm.is_over()

    _wait(is_over, storm.here)
    say(f"the sweep in the storm took {time.monotonic() - start:.0f} s")


def _wait(is_over: Callable[[], bool], here: Folder) -> None:
    """Wait for an end for as long as something changes in the store."""
    state, changed = None, time.monotonic()
    while not is_over():
        now = _state(here.store)
        if now != state:
            state, changed = now, time.monotonic()
        assert time.monotonic() - changed < SILENT_SECONDS, f"nothing has changed in the store for {SILENT_SECONDS} s"
        time.sleep(0.2)


def _state(store: Path) -> list[tuple[str, int]]:
    """What changes in a store while runs are computed: names and times."""
    found = []
    for path in (path for place in ("runs/*/*", "checkpoints/*", "running/*") for path in store.glob(place)):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.name, path.lstat().st_mtime_ns))
    return found


def _unmirrored(here: Folder, tracker: Tracker) -> int:
    """How many runs MLflow has not exactly once, after `subind sync`."""
    environment = {"MLFLOW_TRACKING_URI": tracker.uri}
    until(tracker.answers)
    sync = here.start("sync", environment=environment, log=tracker.folder / "sync.log")
    _wait(lambda: sync.poll() is not None, here)
    with contextlib.closing(sqlite3.connect(tracker.database)) as connection:
        query = (
            "SELECT value FROM tags JOIN runs USING (run_uuid) WHERE key = 'subind.run_id' AND value NOT LIKE '%=%' "
            "AND status = 'FINISHED'"
        )
        numbers = Counter(value for (value,) in connection.execute(query + " AND lifecycle_stage = 'active'"))
    return sum(numbers[run] != 1 for run in here.records())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description="A sweep on three nodes in a storm, against one left in peace.")
    parser.add_argument("--minutes", type=float, default=5.0, help="for how long something strikes every 20 s")
    parser.add_argument("--seed", type=int, default=0, help="of the order of what strikes")
    parser.add_argument("--json", action="store_true", help="print JSON for a program to read")
    given = parser.parse_args()
    logs = Path(tempfile.mkdtemp(prefix="subind-chaos-logs-"))
    say(f"logs: {logs}")
    try:
        found = chaos(minutes=given.minutes, seed=given.seed, logs=logs)
    except BaseException:
        _show(logs)
        raise
    print(json.dumps(found) if given.json else "\n".join(f"{name}: {value}" for name, value in found.items()))
    if found["lost"] or found["repeated"] or not found["identical"] or found["unmirrored"] or found["wrong"]:
        _show(logs)
        sys.exit(1)
    shutil.rmtree(logs)


def _show(logs: Path) -> None:
    for log in sorted(logs.glob("*.log")):
        say(f"the end of {log}:\n{log.read_text(errors='replace')[-1500:]}")


if __name__ == "__main__":
    main()
