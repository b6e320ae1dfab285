"""Weights that are frozen within a matrix of which the rest trains."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from subind.kernels import functions as cpu
from subind.training.tensors import Parameters


def without_gradient(own: Parameters, constants: Mapping[str, Tensor], names: Sequence[str]) -> Parameters:
    """The named parameters, whose gradient is zero where the constant `kept.NAME` is true."""
    return {name: _WithFrozen.apply(own[name], constants[f"kept.{name}"]) for name in names}


@torch.no_grad()
def put_back(own: Parameters, constants: Mapping[str, Tensor], names: Sequence[str], *, source: str) -> None:
    """Copy the constant `SOURCE.NAME` into the named parameters where `kept.NAME` is true."""
    for name in names:
        weights, kept, frozen = own[name], constants[f"kept.{name}"], constants[f"{source}.{name}"]
        if cpu.takes(weights):
            cpu.copy_where(kept, frozen, weights)
        else:
            torch.where(kept, frozen, weights, out=weights)


class _WithFrozen(torch.autograd.Function):
    """The identity, whose gradient is zero for kept weights; it is zeroed in place, for nobody else reads it."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, kept: Tensor) -> Tensor:
        ctx.save_for_backward(kept)
        return own.view_as(own)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        (gradient,) = gradients
        return cpu.zero_where(kept, gradient) if cpu.takes(gradient) else gradient.masked_fill_(kept, 0), None
