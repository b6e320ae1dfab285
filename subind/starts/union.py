"""The union of several subnetworks of one donor: kept is what any of the masks keeps.

One class is both the spec and what computes with it: an example of a start in one file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from subind.specs.base import require
from subind.specs.network import Network
from subind.specs.run import MaskRun, NetworkRun, Run
from subind.specs.starts import Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Union(Start):
    """Donor weights where any mask is 1, frozen; fresh weights elsewhere; the rest from the donor.

    What was trained along with the masks is left out.
    """

    masks: tuple[MaskRun, ...]

    def _check(self) -> None:
        require(len(self.masks) > 1, self, "masks", "give at least two masks")
        donors = {mask.donor for mask in self.masks}
        require(len(donors) == 1, self, "masks", "give masks of one donor, for their weights are joined")

    @property
    def donor(self) -> NetworkRun:
        """The network that all masks were discovered in."""
        return self.masks[0].donor

    @property
    def network(self) -> Network:
        return self.donor.network

    def parents(self) -> tuple[Run, ...]:
        return (self.donor, *self.masks)

    def columns(self) -> Mapping[str, Any]:
        return {"num_masks": len(self.masks)}

    def inheritance(self, given: Any) -> Any:
        from subind.masks import hard
        from subind.starts.recipient import Inheritance

        joined = hard.union(*(given.masks[mask] for mask in self.masks))
        return Inheritance(inherited=joined, kept=joined)
