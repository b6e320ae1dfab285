"""Two operations of GPT-2 that PyTorch computes slowly on a CPU, as autograd functions in float32.

GELU through the logistic function instead of tanh, and causal attention over a few positions as sums of elementwise
products instead of thousands of tiny matrix products. Same numbers up to rounding.
"""

from math import pi, sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

LINEAR = 2 * sqrt(2 / pi)
CUBIC = LINEAR * 0.044715
"""gelu_new(x) = x·σ(LINEAR·x + CUBIC·x³)."""


def gelu_new(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """GELU in GPT-2's approximation."""
    found: Tensor = _GeluNew.apply(x)
    return found


def causal_attention(
    joined: Float[Tensor, "replica batch position 3 head d_head"],
    factors: Float[Tensor, "replica batch head query key"] | None,
) -> Float[Tensor, "replica batch position head d_head"]:
    """softmax(q·k/√d_head) over the past, times the dropout `factors`, applied to v; `joined` holds q, k and v."""
    found: Tensor = _CausalAttention.apply(joined, factors)
    return found


class _GeluNew(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        gate = (x * x).mul_(CUBIC).add_(LINEAR).mul_(x).sigmoid_()
        ctx.save_for_backward(x, gate)
        return x * gate

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The slope gate + x·gate·(1 - gate)·(LINEAR + 3·CUBIC·x²), times the gradient."""
        x, gate = ctx.saved_tensors
        slope = (x * x).mul_(3 * CUBIC).add_(LINEAR).mul_(x)
        torch.ops.aten.sigmoid_backward.grad_input(slope, gate, grad_input=slope)
        return slope.add_(gate).mul_(gradients[0])


class _CausalAttention(torch.autograd.Function):
    """Scores and weights are (replica, batch, query, key, head), so that every operation is wide in memory."""

    @staticmethod
    def forward(ctx: Any, joined: Tensor, factors: Tensor | None) -> Tensor:
        query, key, value = joined.unbind(3)
        length, scale = query.shape[2], 1 / sqrt(query.shape[-1])
        scores = (query.unsqueeze(3) * key.unsqueeze(2)).sum(-1).mul_(scale)
        scores.masked_fill_(torch.ones(length, length, dtype=torch.bool).triu(1).unsqueeze(-1), float("-inf"))
        softmax = scores.sub_(scores.amax(3, keepdim=True)).exp_()
        softmax.div_(softmax.sum(3, keepdim=True))
        kept = None if factors is None else factors.permute(0, 1, 3, 4, 2)
        weights = softmax if kept is None else softmax * kept
        ctx.save_for_backward(joined, softmax, weights, kept)
        mixed = weights[:, :, :, 0].unsqueeze(-1) * value[:, :, :1]
        for place in range(1, length):
            mixed[:, :, place:].addcmul_(weights[:, :, place:, place].unsqueeze(-1), value[:, :, place : place + 1])
        return mixed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        joined, softmax, weights, kept = ctx.saved_tensors
        query, key, value = joined.unbind(3)
        of_weights = (gradient.unsqueeze(3) * value.unsqueeze(2)).sum(-1)
        of_softmax = of_weights if kept is None else of_weights.mul_(kept)
        mean = (of_softmax * softmax).sum(3, keepdim=True)
        of_scores = of_softmax.sub_(mean).mul_(softmax).mul_(1 / sqrt(query.shape[-1])).unsqueeze(-1)
        of_joined = torch.zeros_like(joined, memory_format=torch.contiguous_format)
        of_query, of_key, of_value = of_joined.unbind(3)
        for at in range(query.shape[2]):
            for before in range(at + 1):
                score = of_scores[:, :, at, before]
                of_query[:, :, at].addcmul_(score, key[:, :, before])
                of_key[:, :, before].addcmul_(score, query[:, :, at])
                of_value[:, :, before].addcmul_(weights[:, :, at, before].unsqueeze(-1), gradient[:, :, at])
        return of_joined, None
