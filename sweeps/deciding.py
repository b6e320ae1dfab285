"""Seeds that a claim still needs: which cells are added, and after how many seeds the claims are judged.

Claims are judged after the grid's own seeds, and then each time their number has doubled, up to a maximum; no number is
tried at which none of them can be decided. How often they are judged does not matter: a verdict is valid at all numbers
of seeds together (analysis.claims). Only the cells of undecided claims get more seeds.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice

import pyarrow as pa

from subind.specs import runs as specs
from subind.specs.runs import Donor, FullTransfer, Mask, RandomInit, Transfer, UnmaskedOnly
from sweeps.cells import planned_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The claims of a grid."""

    claims: tuple[str, ...]

    def written_into(self, schema: pa.Schema) -> pa.Schema:
        """The schema with the claims in its metadata, where analysis finds them."""
        if not self.claims:
            return schema
        return schema.with_metadata({**(schema.metadata or {}), b"claims": json.dumps(self.claims).encode()})


NOTHING_EXPECTED = Expected(claims=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What an undecided claim compares: cells of these controls, this number of samples and depth (None: any).

    `settings` are values by column, as the claim writes them; a cell without the column has all of its values.
    """

    controls: frozenset[str]
    num_disambiguation: int
    depth: int | None
    settings: Mapping[str, str] = field(default_factory=dict)

    def includes(self, cell: Transfer) -> bool:
        """Whether the cell is one of those."""
        return (
            specs.control_name(cell.control) in self.controls
            and cell.num_disambiguation == self.num_disambiguation
            and self.depth in {None, specs.model(cell).num_layers}
            and self._has_settings(cell)
        )

    def _has_settings(self, cell: Transfer) -> bool:
        columns = planned_columns(cell) if self.settings else {}
        return all(_is_written(columns[name], text) for name, text in self.settings.items() if name in columns)


def _is_written(value: object, text: str) -> bool:
    """Whether the text says the value: a number in any spelling, a name as it is."""
    try:
        return value == float(text)
    except ValueError:
        return str(value) == text


def next_look(num_seeds: int, *, fewest: int, most_seeds: int) -> int:
    """The number of seeds after which claims are judged next: twice as many, and enough that one can be decided."""
    return min(most_seeds, max(2 * num_seeds, fewest))


def fewest_seeds(cells: Sequence[Transfer]) -> int:
    """The fewest seeds that a cell of the grid has, cells being alike but for their seeds."""
    return min(map(len, _seeds_of_kinds(cells, _moving(cells)).values()), default=0)


def added_cells(cells: Sequence[Transfer], needs: Sequence[Need], *, num_seeds: int) -> tuple[Transfer, ...]:
    """What the needed cells lack, so that each need has `num_seeds` seeds with all its cells; none of the cells.

    Seeds that most of its cells have come first, then the grid's others, then new ones. A donor or a mask whose seed is
    the cell's own throughout the grid moves with it: new seeds then are new donors and masks, as the grid's own seeds
    are. Else the new recipients share the grid's donor and mask.
    """
    moving = _moving(cells)
    taken = {cell.seed for cell in cells}
    added = []
    for need in needs:
        kinds = _seeds_of_kinds([cell for cell in cells if need.includes(cell)], moving)
        counts = Counter(seed for seeds in kinds.values() for seed in seeds)
        known = sorted(counts, key=lambda seed: (-counts[seed], seed))
        fresh = (seed for seed in count() if seed not in counts and seed not in taken)
        wanted = [*known, *islice(fresh, max(0, num_seeds - len(known)))][:num_seeds]
        added += [_reseeded(kind, seed, moving) for seed in wanted for kind in kinds if seed not in kinds[kind]]
    return tuple(dict.fromkeys(added))


def _seeds_of_kinds(cells: Iterable[Transfer], moving: frozenset[type]) -> dict[Transfer, set[int]]:
    """The seeds of cells that are alike but for them, by one of these cells under seed 0."""
    kinds: dict[Transfer, set[int]] = defaultdict(set)
    for cell in cells:
        kinds[_reseeded(cell, 0, moving)].add(cell.seed)
    return kinds


def _moving(cells: Sequence[Transfer]) -> frozenset[type]:
    """Which of Mask and Donor have the seed of their cell in every cell that has one.

    Where masks have not, they were chosen for their donors: no donor moves then, for no mask was chosen in a new one.
    """
    kin = [(cell.seed, ancestor) for cell in cells for ancestor in specs.lineage(cell) if ancestor is not cell]
    found = frozenset(
        stage
        for stage in (Mask, Donor)
        if all(ancestor.seed == seed for seed, ancestor in kin if isinstance(ancestor, stage))
    )
    return found if Mask in found else frozenset()


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
