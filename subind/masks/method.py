"""What the stage of discovery needs of a mask method: the protocol, and the hard mask that all methods share."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor

from subind.specs.base import behaviour
from subind.training.counters import Draws
from subind.training.tensors import Parameters


class MaskMethod(Protocol):
    """The mask methods of the replicas of a pack, all of one class, on the device.

    `constants` are tensors with a leading replica axis, which the loop selects when replicas leave; then it calls
    `select`. `draws_noise` says whether `factors` needs draws.
    """

    constants: Parameters
    draws_noise: bool

    def initial(self, shapes: Mapping[str, tuple[int, ...]]) -> Parameters:
        """The logits [replica *shape] from which discovery starts."""
        ...

    def begin(self, epoch: int) -> None:
        """Set what differs between epochs, in place."""
        ...

    def masked(self, weights: Parameters, logits: Parameters, draws: Draws | None) -> Parameters:
        """The masked weights [replica *shape] of a training step, as a function of the logits."""
        ...

    def penalties(self, logits: Parameters, *, batch_size: int) -> Float[Tensor, " replica"]:
        """The penalty of each replica's loss, as a function of the logits."""
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
    """The methods of a pack, which are of one class; `num_epochs` are those of each replica's discovery."""
    made: MaskMethod = type(behaviour(methods[0])).pack(methods, num_epochs=num_epochs, device=device)
    return made
