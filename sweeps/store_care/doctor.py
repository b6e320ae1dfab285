"""Checks of this machine: each one really tries what a sweep needs."""

import platform
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from subind.store import provenance
from subind.store.store import Store
from sweeps.hosts.workers import available_workers, num_cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A subject, whether a sweep can use it, and the finding or the remedy."""

    subject: str
    holds: bool
    finding: str


def checks(store: Store) -> Iterator[Check]:
    """All checks, each as soon as it is done."""
    for subject, look in _LOOKS.items():
        try:
            yield Check(subject=subject, holds=True, finding=look(store))
        except Exception as error:  # noqa: BLE001  whatever is wrong with the machine is the finding
            yield Check(subject=subject, holds=False, finding=f"{type(error).__name__}: {error}")


def _python(_: Store) -> str:
    return f"{platform.python_version()} at {sys.executable}"


def _cores_and_memory(_: Store) -> str:
    import psutil

    return f"{num_cores()} cores, {psutil.virtual_memory().available / 1e9:.1f} GB of memory free"


def _torch(_: Store) -> str:
    import torch
    import torchvision

    product = torch.ones(64, 64) @ torch.ones(64, 64)
    assert float(product[0, 0]) == 64.0, "a matrix product came out wrong: reinstall torch"
    return f"torch {torch.__version__}, torchvision {torchvision.__version__}"


def _workers(_: Store) -> str:
    workers = available_workers("auto")
    return f"{workers.num_workers} workers on {workers.device}"


def _code(_: Store) -> str:
    found = provenance.code()
    if found.unknown:
        return f"commit {found.commit[:10] or 'unknown'}, perhaps with changes: {found.unknown}"
    return f"commit {found.commit[:10]}{', with changes' if found.dirty else ''}"


def _store(store: Store) -> str:
    return store.check_writable(uuid.uuid4().hex)


def _disk(store: Store) -> str:
    if not store.is_local:
        return "the store is remote"
    folder = Path(store.url)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < 1e9:
        raise ValueError(f"{free / 1e9:.2f} GB free on the disk of {store.url}: free some, or choose another --store")
    return f"{free / 1e9:.0f} GB free"


def _ray(_: Store) -> str:
    import ray

    from sweeps.hosts.local_ray import local_ray

    with local_ray(num_cpus=1):
        if ray.get(ray.remote(lambda: 6 * 7).remote()) != 42:
            raise ValueError("a Ray task came back wrong: reinstall ray")
    return f"ray {ray.__version__} starts and runs a task, on loopback"


def _mlflow(_: Store) -> str:
    """Ask the tracking server of the environment, or create a database of our own, as every store has one."""
    import mlflow

    from sweeps.mirror.mirror import Mirror

    with tempfile.TemporaryDirectory(prefix="subind-doctor-") as folder:
        Mirror(Store(folder), grid="subind-doctor").num_complete()
    return f"mlflow {mlflow.__version__} answers"


_LOOKS: dict[str, Callable[[Store], str]] = {
    "Python": _python,
    "code": _code,
    "cores and memory": _cores_and_memory,
    "PyTorch": _torch,
    "workers": _workers,
    "store": _store,
    "disk": _disk,
    "Ray": _ray,
    "MLflow": _mlflow,
}
