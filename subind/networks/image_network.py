"""What the networks for images share: how a pack's scores are computed on a device, fresh values, and files.

On a CPU the replicas of a pack run one after another: a convolution with a group for each takes longer than they do.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

from subind.networks.network import State, apart, checked_state, fan_in, fresh_values, library_tensors
from subind.specs.training import FreshLaw
from subind.training.draws import Draws
from subind.training.tensors import Inputs, Parameters


class ImageNetwork(ABC):
    """A base of `subind.networks.network.Network` for images, whose weights are (out, in, ...) as torchvision's.

    `fresh_statistics` are the running statistics of one fresh network.
    """

    can_be_captured = True

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], fresh_statistics: Mapping[str, Tensor]) -> None:
        self.shapes = shapes
        self._fresh_statistics = fresh_statistics

    @abstractmethod
    def scores(
        self,
        state: State,
        images: Float[Tensor, "replica batch channel row column"],
        *,
        training: bool,
        layout: torch.memory_format,
    ) -> Float[Tensor, "replica batch class"]:
        """The scores of a pack, with activations in a layout of memory."""

    def outputs(
        self, state: State, inputs: Inputs, *, draws: Draws | None, training: bool, precision: str
    ) -> Float[Tensor, "replica batch class"]:
        """The scores of the classes, in float32. There is no dropout, so `draws` are not drawn from."""
        assert isinstance(inputs, Tensor)
        layout = torch.channels_last if precision.endswith("channels_last") else torch.contiguous_format
        with _products(precision, inputs.device.type):
            if inputs.device.type != "cpu":
                return self.scores(state, inputs, training=training, layout=layout).float()
            each = zip(apart(state), inputs.split(1), strict=True)
            return torch.cat([self.scores(*own, training=training, layout=layout).float() for own in each])

    def fresh(self, name: str, law: FreshLaw, generator: torch.Generator) -> Tensor:
        return fresh_values(self.shapes[name], law, fan_in=fan_in(name, self.shapes), generator=generator)

    def to_library(self, state: State) -> Parameters:
        """The state dict of one model as torchvision's has it, without the counts of batches."""
        return library_tensors(state)

    def from_library(self, tensors: Mapping[str, Tensor], *, without: Collection[str] = ()) -> State:
        """One model from a state dict of torchvision's."""
        named = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
        return checked_state(named, self.shapes, self._fresh_statistics, without=without)


def _products(precision: str, device: str) -> AbstractContextManager[object]:
    return torch.autocast(device, torch.bfloat16) if precision.startswith("bfloat16") else nullcontext()
