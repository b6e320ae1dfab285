"""What runs cost and how fast workers are. The oracle is PyTorch's own count of operations, and arithmetic."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from subind.models import gpt2
from subind.randomness import generator
from subind.results import RunRecord
from subind.spec import GPT2, Spec
from sweeps.cost import assumed_cpu_speed, measured_speed, operations, operations_done
from sweeps.grids import protocol
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.sweeps.fabricated import fabricated_record


def _counted(model: GPT2, num_rows: int) -> float:
    """Operations of the forward pass over rows of three tokens, as PyTorch counts them."""
    parameters = gpt2.stacked([gpt2.initial(model, 13, generator("donor/initial", 0))])
    tokens = torch.zeros(1, num_rows, 3, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        gpt2.logits(parameters, gpt2.hidden(parameters, tokens, model, None))
    return float(counter.get_total_flops())


def _record(spec: Spec, *, seconds: float, pack_size: int = 1, device: str = "cpu", num_epochs: int = 2) -> RunRecord:
    record = fabricated_record(spec, num_epochs=num_epochs)
    provenance = replace(record.provenance, seconds=seconds, pack_size=pack_size, device=device)
    return replace(record, provenance=provenance)


@pytest.mark.parametrize("num_layers", [1, 3])
def test_operations_of_a_donor_are_those_that_pytorch_counts(num_layers: int) -> None:
    model = GPT2(num_layers=num_layers, d_model=32, num_heads=2, dropout=0.0)
    donor = tiny_donor(model=model, num_samples=24, num_evaluation_samples=12, num_epochs=5)
    counted = 5 * (3 * _counted(model, 24) + _counted(model, 12))
    assert operations(donor) == pytest.approx(counted, rel=0.02)  # attention over three positions is not counted by us


def test_operations_of_a_transfer_grow_by_those_of_its_disambiguation_samples() -> None:
    control = protocol.controls(protocol.mask(2, seed=0))[0]
    none, many = (operations(protocol.transfer(control, num_disambiguation=n, seed=0)) for n in (0, 10000))
    num_parameters = 12 * 2 * 128**2 + 1001 * 128
    assert many - none == 100 * 10000 * 3 * 6 * num_parameters  # epochs, samples, positions, forward and backward


def test_donor_without_epochs_still_costs_its_evaluation() -> None:
    assert operations(tiny_donor(num_epochs=0)) > 0


def test_operations_done_of_a_run_that_stopped_early_are_its_share() -> None:
    donor = tiny_donor(num_epochs=8)
    assert operations_done(donor, fabricated_record(donor, num_epochs=2)) == operations(donor) / 4


def test_measured_speed_without_finished_runs_is_none() -> None:
    assert measured_speed([], device="cpu") is None


def test_measured_speed_of_a_run_is_its_operations_a_second() -> None:
    donor = tiny_donor(num_epochs=2)
    assert measured_speed([(donor, _record(donor, seconds=4.0))], device="cpu") == pytest.approx(operations(donor) / 4)


def test_measured_speed_of_a_pack_counts_its_time_once() -> None:
    pack = [tiny_transfer(seed=seed) for seed in range(5)]
    finished = [(spec, _record(spec, seconds=10.0, pack_size=5)) for spec in pack]
    assert measured_speed(finished, device="cpu") == pytest.approx(5 * operations(pack[0]) / 10)


SPEEDS: Mapping[str, float] = {"cpu": 1.0, "cuda": 100.0}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_measured_speed_is_of_runs_on_the_kind_of_device(device: str) -> None:
    slow, fast = tiny_mask(num_epochs=2, seed=0), tiny_mask(num_epochs=2, seed=1)
    finished = [(slow, _record(slow, seconds=100.0)), (fast, _record(fast, seconds=1.0, device="NVIDIA H200"))]
    assert measured_speed(finished, device=device) == pytest.approx(SPEEDS[device] * operations(slow) / 100)


def test_assumed_speed_of_a_core_is_a_share_of_the_machine() -> None:
    assert 1e6 < assumed_cpu_speed(2) < 1e13
