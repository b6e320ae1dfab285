"""The stage that asks finished networks, without training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from subind.masks.hard import HardMask
from subind.networks.network import Network, State
from subind.specs.base import behaviour
from subind.specs.run import MaskRun, Run
from subind.specs.runs import Measure
from subind.stages.parents import Parents, ReadFile, network_of
from subind.tasks.task import Ask
from subind.training.loop import Finished, Replica, Runtime
from subind.training.tensors import Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A finished network that is asked: its run, and what computes with it.

    `parents` gives the networks and masks of the runs that the measurement reads besides.
    """

    run: Measure
    network: Network
    state: State
    parents: Parents
    runtime: Runtime

    def ask(self, mask: HardMask | None = None) -> Ask:
        """Outputs of the network as a pack of one, in evaluation mode; under a mask where one is given."""
        return asking(self.network, self.state, mask=mask, precision=self.run.precision, device=self.runtime.device)

    def mask(self, run: MaskRun) -> HardMask:
        """The mask of a run that the measurement names among its parents."""
        return self.parents.mask(run)

    def other(self, run: Run) -> Ask:
        """The same of the network of another run that the measurement names among its parents."""
        state = self.parents.state(run)
        return asking(network_of(run), state, mask=None, precision=self.run.precision, device=self.runtime.device)


class Measurement(Protocol):
    """What computes with a measurement."""

    def measure(self, asked: Asked) -> Mapping[str, float]:
        """The values, by name; names with a dot are entries of a table, such as `accuracy.cat`."""
        ...


def asking(network: Network, state: State, *, mask: HardMask | None, precision: str, device: str) -> Ask:
    """Outputs of one network as a pack of one, in evaluation mode."""
    masked = {} if mask is None else {name: state.parameters[name] * bits for name, bits in mask.items()}
    parameters = {name: each.to(device).unsqueeze(0) for name, each in {**state.parameters, **masked}.items()}
    statistics = {name: each.to(device).unsqueeze(0) for name, each in state.statistics.items()}
    of_pack = State(parameters=parameters, statistics=statistics)

    @torch.no_grad()
    def outputs(inputs: Inputs) -> Tensor:
        return network.outputs(of_pack, inputs, draws=None, training=False, precision=precision)

    return outputs


def measured(run: Measure, *, read: ReadFile, runtime: Runtime) -> Iterator[Finished]:
    """The measurements of a run, or why there are none."""
    parents = Parents(read)
    replica = Replica(spec=run)
    try:
        state = parents.state(run.of)
        asked = Asked(run=run, network=network_of(run.of), state=state, parents=parents, runtime=runtime)
        values: dict[str, Any] = dict(behaviour(run.measurement).measure(asked))
    except ValueError as error:
        replica.failure = str(error)
        values = {}
    yield Finished(replica=replica, measurements=values, files={})
