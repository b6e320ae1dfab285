"""Sums over the numbers of each replica of a pack, each as it is alone.

A library's sum over rows chooses its order by the number of rows. On a CPU a compiled loop adds in one order; elsewhere
numbers are added as integers, of which any order gives the same sum.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from subind.kernels import functions as cpu

BITS = 32
"""After the binary point. Numbers of a replica whose magnitudes sum to less than 2³¹ fit into 64 bits."""


def replica_sums(x: Float[Tensor, "replica *shape"]) -> Float[Tensor, " replica"]:
    """The sum of each replica's numbers; without a gradient."""
    if cpu.takes(x):
        return cpu.row_sums(x)
    return (x.flatten(1) * 2.0**BITS).to(torch.int64).sum(1).to(x.dtype) * 2.0**-BITS


class ReplicaSums(torch.autograd.Function):
    """`replica_sums` with its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return replica_sums(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        ones = [1] * (len(ctx.shape) - 1)
        return gradients[0].view(-1, *ones).expand(ctx.shape)
