"""Precisions: what bfloat16 rounds, what a device refuses, and that a run's identity holds its precision."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from subind.identity.run_ids import run_id
from subind.networks import gpt2
from subind.networks.network import State
from subind.specs.run import Run
from subind.stages.parents import network_of
from subind.tasks.task import PackOrder, packed
from subind.training import tensors
from subind.training.loop import Trainer
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.packs import finished, perturbed, trainer_of

SPECS = [tiny_donor(), tiny_mask(), tiny_transfer("subnetwork")]
IDS = ["donor", "mask", "transfer"]


def test_head_in_bfloat16_is_the_product_of_rounded_operands() -> None:
    table, x = torch.randn(2, 13, 8), torch.randn(2, 3, 4, 8)
    found = gpt2.logits({"wte.weight": table}, x, precision="bfloat16")
    exact = x.bfloat16().double().flatten(1, 2) @ table.bfloat16().double().transpose(1, 2)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double().flatten(1, 2), exact, atol=1e-2, rtol=2**-8)


def loss_and_gradients(precision: str) -> tuple[Tensor, list[Tensor]]:
    donor = tiny_donor()
    pack = {name: each.requires_grad_() for name, each in tensors.stacked([perturbed(donor).parameters]).items()}
    order = PackOrder(
        runs=[donor], tasks=[donor.task], parts=[donor.rows], num_evaluation_samples=12, device="cpu", images=""
    )
    task, network, state = packed(order), network_of(donor), State(parameters=pack, statistics={})
    inputs, rows = task.batch(torch.arange(task.num_rows).unsqueeze(0))
    outputs = network.outputs(state, inputs, draws=None, training=True, precision=precision)
    loss = task.losses(outputs, rows)
    return loss.detach(), list(torch.autograd.grad(loss.sum(), list(pack.values())))


def test_loss_and_gradients_in_bfloat16_are_near_those_in_float32() -> None:
    loss, gradients = loss_and_gradients("float32")
    rounded_loss, rounded = loss_and_gradients("bfloat16")
    assert not torch.equal(loss, rounded_loss)
    torch.testing.assert_close(rounded_loss, loss, atol=0, rtol=0.01)
    exact, near = (torch.cat([each.flatten() for each in found]) for found in (gradients, rounded))
    assert float((near - exact).norm() / exact.norm()) < 0.03


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_bfloat16_run_finishes_with_finite_measurements(spec: Run) -> None:
    (done,) = finished([replace(spec, precision="bfloat16")]).values()
    assert done.replica.failure == ""
    assert done.measurements


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_parameters_of_a_bfloat16_run_are_float32(spec: Run) -> None:
    trainer: Trainer = trainer_of([replace(spec, precision="bfloat16")])
    assert {each.dtype for each in trainer.method.trainable.values()} == {torch.float32}


def test_tf32_on_a_cpu_is_refused() -> None:
    with pytest.raises(ValueError, match=r"precision is 'tf32', and cpu has none: run on a CUDA device"):
        trainer_of([tiny_donor(precision="tf32")])


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_run_id_differs_by_precision(spec: Run) -> None:
    assert len({run_id(replace(spec, precision=each)) for each in ("float32", "tf32", "bfloat16")}) == 3
