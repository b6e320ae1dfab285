"""The loop as it is commonly written: one transformers model at a time, a DataLoader, torch's AdamW at its defaults."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, assert_never

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from subind.masks import hard as masks
from subind.specs.base import behaviour
from subind.specs.mask_methods import ContinuousSparsification
from subind.specs.networks import GPT2
from subind.specs.run import MaskRun
from subind.specs.runs import Discover, Train, Transfer
from subind.specs.tasks import Tokens
from subind.stages.parents import MASK_FILE, WEIGHTS_FILE, ReadFile, network_of
from subind.tasks.task import training_rows

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

Step = Callable[[], None]
TrainingRun = Train | Discover | Transfer


def plain_step(spec: TrainingRun, *, read: ReadFile, device: str) -> Step:
    """One training step of one model. Neither clips nor schedules, as many loops do not: that would make it slower.

    Raises ValueError if transformers is not installed.
    """
    model = _model(spec, device)
    batches = _batches(spec, device)
    match spec:
        case Train():
            return _network_step(model, spec, batches)
        case Discover():
            model.load_state_dict(load(read(spec.donor, WEIGHTS_FILE)))
            return _mask_step(model, spec, batches)
        case Transfer():
            _freeze(model, spec, read, device)
            return _network_step(model, spec, batches)
        case _:
            assert_never(spec)


def _model(spec: TrainingRun, device: str) -> "GPT2LMHeadModel":
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        raise ValueError(
            "transformers is not installed: the benchmark compares with a loop over its GPT-2; install the development "
            "dependencies with `uv sync`"
        ) from None
    model, inputs = spec.network, spec.task.signature().inputs
    assert isinstance(model, GPT2)
    assert isinstance(inputs, Tokens)
    config = GPT2Config(
        vocab_size=inputs.vocabulary_size,
        n_positions=inputs.length + 1,
        n_embd=model.d_model,
        n_layer=model.num_layers,
        n_head=model.num_heads,
        embd_pdrop=model.dropout,
        attn_pdrop=model.dropout,
        resid_pdrop=model.dropout,
        bos_token_id=None,
        eos_token_id=None,
    )
    found = GPT2LMHeadModel(config)
    found.loss_type = "ForCausalLM"  # its own choice, which it warns of unless it is told
    nn.Module.to(found, device)  # transformers wraps its own so that type checkers lose its signature
    found.train()
    return found


def _batches(spec: TrainingRun, device: str) -> Iterator[Tensor]:
    rows = TensorDataset(training_rows(behaviour(spec.task), spec.rows, spec)["tokens"])
    loader = DataLoader(rows, batch_size=spec.batch_size, shuffle=True)
    while True:
        for (batch,) in loader:
            yield batch.to(device)


def _network_step(model: "GPT2LMHeadModel", spec: Train | Transfer, batches: Iterator[Tensor]) -> Step:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=spec.optimizer.learning_rate, weight_decay=spec.optimizer.weight_decay
    )

    def step() -> None:
        batch = next(batches)
        optimizer.zero_grad()
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()

    return step


def _freeze(model: "GPT2LMHeadModel", spec: Transfer, read: ReadFile, device: str) -> None:
    """Give the kept weights no gradient, through a hook."""
    (mask,) = (parent for parent in spec.parents() if isinstance(parent, MaskRun))
    model.load_state_dict(load(read(mask.donor, WEIGHTS_FILE)))
    for name, kept in masks.unpacked_bits(read(mask, MASK_FILE)).items():
        trained = (~kept).to(device)
        model.transformer.get_parameter(name).register_hook(lambda gradient, trained=trained: gradient * trained)


def _mask_step(model: "GPT2LMHeadModel", spec: Discover, batches: Iterator[Tensor]) -> Step:
    method = spec.method
    assert isinstance(method, ContinuousSparsification)
    model.eval().requires_grad_(False)
    weights = {name: model.transformer.get_parameter(name) for name in network_of(spec).maskable}
    logits = {name: torch.full_like(each, method.initial_logit, requires_grad=True) for name, each in weights.items()}
    optimizer = torch.optim.AdamW(
        list(logits.values()), lr=spec.optimizer.learning_rate, weight_decay=spec.optimizer.weight_decay
    )
    temperature = method.temperature.temperature(1, num_epochs=spec.num_epochs)

    def step() -> None:
        batch = next(batches)
        optimizer.zero_grad()
        soft = {name: torch.sigmoid(temperature * each) for name, each in logits.items()}
        masked = {f"transformer.{name}": weights[name] * each for name, each in soft.items()}
        output = torch.func.functional_call(model, masked, kwargs={"input_ids": batch, "labels": batch})
        penalty = method.penalty * torch.stack([each.sum() for each in soft.values()]).sum()
        (output.loss + penalty).backward()
        optimizer.step()

    return step
