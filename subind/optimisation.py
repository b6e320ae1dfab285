"""AdamW over the stacked parameters of a pack, with per-replica gradient clipping and a learning-rate schedule."""

from collections.abc import Mapping, Sequence
from typing import assert_never

import torch
from torch import Tensor

from subind.models.gpt2 import Parameters
from subind.spec import AdamW, ClipNorm, NoClip


class PackedAdamW:
    """One optimiser for all replicas; every rule of AdamW is elementwise, so the replicas do not touch each other."""

    def __init__(self, parameters: Parameters, optimizer: AdamW, *, num_steps: int) -> None:
        self._optimizer = optimizer
        self._num_steps = num_steps
        self._done = 0
        self._adamw = _adamw(parameters, optimizer)
        self._names = list(parameters)

    def schedule(self) -> None:
        """Set the learning rate of the next step, and count it; to be called before every step."""
        rate = self._adamw.param_groups[0]["lr"]
        if isinstance(rate, Tensor):
            rate.fill_(self._learning_rate())
        else:
            self._adamw.param_groups[0]["lr"] = self._learning_rate()
        self._done += 1

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Apply one step of gradients, in the order of the parameters; clips them in place."""
        parameters = self._parameters()
        # torch's fused AdamW reads another layout as if it were the parameter's
        own = [gradient.contiguous() for gradient in gradients]
        match self._optimizer.clip:
            case NoClip():
                pass
            case ClipNorm(max_norm=max_norm):
                _clip(own, max_norm)
            case _:
                assert_never(self._optimizer.clip)
        for parameter, gradient in zip(parameters, own, strict=True):
            parameter.grad = gradient
        self._adamw.step()
        for parameter in parameters:
            parameter.grad = None

    def _learning_rate(self) -> float:
        match self._optimizer.schedule:
            case "constant":
                return self._optimizer.learning_rate
            case "linear_decay":
                return self._optimizer.learning_rate * max(0.0, 1 - self._done / self._num_steps)
            case _:
                assert_never(self._optimizer.schedule)

    def _parameters(self) -> list[Tensor]:
        return list(self._adamw.param_groups[0]["params"])

    def state(self) -> Parameters:
        """Both moments of every parameter, by `<moment>.<name>`; empty before the first step."""
        return {
            f"{moment}.{name}": self._adamw.state[parameter][moment]
            for name, parameter in zip(self._names, self._parameters(), strict=True)
            if parameter in self._adamw.state
            for moment in ("exp_avg", "exp_avg_sq")
        }

    def select(self, parameters: Parameters, index: Tensor) -> None:
        """Go on with the replicas at `index`, whose parameters are now `parameters`."""
        self._rebuild(parameters, {name: tensor[index] for name, tensor in self.state().items()}, self._done)

    def restore(self, state: Mapping[str, Tensor], *, num_steps_done: int) -> None:
        """Go on from the moments that `state()` gave after so many steps."""
        self._rebuild(dict(zip(self._names, self._parameters(), strict=True)), state, num_steps_done)

    def _rebuild(self, parameters: Parameters, state: Mapping[str, Tensor], num_steps_done: int) -> None:
        self._adamw = _adamw(parameters, self._optimizer)
        self._done = num_steps_done
        for name, parameter in parameters.items():
            if f"exp_avg.{name}" in state:
                self._adamw.state[parameter] = {
                    "step": torch.tensor(float(num_steps_done), device=parameter.device),
                    "exp_avg": state[f"exp_avg.{name}"].to(parameter.device).clone(),
                    "exp_avg_sq": state[f"exp_avg_sq.{name}"].to(parameter.device).clone(),
                }


def _adamw(parameters: Parameters, optimizer: AdamW) -> torch.optim.AdamW:
    """On a CUDA device the learning rate is a tensor there, so that a captured step reads it anew."""
    device = next(iter(parameters.values())).device
    captured = device.type == "cuda"
    return torch.optim.AdamW(
        list(parameters.values()),
        lr=torch.tensor(optimizer.learning_rate, device=device) if captured else optimizer.learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=optimizer.weight_decay,
        fused=True,
        capturable=captured,
    )


def _clip(gradients: Sequence[Tensor], max_norm: float) -> None:
    """Scale each replica's gradients down to the L2 norm `max_norm` over all parameters where they exceed it."""
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
    factor = (max_norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))
