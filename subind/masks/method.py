"""What the stage of discovery needs of a mask method: the protocol, and what several methods share.

All methods train logits and share the hard mask, logit > 0 (`subind.masks.hard.binarise`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from subind.specs.base import behaviour
from subind.training.draws import Draws
from subind.training.tensors import Parameters


class MaskMethod(Protocol):
    """The mask methods of the replicas of a pack, all of one class, on the device.

    `constants` are tensors with a leading replica axis, which the loop selects when replicas leave; then it calls
    `select`. A step has `num_masks` masks, each for an equal part of the batch. `draws_noise` says whether `masked`
    needs draws.
    """

    constants: Parameters
    num_masks: int
    draws_noise: bool

    def initial(self, shapes: Mapping[str, tuple[int, ...]]) -> Parameters:
        """The logits [replica *shape] from which discovery starts."""
        ...

    def begin(self, epoch: int) -> None:
        """Set what differs between epochs, in place."""
        ...

    def masked(self, weights: Parameters, logits: Parameters, draws: Draws | None) -> Parameters:
        """The weights [replica *shape] under one mask of a training step, as a function of the logits.

        Called `num_masks` times a step. Weights may have more names than the logits.
        """
        ...

    def penalties(self, logits: Parameters, *, batch_size: int) -> Float[Tensor, " replica"]:
        """The penalty of each replica's loss on a batch of that many rows, as a function of the logits.

        Called once a step, after `masked` with the same logits.
        """
        ...

    def soft(self, logits: Parameters) -> Parameters:
        """The factors of a soft mask [replica *shape] in evaluation: what the hard mask approximates."""
        ...

    def measured(self) -> list[dict[str, float]]:
        """What belongs on the curves of each replica, such as the temperature."""
        ...

    def select(self, index: Sequence[int]) -> None:
        """Go on with the replicas at these places."""
        ...


def packed(methods: Sequence[Any], *, num_epochs: Sequence[int], device: str) -> MaskMethod:
    """The methods of a pack, which are of one class; `num_epochs` are those of each replica's discovery.

    The class of a method's behaviour has a static method `pack` with these parameters.
    """
    made: MaskMethod = behaviour(methods[0]).pack(methods, num_epochs=num_epochs, device=device)
    return made


def filled(values: Sequence[float], shapes: Mapping[str, tuple[int, ...]], *, device: str) -> Parameters:
    """Tensors [replica *shape] that are constant in each replica."""
    each = torch.tensor(list(values), device=device)
    return {
        name: each.view(-1, *[1] * len(shape)).expand(len(each), *shape).contiguous() for name, shape in shapes.items()
    }


def added(terms: Sequence[Float[Tensor, " replica"]]) -> Float[Tensor, " replica"]:
    """The sum of terms, one after another: a library's sum chooses its order by the number of replicas."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
