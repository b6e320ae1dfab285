"""The bases of runs: what every run has, whatever its stage."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar, Literal

from subind.specs.base import Identified
from subind.specs.network import Network
from subind.specs.optimizers import Precision
from subind.specs.rows import AnyPart
from subind.specs.tasks import Task
from subind.specs.training import ImportedWeights, PublishedWeights

Stage = Literal["donor", "mask", "transfer", "measurement"]
STAGES: tuple[Stage, ...] = ("donor", "mask", "transfer", "measurement")
"""The stages by what they leave: a donor, a mask, a recipient, a measurement."""

WEIGHTS_FILE = "weights.safetensors"
"""What a run leaves of a network: parameters, named and laid out as its library has them (such as transformers)."""


class Run(Identified):
    """A base of runs. A run contains its parents' specs: those of the runs whose files it reads."""

    __slots__ = ()

    stage: ClassVar[Stage]
    seed: int
    task: Task
    precision: Precision

    def parents(self) -> tuple["Run", ...]:
        """The runs whose files this one reads, each once."""
        raise NotImplementedError

    @property
    def network(self) -> Network:
        """The architecture of the run's network."""
        raise NotImplementedError

    @property
    def num_training_samples(self) -> int:
        """Rows of one epoch; 0 where nothing is trained."""
        return 0

    def label(self) -> str:
        """What folders and the names of packs call the run, less its id: for people."""
        return f"{self.network.name}-seed{self.seed}"

    def columns(self) -> Mapping[str, Any]:
        """Columns of a result row that the run's own fields decide."""
        return {}

    def inherited_columns(self) -> Mapping[str, Any]:
        """Columns of a result row of a run that descends from this one."""
        return {}

    def has_unchecked_parts(self) -> bool:
        """Whether something in the run can only be checked by computing with it: a user's task, or any module."""
        is_built = type(self.network).check_built is not Network.check_built
        return is_built or not self.task.behaviour or bool(getattr(self, "beside", ()))

    def pack_shape(self) -> tuple[object, ...]:
        """What the replicas of one pack share."""
        raise NotImplementedError

    @property
    def kept_name(self) -> str:
        """By what name a grid asks for the run's weights; empty for a run that leaves what it makes in any case."""
        return ""

    def imported(self) -> ImportedWeights | PublishedWeights | None:
        """The weights from outside that it starts from; None if there are none."""
        return None

    def imports_head(self) -> bool:
        """Whether the head is among the weights from outside; a fresh one is not."""
        return True

    def length(self) -> "Length":
        """How long it trains."""
        return Length(num_epochs=0, fewest_epochs=0, evaluations_per_epoch=0)

    def evaluated_rows(self) -> tuple[int, int]:
        """Rows that it is evaluated on: each time that its epochs are judged, and in the end."""
        return self.task.evaluated_rows(self)

    def bytes_of_rows(self) -> int:
        """Memory that its rows take on the device, about."""
        return self.task.bytes_of_rows(self)

    def files_needed(self) -> tuple[tuple[str, int], ...]:
        """What it takes from the folder of images: sets of images by name, with the number of images of each."""
        return self.task.files_needed(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a run trains: its epochs, the fewest after which it may stop early, and the evaluations of an epoch."""

    num_epochs: int
    fewest_epochs: int
    evaluations_per_epoch: int


class NetworkRun(Run):
    """A base of runs that leave a network: donors and recipients."""

    __slots__ = ()

    rows: tuple[AnyPart, ...]


class MaskRun(Run):
    """A base of runs that leave a mask over the network of `donor`."""

    __slots__ = ()

    donor: NetworkRun
    rows: tuple[AnyPart, ...]


def lineage(run: Run) -> Iterator[Run]:
    """The run and all that it descends from, itself first, each once."""
    seen: set[Run] = set()
    waiting = [run]
    while waiting:
        each = waiting.pop(0)
        if each not in seen:
            seen.add(each)
            yield each
            waiting.extend(each.parents())


def steps_per_epoch(run: Any) -> int:
    """Optimiser steps of one epoch; the last batch of an epoch may be smaller."""
    steps: int = ceil(run.num_training_samples / run.batch_size)
    return steps
