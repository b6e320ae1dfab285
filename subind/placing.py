"""Tensors of a pack on its device."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from subind.models.gpt2 import Parameters


def constants_on(device: str, tensors: Mapping[str, Tensor]) -> Parameters:
    """The tensors on the device."""
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def trainable_on(device: str, tensors: Mapping[str, Tensor]) -> Parameters:
    """Copies on the device that have gradients."""
    return {name: tensor.to(device).clone().requires_grad_() for name, tensor in tensors.items()}


def rows_on(device: str, rows: Sequence[Int[Tensor, "sample *position"]]) -> Int[Tensor, "replica sample *position"]:
    """One set of rows for each replica, on the device."""
    return torch.stack(list(rows)).to(device)
