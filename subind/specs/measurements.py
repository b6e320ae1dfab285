"""What is asked of finished networks, without training; `subind.measurements` has the project's own.

A measurement is a frozen dataclass with the method

    def measure(self, asked: Asked) -> Mapping[str, float]

of `subind.stages.measure`, its own or that of the class that `behaviour` names. Names of values with a dot are entries
of a table, such as `accuracy.cat`.
"""

from collections.abc import Mapping
from typing import Any

from subind.specs.base import Open
from subind.specs.run import MaskRun, NetworkRun, Run


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
