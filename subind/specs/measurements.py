"""What is asked of finished networks, without training; `subind.measurements` has the project's own.

A measurement is a frozen dataclass with the method

    def measure(self, asked: Asked) -> Mapping[str, float]

of `subind.stages.measure`, its own or that of the class that `behaviour` names. Names of values with a dot are entries
of a table, such as `accuracy.cat`.
"""

from collections.abc import Mapping
from typing import Any

from subind.specs.base import LARGEST_COUNT, Open, at_most, positive
from subind.specs.run import MaskRun, NetworkRun, Run
from subind.specs.tasks import Task


class Measurement(Open):
    """A base of measurements of a finished network."""

    __slots__ = ()

    def check(self, of: NetworkRun | MaskRun) -> None:
        """Raise ValueError, naming what does not fit, for a run that cannot be asked this."""

    def parents(self) -> tuple[Run, ...]:
        """The runs whose files it reads in addition to those of the run that is asked: other networks, or masks."""
        return ()

    def columns(self) -> Mapping[str, Any]:
        """Columns of a result row from its fields, in addition to its name."""
        return {}

    @property
    def name(self) -> str:
        """Its name in columns and tables: its class name in snake case."""
        name = type(self).__name__
        return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")


class OnTestRows(Measurement):
    """A base of measurements on test rows of a task: that of the network, or another of the same inputs and outputs.

    The rows are those of the run that is asked: of a recipient, with equal numbers, those of its `test_accuracy`.
    """

    __slots__ = ()

    task: Task
    num_evaluation_samples: int

    def _check(self) -> None:
        positive(self, "num_evaluation_samples")
        at_most(self, LARGEST_COUNT, "num_evaluation_samples")
        self.task.check_evaluation(self.num_evaluation_samples)

    def check(self, of: NetworkRun | MaskRun) -> None:
        self.task.check_compatible(of.task)

    def columns(self) -> Mapping[str, Any]:
        return {"measured_task": self.task.label()}
