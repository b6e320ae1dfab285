"""Seeds that a claim still needs: which cells are added, and after how many seeds the claims are judged.

Claims are judged after the grid's own seeds, and then each time their number has doubled, up to a maximum. Every one of
these looks has its share of the error, so that adding seeds until something is decided does not find what is not there.
Only the cells of undecided claims get more seeds.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from subind import spec as specs
from subind.spec import Donor, FullTransfer, Mask, RandomInit, Transfer, UnmaskedOnly


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The claims of a grid, and how often they are judged at most."""

    claims: tuple[str, ...]
    num_looks: int

    def written_into(self, schema: pa.Schema) -> pa.Schema:
        """The schema with the claims in its metadata, where analysis finds them."""
        if not self.claims:
            return schema
        carried = {b"claims": json.dumps(self.claims).encode(), b"num_looks": str(self.num_looks).encode()}
        return schema.with_metadata({**(schema.metadata or {}), **carried})


NOTHING_EXPECTED = Expected(claims=(), num_looks=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What an undecided claim compares: cells of these controls, this number of samples and depth (None: any)."""

    controls: frozenset[str]
    num_disambiguation: int
    depth: int | None

    def includes(self, cell: Transfer) -> bool:
        """Whether the cell is one of those."""
        return (
            specs.control_name(cell.control) in self.controls
            and cell.num_disambiguation == self.num_disambiguation
            and self.depth in {None, specs.model(cell).num_layers}
        )


def looks(num_seeds: int, *, most_seeds: int) -> tuple[int, ...]:
    """The numbers of seeds after which claims are judged: the grid's own, then twice as many each time.

    Raises ValueError if the grid has more seeds than `most_seeds`, or none.
    """
    if not 1 <= num_seeds <= most_seeds:
        raise ValueError(f"--max-seeds is {most_seeds} and the grid has {num_seeds}: give at least as many")
    found = [num_seeds]
    while found[-1] < most_seeds:
        found.append(min(2 * found[-1], most_seeds))
    return tuple(found)


def fewest_seeds(cells: Iterable[Transfer]) -> int:
    """The fewest seeds that a cell of the grid has, cells being alike but for their seeds."""
    counts: dict[object, set[int]] = {}
    for cell in cells:
        kind = (specs.control_name(cell.control), cell.num_disambiguation, specs.model(cell), cell.task)
        counts.setdefault(kind, set()).add(cell.seed)
    return min(map(len, counts.values()), default=0)


def added_cells(cells: Sequence[Transfer], needs: Sequence[Need], *, num_seeds: int) -> tuple[Transfer, ...]:
    """The needed cells under further seeds, so that each has `num_seeds` of them; none that is among the cells.

    A donor or a mask whose seed is the cell's own throughout the grid moves with it: new seeds then are new donors and
    masks, as the grid's own seeds are. Else the new recipients share the grid's donor and mask.
    """
    needed = [cell for cell in cells if any(need.includes(cell) for need in needs)]
    moving = _moving(cells)
    taken = {cell.seed for cell in cells}
    fresh = [seed for seed in range(max(taken, default=0) + 1 + num_seeds) if seed not in taken]
    num_more = max(0, num_seeds - len({cell.seed for cell in needed}))
    return tuple(
        dict.fromkeys(
            _reseeded(cell, seed, moving)
            for seed in fresh[:num_more]
            for cell in needed
            if cell.seed == min(each.seed for each in needed)
        )
    )


def _moving(cells: Sequence[Transfer]) -> frozenset[type]:
    """Which of Mask and Donor have the seed of their cell in every cell that has one."""
    kin = [(cell.seed, ancestor) for cell in cells for ancestor in specs.lineage(cell) if ancestor is not cell]
    return frozenset(
        stage
        for stage in (Mask, Donor)
        if all(ancestor.seed == seed for seed, ancestor in kin if isinstance(ancestor, stage))
    )


def _reseeded(cell: Transfer, seed: int, moving: frozenset[type]) -> Transfer:
    match cell.control:
        case RandomInit():
            control: specs.Control = cell.control
        case FullTransfer(donor=Donor() as donor) | UnmaskedOnly(donor=Donor() as donor):
            control = replace(cell.control, donor=_reseeded_donor(donor, seed, moving))
        case _:
            assert isinstance(cell.control, specs.MaskedControl)
            assert isinstance(cell.control.mask, Mask)
            control = replace(cell.control, mask=_reseeded_mask(cell.control.mask, seed, moving))
    return replace(cell, control=control, seed=seed)


def _reseeded_mask(mask: Mask, seed: int, moving: frozenset[type]) -> Mask:
    donor = _reseeded_donor(mask.donor, seed, moving)
    return replace(mask, donor=donor, seed=seed if Mask in moving else mask.seed)


def _reseeded_donor(donor: Donor, seed: int, moving: frozenset[type]) -> Donor:
    return replace(donor, seed=seed) if Donor in moving else donor
