"""The independent GPT-2 that ours is compared with."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from subind.networks import gpt2
from subind.specs.runs import GPT2
from subind.training import tensors
from subind.training.tensors import Parameters

VOCABULARY = 1001


def reference(model: GPT2, *, seed: int, vocabulary: int = VOCABULARY) -> GPT2LMHeadModel:
    """The model of transformers in evaluation mode, every parameter moved away from 0 and 1."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=4,
        n_embd=model.d_model,
        n_layer=model.num_layers,
        n_head=model.num_heads,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="eager",
    )
    found = GPT2LMHeadModel(config).eval()
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=draws))
    return found


def packed(references: list[GPT2LMHeadModel], model: GPT2, vocabulary: int = VOCABULARY) -> Parameters:
    """The pack of those models."""
    return tensors.stacked([gpt2.from_transformers(each.state_dict(), model, vocabulary) for each in references])
