"""A sweep on a cluster of three nodes under random kills: a worker, a node or the driver, every twenty seconds.

    uv run python -m tests.end_to_end.chaos --minutes 5 --json

The driver is started again with the same command when it was killed or ended early, as a service manager would. What is
counted in the end comes from the files of the store and from the kernel's log of what was created there:
`lost` are finished runs whose record vanished or changed, `repeated` are runs that were computed to the end again after
they were finished, `identical` says whether all rows equal those of the same sweep left in peace, bit for bit.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.end_to_end.clusters import RunningCluster, cluster
from tests.end_to_end.commits import CommitLog
from tests.end_to_end.sweeps import GRID, Folder, Process, ended, folder, kill

NUM_NODES = 3
SECONDS_BETWEEN_KILLS = 20.0
NUM_EPOCHS = {"donor": 400, "mask": 600, "transfer": 1200}
SEEDS, COUNTS = (0, 1, 2, 3), (3, 6, 9, 12, 15)
NUM_TRANSFERS = len(SEEDS) * len(COUNTS) * 3

COMMAND = ("--checkpoint-seconds", "2", "--retry-failed")


def say(text: str) -> None:
    """Tell what happens, beside the result."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def write_grid(here: Folder, num_epochs: dict[str, int]) -> None:
    """60 transfers over four masks and four donors."""
    text = GRID.format(num_epochs=num_epochs, rate=1e-3)
    text = text.replace("for seed in (0, 1)", f"for seed in {SEEDS}").replace(
        "for count in (6, 12)", f"for count in {COUNTS}"
    )
    (here.path / "tiny.py").write_text(text)


@dataclass(slots=True, kw_only=True)
class Chaos:
    """The sweep under kills: its folder, its cluster, and the driver that is up."""

    here: Folder
    nodes: RunningCluster
    generator: random.Random
    driver: Process
    kills: Counter[str] = field(default_factory=Counter)
    ends: list[int] = field(default_factory=list)
    seen: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    def is_over(self) -> bool:
        """Whether the driver has ended well; one that ended otherwise is started again."""
        self.look()
        if self.driver.poll() is None:
            return False
        out, err = self.driver.communicate()
        self.ends.append(self.driver.returncode)
        for line in out.splitlines():
            if "tried again" in line or "given up" in line:
                say(f"the driver said: {line}")
        if self.driver.returncode == 0:
            return True
        say(f"the driver ended with {self.driver.returncode}: {(err or out).strip().splitlines()[-1:]}")
        self.driver = self.here.start("run", "--address", self.nodes.address, *COMMAND)
        return False

    def look(self) -> None:
        """Compare the records with those that were seen before."""
        now = self.here.states()
        self.lost |= {run for run, state in self.seen.items() if now.get(run) != state}
        self.seen |= now

    def kill_something(self) -> None:
        """Kill a worker that trains, a node, or the driver."""
        kind = self.generator.choice(("worker", "node", "driver"))
        beats = self.here.heartbeats()
        match kind:
            case "worker" if beats:
                kill(self.generator.choice(beats)["process"])
            case "node":
                self.nodes.remove(self.generator.choice(self.nodes.nodes))
                self.nodes.add()
            case "driver":
                kill(self.driver.pid)
            case _:
                return say("no worker trains just now")
        self.kills[kind] += 1
        say(f"killed: {kind}; {len(self.here.records())} runs are finished")
        return None


def chaos(*, minutes: float, seed: int) -> dict[str, Any]:
    """The figures of a calm sweep and one under kills for so many minutes."""
    with tempfile.TemporaryDirectory(prefix="subind-chaos-") as name, cluster(NUM_NODES) as nodes:
        paths = [Path(name, each) for each in ("calm", "stormy")]
        for path in paths:
            path.mkdir()
        calm = _calm_results(paths[0], nodes)
        with folder(paths[1]) as here, CommitLog(here.store) as log:
            write_grid(here, NUM_EPOCHS)
            driver = here.start("run", "--address", nodes.address, *COMMAND)
            storm = Chaos(here=here, nodes=nodes, generator=random.Random(seed), driver=driver)
            _endure(storm, minutes)
            results = here.results()
    say(f"kills {dict(storm.kills)}; the driver ended with {storm.ends}; repeated {dict(log.repeated)}")
    return {
        "cells": len(results),
        "kills": storm.kills.total(),
        "lost": len(storm.lost) + len(log.committed - results.keys()),
        "repeated": len(log.repeated),
        "identical": results == calm,
    }


def _calm_results(path: Path, nodes: RunningCluster) -> dict[str, Any]:
    start = time.monotonic()
    with folder(path) as here:
        write_grid(here, NUM_EPOCHS)
        end = ended(here.start("run", "--address", nodes.address))
        assert end.status == 0, end
        say(f"the calm sweep took {time.monotonic() - start:.0f} s: {len(here.records())} runs")
        return here.results()


def _endure(storm: Chaos, minutes: float) -> None:
    start = time.monotonic()
    next_kill = start + SECONDS_BETWEEN_KILLS
    while not storm.is_over():
        now = time.monotonic()
        if next_kill <= now < start + 60 * minutes + 1:
            storm.kill_something()
            next_kill += SECONDS_BETWEEN_KILLS
        time.sleep(0.2)
    say(f"the sweep under kills took {time.monotonic() - start:.0f} s")


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        description="A sweep on three nodes under random kills, against one left in peace."
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="how long something is killed every 20 s")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of what is killed")
    parser.add_argument("--json", action="store_true", help="print JSON for a program to read")
    given = parser.parse_args()
    found = chaos(minutes=given.minutes, seed=given.seed)
    print(json.dumps(found) if given.json else "\n".join(f"{name}: {value}" for name, value in found.items()))
    if found["lost"] or found["repeated"] or not found["identical"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
