"""The schedule of the temperature at which masks are soft."""

from dataclasses import dataclass
from typing import Literal, assert_never

from subind.specs.base import Checked, at_most, require

HOTTEST = 1e6
"""The mask is as good as hard long before: published schedules end at 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureSchedule(Checked):
    """The temperature τ of the soft mask σ(τ·s), constant within an epoch; E = num_epochs, g = final^(1/E).

    `exponential`: τ = g^(e-1) in epoch e = 1 … E (it reaches `final` after the last).
    `as_released`: τ = 1 in epoch 1, then g^e, as the released code has it.
    """

    name: Literal["exponential", "as_released"]
    final: float

    def _check(self) -> None:
        require(self.final >= 1, self, "final", "give 1 or more")
        at_most(self, HOTTEST, "final")

    def temperature(self, epoch: int, *, num_epochs: int) -> float:
        """τ in `epoch`, counted from 1."""
        growth: float = self.final ** (1 / num_epochs)
        match self.name:
            case "exponential":
                return growth ** (epoch - 1)
            case "as_released":
                return 1.0 if epoch == 1 else growth**epoch
            case _:
                assert_never(self.name)
