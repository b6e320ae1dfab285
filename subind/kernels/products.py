"""Products of the replicas of a pack, each rounded as it is alone.

On a CPU, a library's product of narrow matrices depends on the addresses of its operands, and with a side of 1 on the
number of matrices (MKL 2024.2: a side below 12, and addresses that are no multiple of 16 bytes). So narrow products
are computed one by one from copies that begin where a whole vector begins; all others are one batched product. The
three sides of a product are those of the two products of its gradients, too.

On a GPU every product is a batched one, whose rounding the library may choose by the size of the pack.
"""

from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

NARROW = 16
"""A product is narrow with a side below this."""

VECTOR = 64
"""Bytes of a CPU's widest vector, and the address of which each allocation of PyTorch is a multiple."""


def product(
    a: Float[Tensor, "replica row inner"], b: Float[Tensor, "replica inner column"]
) -> Float[Tensor, "replica row column"]:
    """a·b of every replica."""
    if not _is_narrow(a, b):
        return torch.bmm(a, b)
    found: Tensor = _Narrow.apply(_as_autocast(a), _as_autocast(b))
    return found


def affine(
    bias: Float[Tensor, "replica column"],
    a: Float[Tensor, "replica row inner"],
    b: Float[Tensor, "replica inner column"],
) -> Float[Tensor, "replica row column"]:
    """a·b + bias of every replica."""
    narrow = _is_narrow(a, b)
    return product(a, b) + _as_autocast(bias)[:, None] if narrow else torch.baddbmm(bias[:, None], a, b)


def _is_narrow(a: Tensor, b: Tensor) -> bool:
    return a.device.type == "cpu" and min(*a.shape[1:], b.shape[2]) < NARROW


def _as_autocast(x: Tensor) -> Tensor:
    """An operand of a narrow product in the precision in which autocast, if it is on, has PyTorch's own products."""
    return x.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else x


class _Narrow(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _one_by_one(a, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        (gradient,) = gradients
        of_a = _one_by_one(gradient, b.transpose(1, 2)) if ctx.needs_input_grad[0] else None
        of_b = _one_by_one(a.transpose(1, 2), gradient) if ctx.needs_input_grad[1] else None
        return of_a, of_b


def _one_by_one(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([torch.mm(*pair) for pair in zip(_apart(a), _apart(b), strict=True)])


def _apart(x: Tensor) -> tuple[Tensor, ...]:
    """Contiguous copies of the matrices of a pack, each of which begins at a multiple of VECTOR."""
    size, step = prod(x.shape[1:]), VECTOR // x.element_size()
    copies = x.new_empty(len(x), -(-size // step) * step)[:, :size].view(x.shape)
    return copies.copy_(x).unbind()
