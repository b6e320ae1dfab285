"""A pack as a Ray Tune trial: what the process of a Ray worker does around it, and how the driver tells it to stop."""

import contextlib
import signal
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from types import FrameType
from typing import Any

import ray
from ray import tune
from ray.experimental import internal_kv
from ray.tune.trainable.function_trainable import FunctionTrainable, wrap_function

from sweeps.grids.own_code import install
from sweeps.hosts import stop_signals
from sweeps.hosts.sources import check_sources
from sweeps.running.worker import Job, run_pack

EVERY_NODE = "*"

SECONDS_BETWEEN_GLANCES = 0.3
"""How often a worker asks the cluster whether it is to stop, which takes a millisecond in a thread of its own."""

_under_way = threading.Event()


class PreemptedError(Exception):
    """The node of a pack is being taken back. The pack has its checkpoint, and its worker is to go."""


class Bell:
    """How a driver tells workers to stop, on any node: a name in the cluster's key-value store."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._told = frozenset[str]()

    def ring(self, nodes: Collection[str] = frozenset({EVERY_NODE})) -> None:
        """Tell the workers of these nodes, by default of all, to save and end; nothing new is told twice."""
        if not self._told.issuperset(nodes):
            self._told |= frozenset(nodes)
            internal_kv._internal_kv_put(self.name, " ".join(sorted(self._told)), overwrite=True)

    def ring_where_nodes_are_taken_back(self) -> None:
        """Tell the workers of nodes that the cluster drains, as it does before a spot market takes one back."""
        self.ring(ray._private.state.state.get_draining_nodes())

    def told(self) -> set[str]:
        """The nodes whose workers are told."""
        return set((internal_kv._internal_kv_get(self.name) or b"").decode().split())


def trainable(job: Job) -> type[FunctionTrainable]:
    """What Tune runs of the packs of a job. SIGTERM, of a node that shuts down, saves the pack before it ends."""
    function: Any = tune.with_parameters(train_pack, job=job)

    class PackTrainable(wrap_function(function, "pack")):  # type: ignore[misc]  # a class that is made here
        def setup(self, config: dict[str, Any]) -> None:
            _heed_sigterm()
            super().setup(config)

    return PackTrainable


def _heed_sigterm() -> None:
    """Have SIGTERM note that a stop has come while a pack is under way, and do what Ray has it do elsewhere."""
    before = signal.getsignal(signal.SIGTERM)

    def terminate(number: int, frame: FrameType | None) -> None:
        stop_signals.note(number)
        if not _under_way.is_set() and callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, terminate)


def train_pack(config: Mapping[str, Any], *, job: Job) -> None:
    """Compute a pack in a worker of Ray, until it is done or told to stop.

    Raises ValueError if this node has other code than the driver, or lacks a module of the grid's, and PreemptedError
    once the pack is saved if only this node is to go.
    """
    if job.sources:
        check_sources(job.sources)
    install(job.own, scratch=job.scratch)
    node = ray.get_runtime_context().get_node_id()
    here = {"host": socket.gethostname(), "node": node}
    bell = Bell(job.bell)
    with _heeding(bell, node):
        run_pack(config, job=job, send=lambda data: tune.report({**data, **here}))
        if stop_signals.has_come() and EVERY_NODE not in bell.told():
            raise PreemptedError("the node is being taken back")


@contextlib.contextmanager
def _heeding(bell: Bell, node: str) -> Iterator[None]:
    """Take the bell for a signal to stop, for the time of the block."""
    over = threading.Event()

    def glance() -> None:
        while not over.wait(SECONDS_BETWEEN_GLANCES):
            with contextlib.suppress(Exception):  # a head that is silent just now is asked again
                if {EVERY_NODE, node} & bell.told() and not stop_signals.has_come():
                    stop_signals.note(signal.SIGTERM)

    thread = threading.Thread(target=glance, daemon=True)
    thread.start()
    _under_way.set()
    try:
        yield
    finally:
        _under_way.clear()
        over.set()
        thread.join()
