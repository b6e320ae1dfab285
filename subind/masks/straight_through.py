"""Sampled binary masks with straight-through gradients (Csordás, van Steenkiste, Schmidhuber 2021, arXiv 2010.02066).

A mask is m = 1[σ(l + g) > ½] for a logit l and logistic noise g: it is 1 with the probability σ(l). Its gradient is
that of σ(l + g). Loss = that of the task + β/B·Σl for B rows, on the logits themselves. What is evaluated is the hard
mask, l > 0.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from subind.kernels import functions as cpu
from subind.kernels.sums import ReplicaSums
from subind.masks.method import added, filled
from subind.specs.mask_methods import StraightThrough
from subind.training.draws import Draws
from subind.training.tensors import Parameters

LARGEST = 87
"""Of the logits in a sample: e⁸⁷ and e⁻⁸⁷ are finite and not 0 in float32."""


class Behaviour:
    """Computes with StraightThrough."""

    def __init__(self, method: StraightThrough) -> None:
        """A behaviour is made from its spec; a pack has the specs of all its replicas."""

    @staticmethod
    def pack(methods: Sequence[StraightThrough], *, num_epochs: Sequence[int], device: str) -> "SampledMasks":
        return SampledMasks(methods, device=device)


class SampledMasks:
    """The sampled masks of a pack; the replicas may differ in initial logit and penalty."""

    draws_noise = True

    def __init__(self, methods: Sequence[StraightThrough], *, device: str) -> None:
        self._methods, self._device = list(methods), device
        self.num_masks = methods[0].num_masks
        self.constants: Parameters = {"penalty": torch.tensor([method.penalty for method in methods], device=device)}
        self._is_penalised = any(method.penalty > 0 for method in methods)

    def initial(self, shapes: Mapping[str, tuple[int, ...]]) -> Parameters:
        return filled([method.initial_logit for method in self._methods], shapes, device=self._device)

    def begin(self, epoch: int) -> None:
        """Nothing: all epochs are alike."""

    def masked(self, weights: Parameters, logits: Parameters, draws: Draws | None) -> Parameters:
        """One sample. The noise of the tensors is drawn in their order, so every call in a step has its own."""
        assert draws is not None, "samples need draws"
        return {name: sampled(weights[name], own, uniform_like(own, draws)) for name, own in logits.items()}

    def penalties(self, logits: Parameters, *, batch_size: int) -> Float[Tensor, " replica"]:
        if not self._is_penalised:
            return torch.zeros_like(self.constants["penalty"])
        sums = added([ReplicaSums.apply(own) for own in logits.values()])
        return self.constants["penalty"] / batch_size * sums

    def soft(self, logits: Parameters) -> Parameters:
        """The probabilities that samples keep a weight."""
        return {name: torch.stack([torch.sigmoid(each) for each in own]) for name, own in logits.items()}

    def measured(self) -> list[dict[str, float]]:
        return [{} for _ in self._methods]

    def select(self, index: Sequence[int]) -> None:
        self._methods = [self._methods[place] for place in index]
        self._is_penalised = any(method.penalty > 0 for method in self._methods)


def uniform_like(logits: Float[Tensor, "replica *shape"], draws: Draws) -> Float[Tensor, "replica *shape"]:
    """Numbers uniform on [0, 1) by the replicas' own draws."""
    return draws.uniform(prod(logits.shape[1:])).view(logits.shape)


def sampled(
    weights: Float[Tensor, "replica *shape"],
    logits: Float[Tensor, "replica *shape"],
    uniform: Float[Tensor, "replica *shape"],
) -> Float[Tensor, "replica *shape"]:
    """W·1[σ(l + g) > ½] with g = log(u/(1 - u)) of uniform u, whose gradient for the logits l is that of W·σ(l + g)."""
    function = cpu.Sampled if cpu.takes(logits) else _Sampled
    found: Tensor = function.apply(weights, logits, uniform)
    return found


class _Sampled(torch.autograd.Function):
    """σ(l + g) is u/(u + (1 - u)·e⁻ˡ): finite also where u is 0, and without a logarithm."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, logits: Tensor, uniform: Tensor) -> Tensor:
        soft = uniform / torch.addcmul(uniform, 1 - uniform, torch.exp(-logits.clamp(-LARGEST, LARGEST)))
        ctx.save_for_backward(weights, soft)
        return torch.where(soft > 0.5, weights, 0 * soft)  # not finite stays not finite

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        weights, soft = ctx.saved_tensors
        found = gradients[0] * weights
        return None, torch.ops.aten.sigmoid_backward.grad_input(found, soft, grad_input=found), None
