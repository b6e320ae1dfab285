"""The stage that asks finished networks, without training."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from subind.masks.hard import HardMask
from subind.networks.network import Network, State
from subind.specs.base import behaviour
from subind.specs.run import MaskRun, NetworkRun, Run
from subind.specs.runs import Measure
from subind.specs.tasks import Task
from subind.stages.parents import Parents, ReadFile, network_of
from subind.tasks.task import ROWS_AT_ONCE, Ask, PackOrder, Rows, TaskPack, checked_rows, key, packed
from subind.training.loop import Finished, Replica, Runtime
from subind.training.precision import set_products
from subind.training.tensors import Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A finished network that is asked: its run, and what computes with it.

    `mask` is that of the run that is asked, empty where it is no mask. `parents` gives the networks and masks of the
    runs that the measurement names among its own parents.
    """

    run: Measure
    network: Network
    state: State
    mask: HardMask
    parents: Parents
    runtime: Runtime

    def ask(self) -> Ask:
        """Outputs of the network as a pack of one, in evaluation mode; of a mask's run under its mask."""
        return self.ask_under(self.mask)

    def ask_under(self, mask: HardMask) -> Ask:
        """The same under another mask; parameters that it lacks are whole."""
        return _ask(self.network, self.state, mask, self)

    def ask_other(self, run: NetworkRun | MaskRun) -> Ask:
        """The same of another run that the measurement names among its parents."""
        return _ask(network_of(run), self.parents.state(run), _mask_of(run, self.parents), self)

    def outputs(self, rows: Rows, inputs: Callable[[Rows], Inputs]) -> Iterator[Tensor]:
        """Outputs [row ...] of the network for the inputs of rows, ROWS_AT_ONCE of them at a time, in their order."""
        ask, device = self.ask(), self.runtime.device
        for first in range(0, len(next(iter(rows.values()))), ROWS_AT_ONCE):
            part = {name: each[first : first + ROWS_AT_ONCE].to(device).unsqueeze(0) for name, each in rows.items()}
            yield ask(inputs(part))[0]

    def test_rows(self, task: Any, num_rows: int) -> Rows:
        """Test rows of a task's behaviour, those of the run that is asked, on the CPU."""
        return checked_rows(task, "test", num_rows=num_rows, key=key(self.run.of, "test"))

    def tests(self, task: Task, num_samples: int) -> TaskPack:
        """A pack of one that tests networks on that many test rows of a task, those of the run that is asked."""
        return packed(
            PackOrder(
                runs=[self.run.of],
                tasks=[task],
                parts=[()],
                num_evaluation_samples=num_samples,
                device=self.runtime.device,
                images=self.runtime.images,
            )
        )


class Measurement(Protocol):
    """What computes with a measurement."""

    def measure(self, asked: Asked) -> Mapping[str, float]:
        """The values, by name; names with a dot are entries of a table, such as `accuracy.cat`.

        Raises ValueError where they do not exist, with the reason: the run is reported as failed.
        """
        ...


def _ask(network: Network, state: State, mask: HardMask, asked: Asked) -> Ask:
    masked = {name: state.parameters[name] * bits for name, bits in mask.items()}
    device, precision = asked.runtime.device, asked.run.precision
    parameters = {name: each.to(device).unsqueeze(0) for name, each in {**state.parameters, **masked}.items()}
    statistics = {name: each.to(device).unsqueeze(0) for name, each in state.statistics.items()}
    of_pack = State(parameters=parameters, statistics=statistics)

    @torch.no_grad()
    def outputs(inputs: Inputs) -> Tensor:
        return network.outputs(of_pack, inputs, draws=None, training=False, precision=precision)

    return outputs


def _mask_of(run: Run, parents: Parents) -> HardMask:
    return parents.mask(run) if isinstance(run, MaskRun) else {}


def measured(run: Measure, *, read: ReadFile, runtime: Runtime) -> Iterator[Finished]:
    """The measurements of a run, or why there are none."""
    parents = Parents(read)
    replica = Replica(spec=run)
    try:
        set_products(run.precision, runtime.device)
        asked = Asked(
            run=run,
            network=network_of(run.of),
            state=parents.state(run.of),
            mask=_mask_of(run.of, parents),
            parents=parents,
            runtime=runtime,
        )
        values: dict[str, Any] = dict(behaviour(run.measurement).measure(asked))
    except ValueError as error:
        replica.failure = str(error)
        values = {}
    yield Finished(replica=replica, measurements=values, files={})
