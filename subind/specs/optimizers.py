"""How a run is optimised: its precision, its optimiser, and the clipping of gradients."""

from dataclasses import dataclass
from typing import Literal

from subind.specs.base import Checked, not_negative, positive, require

Precision = Literal["float32", "tf32", "bfloat16", "float32_channels_last", "bfloat16_channels_last"]
"""Of the operands in products of parameters; all else is float32. TF32 exists on CUDA devices only. "channels_last" is
the layout of images in memory, which changes the order of sums and, on a GPU, the speed."""

Schedule = Literal["constant", "linear_decay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoClip(Checked):
    """Gradients are used as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipNorm(Checked):
    """Gradients of one model are scaled down to the L2 norm `max_norm` where they exceed it."""

    max_norm: float

    def _check(self) -> None:
        positive(self, "max_norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW(Checked):
    """AdamW with betas (0.9, 0.999) and epsilon 1e-8; the schedule is over all planned steps."""

    learning_rate: float
    weight_decay: float
    schedule: Literal["constant", "linear_decay"]
    clip: NoClip | ClipNorm

    def _check(self) -> None:
        positive(self, "learning_rate")
        not_negative(self, "weight_decay")
        _check_decay(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SGD(Checked):
    """Gradient descent with momentum, as torch.optim.SGD has it; weight decay is added to the gradient."""

    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: Schedule
    clip: NoClip | ClipNorm

    def _check(self) -> None:
        positive(self, "learning_rate")
        not_negative(self, "weight_decay")
        _check_decay(self)
        require(0 <= self.momentum < 1, self, "momentum", "give 0 to below 1")


Optimizer = AdamW | SGD


def _check_decay(made: AdamW | SGD) -> None:
    """Raise ValueError if a step would turn weights round: it multiplies them by 1 - learning_rate · weight_decay."""
    remedy = f"learning_rate is {made.learning_rate:g}, and their product must be at most 1; lower it"
    require(made.learning_rate * made.weight_decay <= 1, made, "weight_decay", remedy)


def optimizer_shape(optimizer: Optimizer) -> tuple[object, ...]:
    """What the optimisers of one pack have in common: all but the learning rate."""
    momentum = optimizer.momentum if isinstance(optimizer, SGD) else None
    return type(optimizer), momentum, optimizer.weight_decay, optimizer.schedule, optimizer.clip
