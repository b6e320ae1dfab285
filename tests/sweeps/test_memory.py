"""What replicas need of memory. The oracle is the peak of a process that trains them."""

import subprocess
import sys

import pytest

from subind.spec import STAGES, Stage
from sweeps.bench.training import Case, pack
from sweeps.grids import protocol
from sweeps.memory import bytes_per_replica, most_replicas
from tests.conftest import REPOSITORY
from tests.specs import tiny_transfer

MEASURED = """
import sys
from pathlib import Path
import torch
from sweeps.bench.training import Case, pack, untrained
from subind.stages import method_of
from subind.training import Runtime, Trainer

torch.set_num_threads(1)
STAGE, LAYERS = sys.argv[1], int(sys.argv[2])


def peak(replicas):
    runtime = Runtime(device="cpu", num_threads=1)
    method, _ = method_of(pack(Case(stage=STAGE, num_layers=LAYERS, replicas=replicas)), untrained, runtime)
    trainer = Trainer(method, runtime)
    rows = torch.arange(trainer.batch_size).expand(replicas, -1)
    for _ in range(3):
        trainer.advance(rows)
    method.evaluate(1)
    (line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


one = peak(1)
print((peak(9) - one) / 8)
"""
"""Prints by how many bytes the peak of a process grows with each replica that it trains.

The peak is the kernel's VmHWM: getrusage would give that of the process which started this one, if it was larger.
"""

WITHIN = 1.5


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of one program")
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("num_layers", [2, 6])
def test_bytes_per_replica_are_what_a_process_grows_by(stage: Stage, num_layers: int) -> None:
    arguments = [sys.executable, "-c", MEASURED, stage, str(num_layers)]
    told = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    estimate = bytes_per_replica(pack(Case(stage=stage, num_layers=num_layers, replicas=1))[0])
    assert estimate / WITHIN < float(told) < estimate * WITHIN


def test_bytes_of_a_donor_are_more_than_its_weights_gradients_and_moments() -> None:
    num_parameters = 12 * 2 * 128**2 + 1001 * 128
    assert bytes_per_replica(protocol.donor(2, seed=0)) > 4 * 4 * num_parameters


def test_bytes_grow_with_depth() -> None:
    assert bytes_per_replica(protocol.mask(12, seed=0)) > 3 * bytes_per_replica(protocol.mask(2, seed=0))


def test_replicas_that_fit_take_no_more_than_is_free() -> None:
    spec, free = protocol.donor(12, seed=0), 64e9
    assert most_replicas(spec, free_bytes=free) * bytes_per_replica(spec) < free


def test_replicas_that_fit_grow_with_what_is_free() -> None:
    spec = protocol.donor(12, seed=0)
    assert most_replicas(spec, free_bytes=64e9) > 2 * most_replicas(spec, free_bytes=16e9)


def test_worker_with_no_memory_tries_one_replica() -> None:
    assert most_replicas(tiny_transfer(), free_bytes=0) == 1


def test_worker_with_boundless_memory_holds_any_pack() -> None:
    assert most_replicas(protocol.donor(12, seed=0), free_bytes=float("inf")) >= 10**5
