"""AdamW and SGD over the stacked parameters of a pack, with per-replica clipping and learning-rate schedules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import assert_never

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from subind.specs.optimizers import SGD, AdamW, ClipNorm, NoClip, Optimizer
from subind.training.tensors import Parameters

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast one replica learns: its optimiser, whose schedule is over `num_steps` steps."""

    optimizer: Optimizer
    num_steps: int

    def learning_rate(self, num_steps_done: int) -> float:
        """The rate of the step that follows so many."""
        match self.optimizer.schedule:
            case "constant":
                return self.optimizer.learning_rate
            case "linear_decay":
                return self.optimizer.learning_rate * max(0.0, 1 - num_steps_done / self.num_steps)
            case _:
                assert_never(self.optimizer.schedule)

    def is_like(self, other: "Pace") -> bool:
        """Whether both have the same rate at every step."""
        constant = self.optimizer.schedule == "constant"
        return self.optimizer == other.optimizer and (constant or self.num_steps == other.num_steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Neighbouring replicas of one pace, and their place in the pack, None where they are the whole of it."""

    pace: Pace
    place: slice | None
    parameters: list[Tensor]
    moments: dict[str, list[Tensor]]
    counts: list[Tensor]
    rate: Tensor


def moment_names(optimizer: Optimizer) -> tuple[str, ...]:
    """What the optimiser remembers of every parameter, by the names of torch.optim."""
    match optimizer:
        case AdamW():
            return "exp_avg", "exp_avg_sq"
        case SGD():
            return ("momentum_buffer",)
        case _:
            assert_never(optimizer)


class PackedOptimizer:
    """One optimiser for all replicas; its rules are elementwise, so the replicas do not touch each other.

    Momentum, weight decay and clipping are those of the first pace and of all; neighbours of one pace are stepped
    together.

    It calls the fused operations inside torch.optim, whose constructors would load PyTorch's compiler: seconds in
    every worker. A step does nothing on the host, so that it can be captured as a CUDA graph; `schedule` does.
    """

    def __init__(self, parameters: Parameters, paces: Sequence[Pace]) -> None:
        self._paces = list(paces)
        self._shared = paces[0].optimizer
        self._done = 0
        self._begin(parameters, {}, 0)

    def _begin(self, parameters: Parameters, state: Mapping[str, Tensor], num_steps_done: int) -> None:
        self._parameters = parameters
        self._done = num_steps_done
        self._moments = {
            f"{moment}.{name}": _like(parameter, state.get(f"{moment}.{name}"))
            for name, parameter in parameters.items()
            for moment in moment_names(self._shared)
        }
        self._groups = [self._group(start, stop) for start, stop in _equal_runs(self._paces)]

    @torch.no_grad()
    def _group(self, start: int, stop: int) -> _Group:
        """The replicas from `start` to before `stop`, which share a pace: all of them, or views of these."""
        device = next(iter(self._parameters.values())).device
        whole = stop - start == len(self._paces)
        parameters = [each if whole else each[start:stop] for each in self._parameters.values()]
        moments = {
            each: [self._moments[f"{each}.{name}"] for name in self._parameters] for each in moment_names(self._shared)
        }
        return _Group(
            pace=self._paces[start],
            place=None if whole else slice(start, stop),
            parameters=_pieces(parameters),
            moments={each: _pieces(of if whole else [one[start:stop] for one in of]) for each, of in moments.items()},
            # one count per tensor, as the fused operation wants them
            counts=[torch.tensor(float(self._done), device=device) for _ in _pieces(parameters)],
            # on a CPU the operation reads the rate as a Python float
            rate=torch.zeros((), device=device, dtype=torch.float64 if device.type == "cpu" else torch.float32),
        )

    def schedule(self) -> None:
        """Set the learning rates of the next step, and count it; to be called before every step."""
        for group in self._groups:
            group.rate.fill_(group.pace.learning_rate(self._done))
        self._done += 1

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Apply one step of gradients, in the order of the parameters; clips them in place."""
        # the fused operation reads another layout as if it were the parameter's
        own = [gradient.contiguous() for gradient in gradients]
        match self._shared.clip:
            case NoClip():
                pass
            case ClipNorm(max_norm=max_norm):
                _clip(own, max_norm)
            case _:
                assert_never(self._shared.clip)
        for group in self._groups:
            self._step_of(group, _pieces(own if group.place is None else [each[group.place] for each in own]))

    def _step_of(self, group: _Group, gradients: list[Tensor]) -> None:
        match self._shared:
            case AdamW():
                _adamw_step(group, gradients, self._shared)
            case SGD():
                _sgd_step(group, gradients, self._shared)
            case _:
                assert_never(self._shared)

    def state(self) -> Parameters:
        """The moments of every parameter, by `<moment>.<name>`."""
        return dict(self._moments)

    @torch.no_grad()
    def forget(self, places: Mapping[str, Bool[Tensor, "replica *shape"]]) -> None:
        """Set the moments to zero where weights were frozen: SGD's momentum gathers the decay of these too."""
        for name, bits in places.items():
            for moment in moment_names(self._shared):
                self._moments[f"{moment}.{name}"].masked_fill_(bits, 0)

    def select(self, parameters: Parameters, index: Tensor) -> None:
        """Go on with the replicas at `index`, whose parameters are now `parameters`."""
        self._paces = [self._paces[place] for place in index.tolist()]
        self._begin(parameters, {name: tensor[index] for name, tensor in self._moments.items()}, self._done)

    def restore(self, state: Mapping[str, Tensor], *, num_steps_done: int) -> None:
        """Go on from the moments that `state()` gave after so many steps."""
        self._begin(self._parameters, state, num_steps_done)


LANES = 16
"""Numbers that a CPU's vector operations take at once, at most; what is left over they round differently."""


def _pieces(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors [replica *shape], on a CPU with those apart whose replicas do not fill the vector operations.

    Else a number would be rounded by where its replica stands in the pack.
    """
    found: list[Tensor] = []
    for each in tensors:
        is_odd = each.device.type == "cpu" and each[0].numel() % LANES
        found += each.unbind() if is_odd else [each]
    return found


def _adamw_step(group: _Group, gradients: list[Tensor], shared: AdamW) -> None:
    torch._foreach_add_(group.counts, 1.0)
    torch._fused_adamw_(
        group.parameters,
        gradients,
        group.moments["exp_avg"],
        group.moments["exp_avg_sq"],
        [],  # of AMSGrad
        group.counts,
        lr=group.rate,
        beta1=BETAS[0],
        beta2=BETAS[1],
        weight_decay=shared.weight_decay,
        eps=EPSILON,
        amsgrad=False,
        maximize=False,
    )


def _sgd_step(group: _Group, gradients: list[Tensor], shared: SGD) -> None:
    """A momentum of zero is what the first step of torch.optim.SGD begins with, too."""
    torch._fused_sgd_(
        group.parameters,
        gradients,
        group.moments["momentum_buffer"] if shared.momentum else [],  # the operation wants none where it has no use
        weight_decay=shared.weight_decay,
        momentum=shared.momentum,
        lr=group.rate,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    )


def _equal_runs(paces: Sequence[Pace]) -> Iterator[tuple[int, int]]:
    """Where each run of neighbours of one pace begins, and where it is over."""
    starts = [place for place in range(len(paces)) if place == 0 or not paces[place].is_like(paces[place - 1])]
    yield from pairwise([*starts, len(paces)])


def _like(parameter: Tensor, moment: Tensor | None) -> Tensor:
    """A moment of the parameter, in its layout: the one given, or zeros."""
    found = torch.zeros_like(parameter, memory_format=torch.contiguous_format, requires_grad=False)
    return found if moment is None else found.copy_(moment)


def _clip(gradients: Sequence[Tensor], max_norm: float) -> None:
    """Scale each replica's gradients down to the L2 norm `max_norm` over all parameters where they exceed it."""
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
    factor = (max_norm / (_sum_in_pairs(norms.square()).sqrt() + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))


def _sum_in_pairs(values: Float[Tensor, "tensor replica"]) -> Float[Tensor, " replica"]:
    """Sums of the columns, in an order that depends on the number of rows alone.

    The order of a reduction of PyTorch's depends on the number of columns, too.
    """
    while len(values) > 1:
        half = len(values) // 2
        values = torch.cat([values[:half] + values[half : 2 * half], values[2 * half :]])
    return values[0]
