"""Linear layers with ReLU between them, on packs: every parameter carries a leading replica axis.

Names and layouts are those of torch.nn.Sequential(Linear, ReLU, Linear, ...): "0.weight" and "2.weight" are (out, in).
"""

from collections.abc import Collection, Mapping
from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from subind.kernels import products
from subind.networks.network import State, checked_state, fan_in, fresh_values, library_tensors
from subind.specs.networks import MLP
from subind.specs.tasks import Features, Signature
from subind.specs.training import FreshLaw
from subind.training.draws import Draws
from subind.training.tensors import Inputs, Parameters


class Behaviour:
    """What computes with MLPs of the same hidden layers."""

    def __init__(self, spec: MLP) -> None:
        self._spec = spec

    def bound(self, signature: Signature) -> "PackedMLP":
        """The network from the features of a task to its outputs."""
        assert isinstance(signature.inputs, Features), "the spec checks the signature"
        assert signature.num_outputs > 0, "the spec checks the signature"
        return PackedMLP((signature.inputs.num_features, *self._spec.widths, signature.num_outputs))


class PackedMLP:
    """`subind.networks.network.Network` of layers of these widths; masks cover every weight, the head's included."""

    norms: tuple[str, ...] = ()
    can_be_captured = True

    def __init__(self, widths: tuple[int, ...]) -> None:
        layers = {f"{2 * layer}": sizes for layer, sizes in enumerate(pairwise(widths))}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for layer, (into, out) in layers.items():
            self.shapes |= {f"{layer}.weight": (out, into), f"{layer}.bias": (out,)}
        self._layers = tuple(layers)
        self.maskable = tuple(f"{layer}.weight" for layer in self._layers)
        self.head = (f"{self._layers[-1]}.weight", f"{self._layers[-1]}.bias")

    def initial(self, generator: torch.Generator) -> State:
        """A fresh network as torch.nn.Linear's: weights and biases U(±1/√fan_in)."""
        parameters = {}
        for name, shape in self.shapes.items():
            most = 1 / sqrt(fan_in(name, self.shapes))
            parameters[name] = torch.empty(shape).uniform_(-most, most, generator=generator)
        return State(parameters=parameters, statistics={})

    def fresh(self, name: str, law: FreshLaw, generator: torch.Generator) -> Tensor:
        return fresh_values(self.shapes[name], law, fan_in=fan_in(name, self.shapes), generator=generator)

    def outputs(
        self, state: State, inputs: Inputs, *, draws: Draws | None, training: bool, precision: str
    ) -> Float[Tensor, "replica batch output"]:
        """The outputs for features [replica batch feature]. There is no dropout, so `draws` are not drawn from."""
        assert isinstance(inputs, Tensor)
        x = inputs
        for layer in self._layers:
            weight, bias = state.parameters[f"{layer}.weight"], state.parameters[f"{layer}.bias"]
            x = products.affine(bias, x if layer == "0" else F.relu(x), weight.transpose(1, 2))
        return x

    def to_library(self, state: State) -> Parameters:
        """The state dict of a torch.nn.Sequential."""
        return library_tensors(state)

    def from_library(self, tensors: Mapping[str, Tensor], *, without: Collection[str] = ()) -> State:
        """One network from the state dict of a torch.nn.Sequential."""
        return checked_state(tensors, self.shapes, {}, without=without)
