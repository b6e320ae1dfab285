"""What is asked of finished networks, without training. What computes with these stands in `subind.stages.measure`."""

from collections.abc import Mapping
from typing import Any

from subind.specs.base import Open
from subind.specs.run import Run


class Measurement(Open):
    """A base of measurements of a finished network; `subind.stages.measure` says what computes with one."""

    __slots__ = ()

    def parents(self) -> tuple[Run, ...]:
        """The runs whose files it reads besides the network's: masks, or other networks."""
        return ()

    def columns(self) -> Mapping[str, Any]:
        """Columns of a result row from its fields, besides its name."""
        return {}

    @property
    def name(self) -> str:
        """Its name in columns and tables: its class name in snake case."""
        name = type(self).__name__
        return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).lstrip("_")
