"""AdamW over the stacked parameters of a pack, with per-replica gradient clipping and a learning-rate schedule."""

from collections.abc import Mapping, Sequence
from typing import assert_never

import torch
from torch import Tensor

from subind.models.gpt2 import Parameters
from subind.spec import AdamW, ClipNorm, NoClip

MOMENTS = ("exp_avg", "exp_avg_sq")
BETAS = (0.9, 0.999)
EPSILON = 1e-8


class PackedAdamW:
    """One optimiser for all replicas; every rule of AdamW is elementwise, so the replicas do not touch each other.

    It calls the fused operation inside torch.optim.AdamW, whose constructor would load PyTorch's compiler: seconds in
    every worker. A step does nothing on the host, so that it can be captured as a CUDA graph; `schedule` does.
    """

    def __init__(self, parameters: Parameters, optimizer: AdamW, *, num_steps: int) -> None:
        self._optimizer = optimizer
        self._num_steps = num_steps
        device = next(iter(parameters.values())).device
        # on a CPU the operation reads the rate as a Python float
        self._rate = torch.zeros((), device=device, dtype=torch.float64 if device.type == "cpu" else torch.float32)
        self._done = 0
        self._begin(parameters, {}, 0)

    def _begin(self, parameters: Parameters, state: Mapping[str, Tensor], num_steps_done: int) -> None:
        self._parameters = parameters
        self._done = num_steps_done
        self._moments = {
            f"{moment}.{name}": _like(parameter, state.get(f"{moment}.{name}"))
            for name, parameter in parameters.items()
            for moment in MOMENTS
        }
        # one count per tensor, as the fused operation wants them
        self._counts = [torch.tensor(float(num_steps_done), device=self._rate.device) for _ in parameters]

    def schedule(self) -> None:
        """Set the learning rate of the next step, and count it; to be called before every step."""
        self._rate.fill_(self._learning_rate())
        self._done += 1

    def _learning_rate(self) -> float:
        match self._optimizer.schedule:
            case "constant":
                return self._optimizer.learning_rate
            case "linear_decay":
                return self._optimizer.learning_rate * max(0.0, 1 - self._done / self._num_steps)
            case _:
                assert_never(self._optimizer.schedule)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Apply one step of gradients, in the order of the parameters; clips them in place."""
        # the fused operation reads another layout as if it were the parameter's
        own = [gradient.contiguous() for gradient in gradients]
        match self._optimizer.clip:
            case NoClip():
                pass
            case ClipNorm(max_norm=max_norm):
                _clip(own, max_norm)
            case _:
                assert_never(self._optimizer.clip)
        torch._foreach_add_(self._counts, 1.0)
        torch._fused_adamw_(
            list(self._parameters.values()),
            own,
            [self._moments[f"{MOMENTS[0]}.{name}"] for name in self._parameters],
            [self._moments[f"{MOMENTS[1]}.{name}"] for name in self._parameters],
            [],  # of AMSGrad
            self._counts,
            lr=self._rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self._optimizer.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> Parameters:
        """Both moments of every parameter, by `<moment>.<name>`."""
        return dict(self._moments)

    def select(self, parameters: Parameters, index: Tensor) -> None:
        """Go on with the replicas at `index`, whose parameters are now `parameters`."""
        self._begin(parameters, {name: tensor[index] for name, tensor in self._moments.items()}, self._done)

    def restore(self, state: Mapping[str, Tensor], *, num_steps_done: int) -> None:
        """Go on from the moments that `state()` gave after so many steps."""
        self._begin(self._parameters, state, num_steps_done)


def _like(parameter: Tensor, moment: Tensor | None) -> Tensor:
    """A moment of the parameter, in its layout: the one given, or zeros."""
    found = torch.zeros_like(parameter, memory_format=torch.contiguous_format, requires_grad=False)
    return found if moment is None else found.copy_(moment)


def _clip(gradients: Sequence[Tensor], max_norm: float) -> None:
    """Scale each replica's gradients down to the L2 norm `max_norm` over all parameters where they exceed it."""
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
    factor = (max_norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))
