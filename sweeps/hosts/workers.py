"""How many packs train at once, and on which device. Imports torch only if a GPU may be meant."""

import os
import shutil
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

import psutil

from subind.specs.quoting import quoted


def num_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """The kind of device of a worker, and how many packs train at once, `sharing` of them on each device.

    `name` is the name of the device in records. `free_bytes` is the free memory of a device for all its workers, on
    CPUs for all workers. `num_cores` is the number of cores of all workers.
    """

    device: str
    num_workers: int
    sharing: int = 1
    name: str = "cpu"
    free_bytes: float = inf
    num_cores: int = field(default_factory=num_cores)

    def of_number(self, number: int) -> "Workers":
        """The same with this many workers."""
        grown = number / self.num_workers
        free = self.free_bytes * grown if self.device == "cpu" else self.free_bytes
        return replace(self, num_workers=number, free_bytes=free, num_cores=int(self.num_cores * grown))

    def shared(self, sharing: int) -> "Workers":
        """The same with this many packs on each device."""
        return replace(self, num_workers=self.num_workers * sharing // self.sharing, sharing=sharing)

    @property
    def free_bytes_of_one(self) -> float:
        """The memory of one worker."""
        return self.free_bytes / (self.num_workers if self.device == "cpu" else self.sharing)


def available_workers(device: str) -> Workers:
    """One worker per core on the CPU, or one per GPU if there is one; `device` is auto, cpu or cuda.

    Raises ValueError for another device, and if a GPU is asked for and there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"--device is {quoted(device)}: give auto, cpu or cuda")
    num_gpus = 0 if device == "cpu" else _num_gpus()
    if device == "cuda" and num_gpus == 0:
        raise ValueError("--device is 'cuda': PyTorch sees no CUDA device on this machine; use --device cpu")
    if num_gpus == 0:
        return Workers(device="cpu", num_workers=num_cores(), free_bytes=psutil.virtual_memory().available)
    return _gpu_workers(num_gpus)


def _gpu_workers(num_gpus: int) -> Workers:
    import torch

    free = min(torch.cuda.mem_get_info(index)[0] for index in range(num_gpus))
    return Workers(device="cuda", num_workers=num_gpus, name=torch.cuda.get_device_name(0), free_bytes=free)


def _num_gpus() -> int:
    """The CUDA devices that PyTorch sees. Without NVIDIA's driver there are none, and torch is not imported."""
    if shutil.which("nvidia-smi") is None and not Path("/proc/driver/nvidia").exists():
        return 0
    import torch

    return torch.cuda.device_count()
