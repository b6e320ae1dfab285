"""The independent GPT-2 that ours is compared with, and signatures of tasks of which only these are needed."""

from collections.abc import Sequence

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from subind.networks.gpt2 import PackedGPT2
from subind.networks.network import State
from subind.specs.networks import GPT2
from subind.specs.tasks import Signature, Tokens
from subind.training import tensors

VOCABULARY = 1001
LENGTH = 3
"""Tokens that a network reads; wpe has one row more."""


def tokens_signature(vocabulary: int = VOCABULARY) -> Signature:
    """Of a task with rows of LENGTH tokens."""
    return Signature(inputs=Tokens(vocabulary_size=vocabulary, length=LENGTH), num_outputs=vocabulary)


def reference(model: GPT2, *, seed: int, vocabulary: int = VOCABULARY) -> GPT2LMHeadModel:
    """The model of transformers in evaluation mode, every parameter moved away from 0 and 1."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=LENGTH + 1,
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


def packed(references: Sequence[GPT2LMHeadModel], network: PackedGPT2) -> State:
    """The pack of those models."""
    states = [network.from_library(each.state_dict()) for each in references]
    return State(parameters=tensors.stacked([each.parameters for each in states]), statistics={})
