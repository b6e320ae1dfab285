"""Operations of GPT-2 on a CPU in float32, as autograd functions over the kernels: fewer passes, the same numbers.

The same numbers as PyTorch's operations up to rounding; a replica's do not depend on its pack.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from subind import kernels


def gelu_new(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """GELU in GPT-2's approximation."""
    found: Tensor = _GeluNew.apply(x)
    return found


def layer_norm(
    x: Float[Tensor, "replica token d_model"],
    weight: Float[Tensor, "replica d_model"],
    bias: Float[Tensor, "replica d_model"],
) -> Float[Tensor, "replica token d_model"]:
    """LayerNorm with each replica's own weight and bias."""
    found: Tensor = _LayerNorm.apply(x, weight, bias)
    return found


def causal_attention(
    joined: Float[Tensor, "replica batch position 3 head d_head"],
    factors: Float[Tensor, "replica batch head query key"] | None,
) -> Float[Tensor, "replica batch position head d_head"]:
    """softmax(q·k/√d_head) over the past, times the dropout `factors`, applied to v; `joined` holds q, k and v."""
    found: Tensor = _CausalAttention.apply(joined, factors)
    return found


def cross_entropy(scores: Float[Tensor, "row vocabulary"], answers: Int[Tensor, " row"]) -> Float[Tensor, " row"]:
    """-log softmax(scores)[answer] per row. Overwrites the scores: nobody may read them afterwards."""
    found: Tensor = _CrossEntropy.apply(scores, answers)
    return found


def _array(tensor: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    return tensor.detach().contiguous().numpy()


class _GeluNew(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        kernels.gelu_forward(_array(x).ravel(), _array(out).ravel())
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        kernels.gelu_backward(_array(x).ravel(), _array(gradients[0]).ravel(), _array(out).ravel())
        return out


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = x.contiguous()
        out, mean, scale = torch.empty_like(x), x.new_empty(x.shape[:2]), x.new_empty(x.shape[:2])
        kernels.norm_forward(*map(_array, (x, weight, bias, out, mean, scale)))
        ctx.save_for_backward(x, weight, mean, scale)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, mean, scale = ctx.saved_tensors
        found = torch.empty_like(x), x.new_empty(weight.shape), x.new_empty(weight.shape)
        kernels.norm_backward(*map(_array, (gradients[0], x, weight, mean, scale, *found)))
        return found


class _CausalAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, joined: Tensor, factors: Tensor | None) -> Tensor:
        replicas, batch, length, _, heads, width = joined.shape
        joined = joined.contiguous()
        out = joined.new_empty(replicas, batch, length, heads, width)
        softmax = joined.new_empty(replicas, batch, heads, length, length)
        kernels.attention_forward(_array(joined), _strided(factors), _array(softmax), _array(out))
        ctx.save_for_backward(joined, factors, softmax)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        joined, factors, softmax = ctx.saved_tensors
        found = torch.empty_like(joined)
        kernels.attention_backward(
            _array(gradients[0]), _array(joined), _strided(factors), _array(softmax), _array(found)
        )
        return found, None


def _strided(factors: Tensor | None) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The factors where they lie, among those of other places."""
    return None if factors is None else factors.numpy()


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, answers: Tensor) -> Tensor:
        assert scores.is_contiguous()
        losses, totals = scores.new_empty(len(scores)), scores.new_empty(len(scores))
        kernels.cross_entropy_forward(*map(_array, (scores, answers, losses, totals)))
        ctx.save_for_backward(answers, totals)
        ctx.exponentials = scores.detach()
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        answers, totals = ctx.saved_tensors
        kernels.cross_entropy_backward(*map(_array, (gradients[0], answers, totals, ctx.exponentials)))
        return ctx.exponentials, None
