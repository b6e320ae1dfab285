"""What replicas need of memory. The oracle is the peak of a process that trains them."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.training import Case, pack
from subind.specs.networks import GPT2
from subind.specs.run import Run, Stage
from sweeps.costs.memory import bytes_per_replica, check_fits, most_replicas
from sweeps.grids import protocol
from tests.conftest import REPOSITORY
from tests.specs import tiny_donor, tiny_transfer
from tests.sweeps.conftest import Call
from tests.vision_specs import image_donor

MEASURED = """
import sys
from pathlib import Path
import torch
from benchmarks.training import Case, pack, untrained
from subind.stages.run import method_of
from subind.training.loop import Runtime, Trainer

torch.set_num_threads(1)
STAGE, LAYERS = sys.argv[1], int(sys.argv[2])


def peak(replicas):
    runtime = Runtime(device="cpu", num_threads=1)
    method, _ = method_of(pack(Case(stage=STAGE, num_layers=LAYERS, replicas=replicas)), untrained, runtime)
    trainer = Trainer(method, runtime)
    rows = torch.arange(trainer.batch_size).expand(replicas, -1)
    for _ in range(3):
        trainer.advance(rows)
    method.evaluate()
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
@pytest.mark.parametrize("stage", ["donor", "mask", "transfer"])
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


BIG = GPT2(num_layers=100, d_model=16_384, num_heads=8, dropout=0.0)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (tiny_donor(model=BIG), r"Train\.model is GPT2\(num_layers=100, d_model=16384"),
        (tiny_donor(num_samples=2**31 - 1), r"Train\.rows is .*num_samples=2147483647"),
        (tiny_donor(num_evaluation_samples=2**31 - 1), r"Train\.num_evaluation_samples is 2147483647"),
        (tiny_transfer("random_init", num_disambiguation=2**31 - 99), r"Transfer\.rows is .*samples=2147483549"),
        (tiny_donor(num_samples=10**7, batch_size=10**7), r"Train\.batch_size is 10000000"),
        (image_donor(num_samples=2**30), r"Train\.rows is .*num_samples=1073741824"),
    ],
    ids=["model", "samples", "evaluation", "disambiguation", "batch", "pictures"],
)
def test_run_that_no_memory_holds_is_refused_by_its_largest_field(spec: Run, field: str) -> None:
    with pytest.raises(ValueError, match=rf"{field}.*: one replica needs about [\d,]+ GB, .* this machine has 10 GB"):
        check_fits([tiny_donor(), spec], device_bytes=1e10, device="this machine has")


def test_batch_larger_than_the_samples_takes_no_more_than_they_do() -> None:
    assert bytes_per_replica(tiny_donor(batch_size=2**31 - 1)) == bytes_per_replica(tiny_donor(batch_size=24))


def test_plan_of_what_no_machine_holds_is_refused(subind: Call, tmp_path: Path) -> None:
    (tmp_path / "big.py").write_text(
        "from subind import GPT2, RandomInit\nfrom tests.specs import tiny_transfer\n"
        "MODEL = GPT2(num_layers=1000, d_model=65_536, num_heads=8, dropout=0.0)\n"
        "def grid():\n    return tiny_transfer(start=RandomInit(model=MODEL))\n"
    )
    status, out, err = subind("plan", "big.py", "--device", "cpu")
    assert (status, out) == (2, "")
    assert "Transfer.network is GPT2(num_layers=1000" in err


def test_plan_of_curves_that_no_record_holds_is_refused(subind: Call, tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(
        "from tests.specs import tiny_mask, tiny_transfer\n"
        "def grid():\n    return tiny_transfer(mask=tiny_mask(num_epochs=100_000))\n"
    )
    status, out, err = subind("plan", "long.py", "--device", "cpu")
    assert (status, out) == (2, "")
    assert "Discover.num_epochs is 100,000: give at most 64,000" in err
