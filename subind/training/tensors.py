"""The tensors of a pack by name: stacked, cut apart, and put on its device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

Parameters = dict[str, Tensor]
"""Tensors by name; with a leading replica axis in a pack, without it for one model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Sequences [replica batch position] and where outputs are read: at every position, or at the last alone."""

    tokens: Int[Tensor, "replica batch position"]
    read: Literal["all", "last"]


Inputs = Tensor | Tokens
"""What a network reads: tokens, normalised images [replica batch channel row column], or whatever the task gives."""


def constants_on(device: str, tensors: Mapping[str, Tensor]) -> Parameters:
    """The tensors on the device."""
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def trainable_on(device: str, tensors: Mapping[str, Tensor]) -> Parameters:
    """Copies on the device that have gradients."""
    return {name: tensor.to(device).clone().requires_grad_() for name, tensor in tensors.items()}


def rows_on(device: str, rows: Sequence[Int[Tensor, "sample *position"]]) -> Int[Tensor, "replica sample *position"]:
    """One set of rows for each replica, on the device."""
    return torch.stack(list(rows)).to(device)


def stacked(models: Sequence[Mapping[str, Tensor]]) -> Parameters:
    """A pack of the given models, which have the same tensors, in their order."""
    assert all(each.keys() == models[0].keys() for each in models), "the models of a pack have the same tensors"
    return {name: torch.stack([each[name] for each in models]) for name in models[0]}


def replica(pack: Mapping[str, Tensor], index: int) -> Parameters:
    """One model of a pack, as copies."""
    return {name: tensor[index].detach().clone() for name, tensor in pack.items()}
