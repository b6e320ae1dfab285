"""What a sweep on a cluster is put through: kills, stops, junk, a full disk, other commands, a tracker that dies."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.end_to_end.clusters import RunningCluster, cluster
from tests.end_to_end.sweeps import Folder, Process, kill
from tests.small_disk import SmallDisk

NUM_NODES = 3
SECONDS_OF_A_STOP = 60.0
SECONDS_OF_A_FULL_DISK = 8.0
SECONDS_WITHOUT_A_TRACKER = 8.0
COMMAND = ("--checkpoint-seconds", "2", "--retry-failed")
OTHER_COMMANDS = {
    "gc": ("gc", "--delete"),
    "retry": ("retry", "tiny.py", "--failed"),
    "verify": ("verify", "tiny.py", "--repair"),
}


def say(text: str) -> None:
    """Tell what happens, beside the result."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass(slots=True, kw_only=True)
class Tracker:
    """An MLflow server with a SQLite database, which can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """What a driver is given."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        """The server's database."""
        return self.folder / "mlflow.db"

    def start(self) -> None:
        """Start the server; it answers some seconds later."""
        with (self.folder / "mlflow.log").open("a") as said:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
                    *("--backend-store-uri", f"sqlite:///{self.database}", "--workers", "1"),
                    *("--artifacts-destination", str(self.folder / "artifacts")),
                ],
                cwd=self.folder,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def kill(self) -> None:
        """`kill -9` of the server and its workers."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def answers(self) -> bool:
        """Whether the server answers."""
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return True
        except OSError:
            return False

    def kill_while_it_writes(self) -> None:
        """The same as soon as the database changes, at the latest after ten seconds."""
        before, end = self._written(), time.monotonic() + 10
        while self._written() == before and time.monotonic() < end:
            time.sleep(0.005)
        self.kill()

    def _written(self) -> float:
        return self.database.stat().st_mtime if self.database.exists() else 0.0


@dataclass(slots=True, kw_only=True)
class Storm:
    """A sweep under a storm: its folder on a small disk, its cluster, its tracker, and the drivers that are up."""

    here: Folder
    disk: SmallDisk
    logs: Path
    tracker: Tracker
    generator: random.Random
    clusters: contextlib.ExitStack
    nodes: RunningCluster
    drivers: list[Process] = field(default_factory=list)
    commands: list[tuple[str, Process]] = field(default_factory=list)
    later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    strikes: Counter[str] = field(default_factory=Counter)
    ends: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seen: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    is_cluster_lost: bool = False
    deck: list[str] = field(default_factory=list)

    # ---- the sweep

    def start_driver(self) -> None:
        """Start the sweep's command, on a new cluster if the last one was lost."""
        if self.is_cluster_lost:
            self.nodes.kill()
            self.nodes = self.clusters.enter_context(cluster(NUM_NODES, log=self.logs / "cluster.log"))
            self.is_cluster_lost = False
            say("a new cluster is up")
        environment = {"MLFLOW_TRACKING_URI": self.tracker.uri}
        log = self.logs / f"driver-{len(self.ends) + len(self.drivers)}.log"
        arguments = ("--address", self.nodes.address, *COMMAND)
        self.drivers.append(self.here.start("run", *arguments, environment=environment, log=log))

    def is_over(self) -> bool:
        """Whether the sweep has ended well and nothing else is under way; a driver that ended badly starts again."""
        self._look()
        self._do_what_is_due()
        self._take_commands()
        ended = [driver for driver in self.drivers if driver.poll() is not None]
        self.drivers = [driver for driver in self.drivers if driver not in ended]
        self.ends += [driver.returncode for driver in ended]
        if ended:
            say(f"a driver ended with {[driver.returncode for driver in ended]}")
        if not self.drivers and (not self.ends or self.ends[-1] != 0 or self.is_cluster_lost):
            self.start_driver()
        return not (self.drivers or self.later or self.commands)

    def _look(self) -> None:
        """Compare the records with those that were seen before."""
        now = self.here.states()
        self.lost |= {run for run, state in self.seen.items() if now.get(run) != state}
        self.seen |= now

    def _do_what_is_due(self) -> None:
        due = [act for when, act in self.later if when <= time.monotonic()]
        self.later = [(when, act) for when, act in self.later if when > time.monotonic()]
        for act in due:
            act()

    def _take_commands(self) -> None:
        for kind, process in list(self.commands):
            if process.poll() is not None:
                self.commands.remove((kind, process))
                said = (self.logs / f"{kind}.log").read_text()
                say(f"{kind} ended with {process.returncode}: {said.strip().splitlines()[-1:]}")
                if process.returncode != 0 or "Traceback" in said:
                    self.wrong.append(f"{kind} ended with {process.returncode}: {said[-2000:]}")

    # ---- what strikes it

    def strike(self) -> None:
        """Do the next thing of a shuffled deck that has each of them once; what cannot be done now is done later."""
        kinds: dict[str, Callable[[], bool | None]] = {
            "worker": self._kill_worker,
            "node": self._lose_node,
            "driver": self._kill_driver,
            "head": self._lose_head,
            "gcs": self._kill_gcs,
            "stop": self._stop_worker,
            "junk": self._write_junk,
            "disk": self._fill_disk,
            "second driver": self.start_driver,
            "mlflow": self._kill_tracker,
            **{kind: self._other(kind) for kind in OTHER_COMMANDS},
        }
        if not self.deck:
            self.deck = self.generator.sample(sorted(kinds), len(kinds))
        for kind in self.deck:
            if kinds[kind]() is not False:
                self.deck.remove(kind)
                self.strikes[kind] += 1
                return say(f"struck: {kind}; {len(self.here.records())} runs are finished")
        return say("nothing can be struck just now")

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self.later.append((time.monotonic() + seconds, act))

    def _a_worker(self) -> int | None:
        beats = [beat for stage in ("donor", "mask", "transfer") for beat in self.here.heartbeats(stage)]
        return self.generator.choice(beats)["process"] if beats else None

    def _kill_worker(self) -> bool:
        process = self._a_worker()
        if process:
            kill(process)
        return process is not None

    def _stop_worker(self) -> bool:
        process = self._a_worker()
        if process:
            _signal(process, signal.SIGSTOP)
            self._after(SECONDS_OF_A_STOP, lambda: _signal(process, signal.SIGCONT))
        return process is not None

    def _lose_node(self) -> bool:
        if self.is_cluster_lost:
            return False
        self.nodes.remove(self.generator.choice(self.nodes.nodes))
        self.nodes.add()
        return True

    def _kill_driver(self) -> bool:
        if not self.drivers:
            return False
        kill(self.generator.choice(self.drivers).pid)
        return True

    def _lose_head(self) -> bool:
        if self.is_cluster_lost:
            return False
        self.nodes.kill()
        self.is_cluster_lost = True
        return True

    def _kill_gcs(self) -> bool:
        if self.is_cluster_lost:
            return False
        self.nodes.kill_gcs()
        self.is_cluster_lost = True
        return True

    def _write_junk(self) -> None:
        for name, content in {
            "running/junk.json": b"{}",
            "running/notes.txt": b"who runs here?",
            "checkpoints/junk.json": b"[",
            "checkpoints/junk.safetensors": b"\x00" * 100,
            "runs/transfer/.DS_Store": b"\x00",
            "index/rows-junk.parquet": b"PAR1",
        }.items():
            path = self.here.store / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for place in ("running", "checkpoints"):
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self.here.store / place / "pipe.json")
        (self.here.store / "running" / "folder.json").mkdir(exist_ok=True)

    def _fill_disk(self) -> bool:
        if not self._a_worker():
            return False
        self.disk.fill()
        self._after(SECONDS_OF_A_FULL_DISK, self.disk.make_room)
        return True

    def _kill_tracker(self) -> None:
        self.tracker.kill_while_it_writes()
        self._after(SECONDS_WITHOUT_A_TRACKER, self.tracker.start)

    def _other(self, kind: str) -> Callable[[], None]:
        def start() -> None:
            log = self.logs / f"{kind}.log"
            self.commands.append((kind, self.here.start_command(*OTHER_COMMANDS[kind], log=log)))

        return start


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)
