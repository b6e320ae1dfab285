"""Continuous sparsification (Savarese, Silva and Maire 2020, arXiv 1912.04427).

Weights W under the soft mask of logits s are W·σ(τ·s). The temperature τ grows from epoch to epoch, so that the soft
mask approaches the hard one, s > 0. Loss = that of the task + λ·Σσ(τ·s).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from subind.kernels import functions as cpu
from subind.kernels.sums import replica_sums
from subind.masks.method import added, filled
from subind.specs.mask_methods import ContinuousSparsification
from subind.training.draws import Draws
from subind.training.tensors import Parameters


class Behaviour:
    """Computes with ContinuousSparsification."""

    def __init__(self, method: ContinuousSparsification) -> None:
        """A behaviour is made from its spec; a pack has the specs of all its replicas."""

    @staticmethod
    def pack(methods: Sequence[ContinuousSparsification], *, num_epochs: Sequence[int], device: str) -> "SoftMasks":
        return SoftMasks(methods, num_epochs=num_epochs, device=device)


class SoftMasks:
    """The soft masks of a pack; the replicas may differ in every field of their methods and in the number of epochs.

    Penalties are of the masks that the last call of `masked` gave: both share one pass over the weights.
    """

    num_masks = 1
    draws_noise = False

    def __init__(self, methods: Sequence[ContinuousSparsification], *, num_epochs: Sequence[int], device: str) -> None:
        self._methods, self._num_epochs, self._device = list(methods), list(num_epochs), device
        self._epoch = 1
        penalty = torch.tensor([method.penalty for method in methods], device=device)
        self.constants: Parameters = {"penalty": penalty, "temperature": torch.ones_like(penalty)}
        self._is_penalised = any(method.penalty > 0 for method in methods)
        self._sums: Tensor | None = None
        self.begin(1)

    def initial(self, shapes: Mapping[str, tuple[int, ...]]) -> Parameters:
        return filled([method.initial_logit for method in self._methods], shapes, device=self._device)

    def begin(self, epoch: int) -> None:
        self._epoch = epoch
        self.constants["temperature"].copy_(torch.tensor(self._temperatures()))

    def masked(self, weights: Parameters, logits: Parameters, draws: Draws | None) -> Parameters:
        temperature, found, sums = self.constants["temperature"], {}, []
        for name, own in logits.items():
            found[name], each = softly_masked(weights[name], own, temperature, wants_sums=self._is_penalised)
            sums.append(each)
        self._sums = added(sums) if self._is_penalised else None
        return found

    def penalties(self, logits: Parameters, *, batch_size: int) -> Float[Tensor, " replica"]:
        sums, self._sums = self._sums, None
        if not self._is_penalised:
            return torch.zeros_like(self.constants["penalty"])
        assert sums is not None, "call `masked` first"
        return self.constants["penalty"] * sums

    def soft(self, logits: Parameters) -> Parameters:
        temperature = self.constants["temperature"]
        return {
            name: torch.stack([torch.sigmoid(each * scale) for each, scale in zip(own, temperature, strict=True)])
            for name, own in logits.items()
        }

    def measured(self) -> list[dict[str, float]]:
        return [{"temperature": temperature} for temperature in self._temperatures()]

    def select(self, index: Sequence[int]) -> None:
        self._methods = [self._methods[place] for place in index]
        self._num_epochs = [self._num_epochs[place] for place in index]
        self._is_penalised = any(method.penalty > 0 for method in self._methods)

    def _temperatures(self) -> list[float]:
        """Of the epoch that has begun; a run without epochs is measured at the temperature 1."""
        pairs = zip(self._methods, self._num_epochs, strict=True)
        return [
            method.temperature.temperature(self._epoch, num_epochs=number) if number else 1.0
            for method, number in pairs
        ]


def softly_masked(
    weights: Float[Tensor, "replica *shape"],
    logits: Float[Tensor, "replica *shape"],
    temperature: Float[Tensor, " replica"],
    *,
    wants_sums: bool,
) -> tuple[Float[Tensor, "replica *shape"], Float[Tensor, " replica"]]:
    """W·σ(τ·s) and Σσ(τ·s), as functions of the logits s, with the temperature τ of each replica.

    Without `wants_sums` the sums are zeros.
    """
    function = cpu.SoftlyMasked if cpu.takes(logits) else _SoftlyMasked
    masked, sums = function.apply(weights, logits, temperature, wants_sums)
    return masked, sums


class _SoftlyMasked(torch.autograd.Function):
    """The gradient for the sums is added in the pass over the weights that the gradient for the products needs."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        weights, logits, temperature, wants_sums = given
        temperature = temperature.view(-1, *[1] * (logits.dim() - 1))
        soft = (logits * temperature).sigmoid_()
        ctx.save_for_backward(weights, soft, temperature)
        sums = replica_sums(soft) if wants_sums else soft.new_zeros(len(soft))
        if not wants_sums:
            ctx.mark_non_differentiable(sums)
        return weights * soft, sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None, None]:
        weights, soft, temperature = ctx.saved_tensors
        of_weights, of_sums = gradients
        found = torch.addcmul(of_sums.view_as(temperature), of_weights, weights)
        torch.ops.aten.sigmoid_backward.grad_input(found, soft, grad_input=found)
        return None, found.mul_(temperature), None, None
