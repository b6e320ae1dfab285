"""The files that runs leave, and what they hold: networks, masks, and what was trained along with a mask."""

from collections.abc import Callable, Iterable
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from subind.masks import hard as masks
from subind.masks.hard import HardMask
from subind.networks.network import Network, State, bound
from subind.specs.run import MaskRun, NetworkRun, Run
from subind.specs.runs import Discover, Train

WEIGHTS_FILE = "weights.safetensors"
"""A network's parameters, named and laid out as its library has them (transformers, torchvision, the module itself)."""
MASK_FILE = "mask.safetensors"
"""A mask's packed bits."""
BESIDE_FILE = "beside.safetensors"
"""What else than the mask was trained in its discovery, by the names of the network's parameters and statistics."""

IMPORTED_FILE = "imported.safetensors"
"""The weights from which a donor with imported weights starts."""

ReadFile = Callable[[Any, str], bytes]
"""A run's file by its name."""


class Parents:
    """What the runs that others descend from left; each file is read and checked when it is first asked for."""

    def __init__(self, read: ReadFile) -> None:
        self._read = read
        self._states: dict[Run, State] = {}
        self._masks: dict[Run, HardMask] = {}

    def state(self, run: Run) -> State:
        """The network of a run, on the CPU; of a mask its donor with what was trained along with it.

        Raises ValueError if a file is damaged or of another network.
        """
        if run not in self._states:
            self._states[run] = self._loaded_state(run)
        return self._states[run]

    def mask(self, run: MaskRun) -> HardMask:
        """The mask of a run. Raises ValueError if its file is damaged or of another network."""
        if run not in self._masks:
            network = network_of(run)
            shapes = {name: network.shapes[name] for name in network.maskable}
            self._masks[run] = masks.unpacked_bits_of(self._read(run, MASK_FILE), shapes)
        return self._masks[run]

    def states(self, runs: Iterable[Run]) -> dict[Run, State]:
        """The networks of runs."""
        return {run: self.state(run) for run in runs}

    def masks(self, runs: Iterable[Run]) -> dict[Run, HardMask]:
        """The masks of those of the runs that are masks."""
        return {run: self.mask(run) for run in runs if isinstance(run, MaskRun)}

    def tensors(self, run: NetworkRun) -> dict[str, Tensor]:
        """The weights of a run in the layout of its network's library."""
        return loaded(self._read(run, WEIGHTS_FILE))

    def imported(self, run: Train) -> dict[str, Tensor]:
        """The tensors from which a donor with imported weights starts."""
        return loaded(self._read(run, IMPORTED_FILE))

    def _loaded_state(self, run: Run) -> State:
        if isinstance(run, NetworkRun):
            return network_of(run).from_library(loaded(self._read(run, WEIGHTS_FILE)))
        assert isinstance(run, Discover), f"a {run.stage} leaves no network"
        donor = self.state(run.donor)
        if not run.beside and run.statistics == "donor":
            return donor
        beside = loaded(self._read(run, BESIDE_FILE))
        return State(
            parameters={name: beside.get(name, tensor) for name, tensor in donor.parameters.items()},
            statistics={name: beside.get(name, tensor) for name, tensor in donor.statistics.items()},
        )


def network_of(run: Run) -> Network:
    """What computes with the network of a run."""
    return bound(run.network, run.task.signature())


def loaded(content: bytes) -> dict[str, Tensor]:
    """The tensors of a file of weights. Raises ValueError if it is no safetensors file."""
    try:
        return load(content)
    except SafetensorError as error:
        raise ValueError(f"the weights are no safetensors file ({error}): save them with safetensors.torch") from None
