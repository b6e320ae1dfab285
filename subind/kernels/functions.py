"""Operations of GPT-2 on a CPU in float32, as autograd functions over the kernels: fewer passes, the same numbers.

The same numbers as PyTorch's operations up to rounding; a replica's do not depend on its pack.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from subind.kernels import compiled as kernels


def takes(x: Tensor) -> bool:
    """Whether the operations of this module are for such a tensor."""
    return x.device.type == "cpu" and x.dtype == torch.float32


def zero_where(kept: Bool[Tensor, "*shape"], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`x` with zeros where `kept`; `x` itself if it is contiguous."""
    out = x.contiguous()
    kernels.put_zero(_array(kept).ravel(), _array(out).ravel())
    return out


def copy_where(kept: Bool[Tensor, "*shape"], source: Float[Tensor, "*shape"], out: Float[Tensor, "*shape"]) -> None:
    """Copy `source` into the contiguous `out` where `kept`."""
    assert out.is_contiguous()
    kernels.put(_array(kept).ravel(), _array(source).ravel(), _array(out).ravel())


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


def row_sums(x: Float[Tensor, "replica *shape"]) -> Float[Tensor, " replica"]:
    """The sum of each replica's numbers."""
    sums = np.empty(len(x))
    kernels.row_sums(_by_replica(x), sums)
    return torch.from_numpy(sums).float()


class SoftlyMasked(torch.autograd.Function):
    """W·σ(τ·s) and Σσ(τ·s) of every replica, in one pass each way; without `wants_sums` the sums are zeros."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        weights, logits, temperature, wants_sums = given
        soft, out = (torch.empty_like(logits, memory_format=torch.contiguous_format) for _ in range(2))
        sums = np.empty(len(soft) if wants_sums else 0)
        kernels.masked_forward(
            *map(_by_replica, (weights, logits)), _array(temperature), *map(_by_replica, (soft, out)), sums
        )
        ctx.save_for_backward(weights, soft, temperature)
        if wants_sums:
            return out, torch.from_numpy(sums).float()
        zeros = soft.new_zeros(len(soft))
        ctx.mark_non_differentiable(zeros)
        return out, zeros

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None, None]:
        weights, soft, temperature = ctx.saved_tensors
        of_weights, of_sums = gradients
        out = torch.empty_like(soft)
        kernels.masked_backward(
            *map(_by_replica, (of_weights, weights, soft)), *map(_array, (temperature, of_sums)), _by_replica(out)
        )
        return None, out, None, None


class Sampled(torch.autograd.Function):
    """W·1[σ(l + g) > ½] with logistic noise g = log(u/(1 - u)), whose gradient is that of W·σ(l + g)."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, logits: Tensor, uniform: Tensor) -> Tensor:
        soft, out = (torch.empty_like(logits, memory_format=torch.contiguous_format) for _ in range(2))
        kernels.sampled_forward(*map(_by_replica, (weights, logits, uniform, soft, out)))
        ctx.save_for_backward(weights, soft)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        weights, soft = ctx.saved_tensors
        out, ones, zeros = torch.empty_like(soft), soft.new_ones(len(soft)), soft.new_zeros(len(soft))
        kernels.masked_backward(
            *map(_by_replica, (gradients[0], weights, soft)), *map(_array, (ones, zeros)), _by_replica(out)
        )
        return None, out, None


def _by_replica(tensor: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    return _array(tensor).reshape(len(tensor), -1)


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
        kernels.attention_forward(_array(joined), _array_or_none(factors), _array(softmax), _array(out))
        ctx.save_for_backward(joined, factors, softmax)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        joined, factors, softmax = ctx.saved_tensors
        found = torch.empty_like(joined)
        kernels.attention_backward(
            _array(gradients[0]), _array(joined), _array_or_none(factors), _array(softmax), _array(found)
        )
        return found, None


def _array_or_none(factors: Tensor | None) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The factors, without the gaps between replicas: the kernel that is compiled for gaps is another one."""
    return None if factors is None else _array(factors)


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
