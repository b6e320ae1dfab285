"""What a network is, as far as planning goes. What computes with it stands in `subind.networks.network`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from subind.specs.base import Open
from subind.specs.network_sizes import NetworkSize, size_of_parameters
from subind.specs.tasks import Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixPart:
    """Rows (axis 0) or columns (axis 1) of a maskable matrix, from `first` to before `end`, that belong together.

    `part` says what they are for, such as "query"; `head` which head they belong to, None if to none.
    """

    matrix: str
    layer: int
    part: str
    head: int | None
    axis: int
    first: int
    end: int


class Network(Open):
    """A base of networks. A subclass is a frozen dataclass that says which tasks it fits (`check`) and its columns.

    It computes as `subind.networks.network.Network` describes.
    """

    __slots__ = ()

    def check(self, signature: Signature) -> None:
        """Raise ValueError unless the network takes such inputs and gives that many outputs."""

    def check_built(self, signature: Signature) -> None:
        """Raise ValueError for what shows only when the network is built.

        It may run a user's code, so planning calls it, and making or reading a spec does not.
        """

    @property
    def name(self) -> str:
        """What tables, folders and legends call it."""
        return type(self).__name__

    def label(self, signature: Signature) -> str:
        """Its name on a task, which says so if it gives other outputs than the task wants."""
        return self.name

    def columns(self) -> Mapping[str, Any]:
        """Columns of a result row from the fields of the network, besides its label."""
        return {}

    def matrix_parts(self) -> tuple[MatrixPart, ...]:
        """The parts of its maskable matrices that a table of subnetworks shows; none where they have no parts."""
        return ()

    def first_layer(self) -> str:
        """The name of a first layer's weight [out channel row column] that can be shown as pictures; else empty."""
        return ""

    def precisions(self) -> tuple[str, ...]:
        """The precisions that it can compute in."""
        return ("float32", "tf32", "bfloat16")

    @property
    def family(self) -> str:
        """Networks of one family take equal times for equal work: what is learnt of one is expected of the others."""
        return self.name

    def size(self, signature: Signature, precision: str) -> NetworkSize:
        """How large it is on a task's inputs, for forecasts and memory; by default from its parameters alone."""
        return size_of_parameters(self, signature)


def check_inputs(network: Network, signature: Signature, wanted: type) -> None:
    """Raise ValueError unless the task gives inputs of a kind."""
    if not isinstance(signature.inputs, wanted):
        kind = type(signature.inputs).__name__
        raise ValueError(
            f"a {type(network).__name__} reads {wanted.__name__}, and the task gives {kind}: give another network"
        )
