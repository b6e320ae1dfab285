"""What the methods of all stages share: the constants of a pack, its tasks, and its networks in evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from subind.networks.network import Network, State
from subind.stages.parents import network_of
from subind.tasks.task import Ask, Judged, PackOrder, TaskPack, packed
from subind.training.draws import Draws
from subind.training.loop import Replica, Runtime
from subind.training.tensors import Inputs, Parameters

TRAIN_LOSS = "train_loss"


class Pack:
    """The replicas of a pack, of one network and stage.

    Parameters that do not train are constants too, by `fixed.NAME`; so are running statistics where they are held, by
    `fixed_statistics.NAME`.
    """

    terms: tuple[str, ...] = (TRAIN_LOSS,)

    def __init__(self, runs: Sequence[Any], runtime: Runtime, *, judged: Judged = "validation") -> None:
        first = runs[0]
        self.replicas = [Replica(spec=run) for run in runs]
        self.runtime, self.device, self.precision = runtime, runtime.device, first.precision
        self.network: Network = network_of(first)
        self.tasks: TaskPack = packed(
            PackOrder(
                runs=runs,
                tasks=[run.task for run in runs],
                parts=[run.rows for run in runs],
                num_evaluation_samples=first.num_evaluation_samples,
                device=runtime.device,
                images=runtime.images,
                judged=judged,
            )
        )
        self.trainable: Parameters = {}
        self.statistics: Parameters = {}
        self.constants: Parameters = {}
        self.draws: list[Draws] = []

    @property
    def can_be_captured(self) -> bool:
        return self.network.can_be_captured

    @property
    def num_rows(self) -> int:
        return self.tasks.num_rows

    def thawed(self, epoch: int) -> Parameters:
        return {}

    def expect(self, epoch: int, batches: Iterable[Int[Tensor, "replica _"]]) -> None:
        self.tasks.expect(epoch, batches)

    def load(self, rows: Int[Tensor, "replica batch"], *, epoch: int, step: int) -> None:
        number = self.step_number(epoch, step)
        for each in self.draws:
            each.at(number)
        self.tasks.at(number)
        self.tasks.load(rows)

    def step_number(self, epoch: int, step: int) -> int:
        """The number of a step of an epoch over all epochs, from 0."""
        steps_per_epoch: int = -(-self.num_rows // self.replicas[0].spec.batch_size)
        return (epoch - 1) * steps_per_epoch + step

    def weighted(self, losses: Float[Tensor, "term replica"]) -> Float[Tensor, " replica"]:
        return losses.sum(0) if len(losses) > 1 else losses[0]

    def select(self, staying: Sequence[int], index: Int[Tensor, " chosen"]) -> None:
        self.constants = {name: tensor[index] for name, tensor in self.constants.items()}
        self.tasks.constants = {name: tensor[index] for name, tensor in self.tasks.constants.items()}
        self.tasks.select(staying)
        for each in self.draws:
            each.select(staying)

    def draw(self, purpose: str) -> Draws:
        """Draws of every replica for a purpose, such as "dropout", which the steps set."""
        runs = [replica.spec for replica in self.replicas]
        made = Draws(f"{runs[0].stage}/{purpose}", [run.seed for run in runs], self.device)
        self.draws.append(made)
        return made

    def fix(self, parameters: Mapping[str, Tensor], *, prefix: str = "fixed") -> None:
        """Keep these as they are."""
        self.constants |= {f"{prefix}.{name}": tensor.to(self.device) for name, tensor in parameters.items()}

    def constants_of(self, prefix: str) -> Parameters:
        """The constants `PREFIX.NAME` by their names."""
        start = f"{prefix}."
        return {name.removeprefix(start): each for name, each in self.constants.items() if name.startswith(start)}

    def all_statistics(self) -> Parameters:
        """The running statistics of every replica, held or not."""
        return self.constants_of("fixed_statistics") | self.statistics

    def ask(self, parameters: Parameters, statistics: Parameters) -> Ask:
        """Outputs of networks [replica …] in evaluation mode."""
        state = State(parameters=parameters, statistics=statistics)

        @torch.no_grad()
        def outputs(inputs: Inputs) -> Tensor:
            return self.network.outputs(state, inputs, draws=None, training=False, precision=self.precision)

        return outputs

    def ask_one(self, parameters: Parameters, statistics: Parameters) -> Ask:
        """Outputs of one network in evaluation mode, as a pack of one."""
        of_pack = ({name: tensor.unsqueeze(0) for name, tensor in each.items()} for each in (parameters, statistics))
        return self.ask(*of_pack)

    def one_of(self, prefix: str, index: int) -> Parameters:
        """The constants `PREFIX.NAME` of one replica."""
        return {name: tensor[index] for name, tensor in self.constants_of(prefix).items()}
