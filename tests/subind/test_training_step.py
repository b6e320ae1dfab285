"""Whole training steps of a pack against transformers' models, each trained alone by torch's own AdamW."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from subind.networks.network import State
from subind.specs.optimizers import AdamW, ClipNorm
from subind.specs.runs import Discover, Transfer
from subind.stages.parents import network_of
from subind.training import tensors
from subind.training.loop import Trainer
from subind.training.tensors import Parameters
from tests.specs import tiny_donor, tiny_mask, tiny_optimizer, tiny_transfer
from tests.subind.packs import hand_mask, perturbed, trainer_of
from tests.subind.reference import reference

STEPS = 6
WHOLE = 6
"""Steps of the linear decay: one epoch of as many batches."""

OPTIMIZERS = pytest.mark.parametrize(
    "optimizer",
    [
        tiny_optimizer(),
        tiny_optimizer(weight_decay=0.1, schedule="linear_decay", clip=ClipNorm(max_norm=0.5)),
    ],
    ids=["plain", "decayed_and_clipped"],
)


def batches(trainer: Trainer) -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    replicas, count = trainer.method.tasks.constants["rows"].shape[:2]
    return [torch.randint(0, count, (replicas, trainer.batch_size), generator=draws) for _ in range(STEPS)]


def advanced(trainer: Trainer) -> Parameters:
    for rows in batches(trainer):
        trainer.advance(rows)
    with torch.no_grad():
        return trainer.method.trainable


class Alone:
    """torch's AdamW over the tensors of one model."""

    def __init__(self, tensors: Iterable[Tensor], optimizer: AdamW) -> None:
        self.tensors, self.clip = list(tensors), optimizer.clip
        self.adamw = torch.optim.AdamW(
            self.tensors, lr=optimizer.learning_rate, weight_decay=optimizer.weight_decay, foreach=False
        )
        decay = optimizer.schedule == "linear_decay"
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.adamw, lambda step: 1 - step / WHOLE if decay else 1.0)

    def step(self, loss: Tensor) -> None:
        self.adamw.zero_grad()
        loss.backward()
        if isinstance(self.clip, ClipNorm):
            nn.utils.clip_grad_norm_(self.tensors, self.clip.max_norm)
        self.adamw.step()
        self.schedule.step()


def loaded(parameters: Parameters) -> GPT2LMHeadModel:
    found = reference(tiny_donor().model, seed=0, vocabulary=13)
    state = State(parameters=parameters, statistics={})
    found.load_state_dict(network_of(tiny_donor()).to_library(state), strict=True)
    return found


def assert_equal(found: Parameters, expected: GPT2LMHeadModel, index: int) -> None:
    for name, parameter in expected.transformer.named_parameters():
        left, right = found[name][index], parameter.detach()
        if name.endswith("c_attn.bias"):
            # the softmax cancels the keys' bias: its gradient is rounding noise, which Adam scales up to whole steps
            left, right = (torch.cat([each[:16], each[32:]]) for each in (left, right))
        torch.testing.assert_close(left.detach(), right, atol=2e-5, rtol=0, msg=lambda text, at=name: f"{at}: {text}")


@OPTIMIZERS
def test_steps_of_donors_equal_those_of_transformers_models(optimizer: AdamW) -> None:
    pack = [tiny_donor(seed=seed, optimizer=optimizer, num_samples=48, num_epochs=1) for seed in range(3)]
    trainer = trainer_of(pack)
    models = [loaded(tensors.replica(trainer.method.trainable, index)) for index in range(3)]
    found = advanced(trainer)
    for index, model in enumerate(models):
        alone = Alone(model.parameters(), optimizer)
        for rows in batches(trainer):
            batch = trainer.method.tasks.constants["rows"][index][rows[index]]
            alone.step(model(batch, labels=batch).loss)
        assert_equal(found, model, index)


@OPTIMIZERS
def test_steps_of_frozen_recipients_equal_those_of_transformers_models(optimizer: AdamW) -> None:
    pack: list[Transfer] = [
        tiny_transfer(seed=seed, optimizer=optimizer, num_epochs=1, num_disambiguation=24) for seed in range(3)
    ]
    trainer = trainer_of(pack)
    models = [loaded(tensors.replica(trainer.method.trainable, index)) for index in range(3)]
    bits = hand_mask(tiny_mask())
    donor = perturbed(tiny_donor()).parameters
    found = advanced(trainer)
    for index, model in enumerate(models):
        alone = Alone(model.parameters(), optimizer)
        weights = {name: model.transformer.get_parameter(name) for name in bits}
        for name, weight in weights.items():
            weight.register_hook(lambda gradient, kept=bits[name]: gradient.masked_fill(kept, 0.0))
        for rows in batches(trainer):
            batch = trainer.method.tasks.constants["rows"][index][rows[index]]
            alone.step(model(batch, labels=batch).loss)
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(torch.where(bits[name], donor[name], weight))
        assert_equal(found, model, index)


@OPTIMIZERS
def test_steps_of_masks_equal_those_of_one_masked_transformers_model(optimizer: AdamW) -> None:
    pack: list[Discover] = [
        tiny_mask(seed=seed, penalty=1e-3, optimizer=optimizer, num_samples=48, num_epochs=1) for seed in range(3)
    ]
    trainer, model = trainer_of(pack), loaded(perturbed(tiny_donor()).parameters)
    advanced(trainer)
    weights = {name: model.transformer.get_parameter(name).detach() for name in network_of(tiny_donor()).maskable}
    for index in range(3):
        logits = {name: torch.full_like(each, -0.1, requires_grad=True) for name, each in weights.items()}
        alone = Alone(logits.values(), optimizer)
        for rows in batches(trainer):
            batch = trainer.method.tasks.constants["rows"][index][rows[index]]
            soft = {name: 1 / (1 + torch.exp(-each)) for name, each in logits.items()}
            masked = {f"transformer.{name}": weights[name] * each for name, each in soft.items()}
            output = torch.func.functional_call(model, masked, kwargs={"input_ids": batch, "labels": batch})
            alone.step(output.loss + 1e-3 * torch.stack([each.sum() for each in soft.values()]).sum())
        for name, expected in logits.items():
            torch.testing.assert_close(
                trainer.method.trainable[name][index].detach(), expected.detach(), atol=2e-5, rtol=0
            )
