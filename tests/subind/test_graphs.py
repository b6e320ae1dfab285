"""Steps as CUDA graphs against the same steps one by one. Needs a CUDA device."""

import pytest
import torch
from torch import Tensor

from subind.specs.optimizers import ClipNorm
from subind.specs.run import Run
from subind.stages.run import method_of
from subind.training.graphs import NUM_EAGER_STEPS, GraphedStep
from subind.training.loop import Runtime, Trainer
from tests.specs import tiny_donor, tiny_mask, tiny_optimizer, tiny_transfer
from tests.subind.packs import PARENTS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device")

DECAYED = tiny_optimizer(weight_decay=0.1, schedule="linear_decay", clip=ClipNorm(max_norm=0.5))
PACKS = {
    "donor": [tiny_donor(optimizer=DECAYED), tiny_donor(seed=1, optimizer=DECAYED)],
    "mask": [tiny_mask(), tiny_mask(seed=1, penalty=1e-3)],
    "transfer": [tiny_transfer("subnetwork"), tiny_transfer("full_transfer", seed=1)],
}


def on_gpu(pack: list[Run], *, graphs: bool) -> Trainer:
    method, _ = method_of(pack, PARENTS, Runtime(device="cuda"))
    assert method is not None
    trainer = Trainer(method, Runtime(device="cuda"))
    if not graphs:
        trainer._on_device = trainer._step_of
    method.begin(1)
    return trainer


def losses(trainer: Trainer, num_steps: int) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    replicas, count = len(trainer.method.replicas), trainer.method.num_rows
    sizes = [trainer.batch_size, trainer.batch_size - 1]
    rows = [torch.randint(0, count, (replicas, sizes[step % 2]), generator=draws) for step in range(num_steps)]
    return torch.stack([trainer.advance(each.cuda()).clone() for each in rows])


@pytest.mark.parametrize("stage", PACKS)
def test_graphed_steps_have_the_losses_and_parameters_of_steps_one_by_one(stage: str) -> None:
    graphed, plain = (on_gpu(PACKS[stage], graphs=graphs) for graphs in (True, False))
    torch.testing.assert_close(losses(graphed, 40), losses(plain, 40), atol=1e-6, rtol=1e-5)
    for name, tensor in graphed.method.trainable.items():
        torch.testing.assert_close(tensor, plain.method.trainable[name], atol=1e-6, rtol=1e-5)


def test_step_that_cannot_be_captured_goes_on_without_a_graph() -> None:
    def step(rows: Tensor) -> Tensor:
        return rows.sum(1).float() * float(rows.sum().item() >= 0)  # .item() waits for the device: no capture

    graphed = GraphedStep(step)
    rows = torch.arange(6, device="cuda").view(2, 3)
    for _ in range(NUM_EAGER_STEPS + 2):
        assert graphed(rows).tolist() == [3.0, 12.0]
