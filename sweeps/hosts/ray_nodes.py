"""The nodes of a cluster: a task on each node reports what it is, and a sweep may use it or refuses it.

A node must run the driver's code and versions and see the driver's store. Otherwise results would depend on the
node, or be written where nobody reads them.
"""

from sweeps.hosts.local_ray import cluster_ray  # isort: skip  sets what Ray reads when it is imported
import contextlib
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import fsspec
import psutil
import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from subind.specs.quoting import quoted_path
from subind.store import provenance
from subind.store.json_fields import checked_fields
from subind.store.store import Store
from sweeps.hosts.sources import sources_digest
from sweeps.hosts.workers import Workers

__all__ = ["cluster_ray", "cluster_workers", "training_nodes"]

CRITICAL_PACKAGES = ("python", "torch", "numpy", "ray")
"""Packages that need the driver's version on every node: the numbers depend on them, and Ray requires equal
versions."""

PROBE_SECONDS = 120.0
"""How long a node may take to answer; it starts a Python process for that."""

Resource = Literal["CPU", "GPU"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What a node reports: its name, its code, its free memory, the free memory of each GPU, and why it cannot read
    the driver's mark in the store (empty if it can).
    """

    host: str
    versions: dict[str, str]
    sources: str
    free_bytes: int
    gpu_names: tuple[str, ...]
    gpu_free_bytes: tuple[int, ...]
    store_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A live node: its id, the resources that Ray assigns, and what the node reports."""

    id: str
    num_cpus: int
    num_gpus: int
    facts: NodeFacts


def training_nodes(device: str) -> frozenset[str]:
    """The ids of the live nodes with the resources that a pack needs."""
    return frozenset(node["NodeID"] for node in _living(_resource(device)))


def cluster_workers(
    store: Store, *, device: str, num_workers: int, tell: Callable[[str], None] = lambda _text: None
) -> Workers:
    """One worker per GPU of the cluster's nodes, or per CPU; `num_workers` overrides this unless it is 0.

    `device` is auto, cpu or cuda. If no node has such a device yet, this waits for the first one and calls `tell`
    every second. Raises ValueError if a node has other code, other versions or another store, or if later nodes
    cannot share the store.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"--device is {device!r}: give auto, cpu or cuda")
    kind = _resource(device)
    with mark(store) as token:
        if not _living(kind):
            _first_node(kind, tell)
        if device == "auto" and _living("GPU"):
            kind = "GPU"
        nodes = [_probed(node, store.url, token) for node in _living(kind)]
    for node in nodes:
        _check_code(node)
        _check_store(node, store)
    workers = _gpu_workers(nodes) if kind == "GPU" else _cpu_workers(nodes)
    if num_workers > workers.num_workers and not store.is_shared():
        raise ValueError(
            f"--num-workers is {num_workers} and the cluster has {workers.num_workers}, so that nodes are yet to come, "
            f"which cannot see --store {store.url!r}: give one on s3://, gs:// or a network file system"
        )
    return workers.of_number(num_workers) if num_workers else workers


def _resource(device: str) -> Resource:
    return "GPU" if device.startswith("cuda") else "CPU"


def _living(kind: Resource) -> list[dict[str, Any]]:
    return [
        node
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"] and node["Resources"].get(kind, 0) >= 1
    ]


def _first_node(kind: Resource, tell: Callable[[str], None]) -> None:
    """Wait for a node of that kind. The waiting task makes an autoscaler start one."""
    wanted = _present.options(num_cpus=1, num_gpus=1 if kind == "GPU" else 0).remote()
    start = time.monotonic()
    while not ray.wait([wanted], timeout=1.0)[0]:
        seconds = time.monotonic() - start
        tell(f"waiting for a first node with a {kind}, which the cluster's autoscaler is to start · {seconds:.0f} s")


@ray.remote(max_retries=3)
def _present() -> bool:
    return True


def _probed(node: dict[str, Any], store: str, token: str) -> Node:
    where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    name, resources = node["NodeManagerHostname"] or node["NodeManagerAddress"], node["Resources"]
    try:
        asked = _facts_here.options(scheduling_strategy=where).remote(store, token)
        data = ray.get(asked, timeout=PROBE_SECONDS)
    except RayTaskError as error:
        raise ValueError(
            f"node {name} cannot run this code ({_last_line(error)}): install the driver's there"
        ) from None
    except RayError as error:
        raise ValueError(f"node {name} does not answer ({_last_line(error)}): take it out of the cluster") from None
    given = checked_fields(NodeFacts, data, source=f"what node {name} says of itself")
    facts = NodeFacts(**{**given, **{field: tuple(given[field]) for field in ("gpu_names", "gpu_free_bytes")}})
    return Node(
        id=node["NodeID"], num_cpus=int(resources.get("CPU", 0)), num_gpus=int(resources.get("GPU", 0)), facts=facts
    )


def _last_line(error: Exception) -> str:
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


@ray.remote(num_cpus=0, max_retries=1)
def _facts_here(store: str, token: str) -> dict[str, Any]:
    return asdict(node_facts(store, token))


def node_facts(store: str, token: str) -> NodeFacts:
    """What this process reports about its node."""
    cards = _cards()
    return NodeFacts(
        host=socket.gethostname(),
        versions=provenance.code().versions,
        sources=sources_digest(),
        free_bytes=psutil.virtual_memory().available,
        gpu_names=tuple(name for name, _ in cards),
        gpu_free_bytes=tuple(free for _, free in cards),
        store_error=why_unseen(store, token),
    )


def _cards() -> list[tuple[str, int]]:
    """Name and free bytes of each GPU, from nvidia-smi, because Ray hides the GPUs from a task that requests none."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode != 0:
        return []
    lines = [line.rpartition(",") for line in done.stdout.splitlines() if "," in line]
    return [(name.strip(), _free_bytes(free.strip())) for name, _, free in lines]


def _free_bytes(told: str) -> int:
    """Free bytes from the MiB of nvidia-smi. A card that shares the host's memory prints [N/A], and has that memory."""
    return int(told) * 2**20 if told.isdecimal() else int(psutil.virtual_memory().available)


def _check_code(node: Node) -> None:
    facts, own = node.facts, provenance.code().versions
    for package in CRITICAL_PACKAGES:
        if facts.versions.get(package) != own.get(package):
            raise ValueError(
                f"node {facts.host} has {package} {facts.versions.get(package, 'not at all')} and the driver has "
                f"{own.get(package)}: install the same on every node, with the setup commands of cluster.yaml"
            )
    if facts.sources != sources_digest():
        raise ValueError(
            f"node {facts.host} has other sources of subind than the driver ({facts.sources[:12]} and not "
            f"{sources_digest()[:12]}): bring the same to every node, for instance by `ray up`"
        )


def _check_store(node: Node, store: Store) -> None:
    if node.facts.store_error:
        raise ValueError(
            f"--store is {store.url!r}: node {node.facts.host} does not share it ({node.facts.store_error}); "
            "give one that all nodes see, on s3://, gs:// or a network file system"
        )


def _cpu_workers(nodes: Sequence[Node]) -> Workers:
    number = sum(node.num_cpus for node in nodes)
    free_of_one = min(node.facts.free_bytes / max(1, node.num_cpus) for node in nodes)
    return Workers(device="cpu", num_workers=number, free_bytes=free_of_one * number, num_cores=number)


def _gpu_workers(nodes: Sequence[Node]) -> Workers:
    names = sorted({name for node in nodes for name in node.facts.gpu_names})
    blind = [node.facts.host for node in nodes if len(node.facts.gpu_names) < node.num_gpus]
    if blind:
        raise ValueError(
            f"nvidia-smi on node {blind[0]} does not list its GPUs: install NVIDIA's driver and tools there"
        )
    if len(names) > 1:
        raise ValueError(
            f"the cluster has GPUs of several kinds ({', '.join(names)}), on which equal runs give unequal bits: "
            "run on a cluster with one kind"
        )
    number = sum(node.num_gpus for node in nodes)
    cores_of_one = min(node.num_cpus // node.num_gpus for node in nodes)
    free = min(free for node in nodes for free in node.facts.gpu_free_bytes)
    return Workers(device="cuda", num_workers=number, name=names[0], free_bytes=free, num_cores=cores_of_one * number)


# ---- a mark in the store, for the nodes to look for: do all see the same store?


@contextlib.contextmanager
def mark(store: Store) -> Iterator[str]:
    """Write a mark into the store for the duration of the block. Raises OSError if the store cannot be written."""
    token = uuid.uuid4().hex
    files, path = _place(store.url, token)
    files.makedirs(path.rpartition("/")[0], exist_ok=True)
    try:
        files.pipe_file(path, token.encode())
    except OSError as error:
        raise OSError(
            f"the store {quoted_path(store.url)} cannot be written ({error}): make it writable, and run again"
        ) from error
    try:
        yield token
    finally:
        with contextlib.suppress(OSError):
            files.rm_file(path)


def why_unseen(url: str, token: str) -> str:
    """Why this process cannot see the mark; empty if it can."""
    try:
        files, path = _place(url, token)
        return "" if files.cat_file(path) == token.encode() else "another file stands where the driver's should"
    except FileNotFoundError:
        return "what the driver writes there is not seen"
    except Exception as error:  # noqa: BLE001  the libraries of object stores raise what they like
        return f"{type(error).__name__}: {error}"


def _place(url: str, token: str) -> tuple[fsspec.AbstractFileSystem, str]:
    files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True)
    return files, f"{root.rstrip('/')}/.mark-{token}"
