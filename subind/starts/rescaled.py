"""Full transfer of a rescaled donor (Lippl and Lindsey 2023, arXiv 2310.02396): small weights learn richer features.

One class is both the spec and what computes with it: an example of a start in one file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from subind.specs.base import at_most, positive
from subind.specs.run import NetworkRun
from subind.specs.starts import DonorStart

LARGEST_SCALE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class RescaledTransfer(DonorStart):
    """The whole donor with every parameter times `scale`, nothing frozen. Running statistics are the donor's."""

    donor: NetworkRun
    scale: float

    def _check(self) -> None:
        positive(self, "scale")
        at_most(self, LARGEST_SCALE, "scale")

    def columns(self) -> Mapping[str, Any]:
        return {"scale": self.scale}

    def inheritance(self, given: Any) -> Any:
        from subind.starts.recipient import Inheritance

        return Inheritance(inherited=given.everything(), kept=given.nothing())

    def recipient(self, given: Any) -> Any:
        from subind.networks.network import State

        donor = given.states[self.donor]
        scaled = {name: self.scale * tensor for name, tensor in donor.parameters.items()}
        state = State(parameters=scaled, statistics=donor.statistics)
        return given.inheriting(state, self.inheritance(given))
