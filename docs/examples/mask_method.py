"""A mask method of your own: soft masks are the sigmoid of logits, without a temperature.

uv run subind run docs/examples/mask_method.py
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

import subind as si
from sweeps.grids import quickstart


@dataclass(frozen=True, kw_only=True)
class Sigmoid(si.MaskMethod):
    """The soft mask σ(l) of logits l, from 0 on. Loss = that of the task + penalty · Σσ(l)."""

    penalty: float

    @staticmethod
    def pack(methods, *, num_epochs, device):
        return SigmoidMasks(torch.tensor([method.penalty for method in methods], device=device))


class SigmoidMasks:
    """What computes for all replicas of a pack. Tensors are [replica, *shape], by the parameters' names."""

    num_masks = 1
    draws_noise = False

    def __init__(self, penalty):
        self.constants = {"penalty": penalty}

    def initial(self, shapes):
        penalty = self.constants["penalty"]
        return {name: penalty.new_zeros(len(penalty), *shape) for name, shape in shapes.items()}

    def begin(self, epoch):
        pass

    def masked(self, weights, logits, draws):
        return {name: weights[name] * factors for name, factors in self.soft(logits).items()}

    def penalties(self, logits, *, batch_size):
        soft = self.soft(logits).values()
        each = [sum(factors[i].sum() for factors in soft) for i in range(len(self.constants["penalty"]))]
        return self.constants["penalty"] * torch.stack(each)

    def soft(self, logits):
        return {name: torch.sigmoid(own) for name, own in logits.items()}

    def measured(self):
        return [{} for _ in self.constants["penalty"]]

    def select(self, index):
        pass


def grid() -> Iterator[si.Run]:
    """The masks of quickstart, found by this method."""
    masks = {run.start.mask for run in quickstart.grid() if hasattr(run.start, "mask")}
    for mask in sorted(masks, key=lambda mask: mask.seed):
        yield replace(mask, method=Sigmoid(penalty=1e-5))
