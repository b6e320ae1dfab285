"""Seeds that a claim still needs: which cells are added, and after how many seeds the claims are judged.

Claims are judged after the grid's own seeds, and then each time their number has doubled, up to a maximum; no number is
tried at which none of them can be decided. How often they are judged does not matter: a verdict is valid at all numbers
of seeds together (analysis.rows.claims). Only the cells of undecided claims get more seeds.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from itertools import count, islice
from operator import is_
from typing import Any

import pyarrow as pa

from subind.specs.run import Run, Stage, lineage
from sweeps.grids.cells import planned_columns


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

    def includes(self, cell: Run) -> bool:
        """Whether the cell is one of those."""
        columns = planned_columns(cell)
        return (
            columns.get("control") in self.controls
            and columns.get("num_disambiguation") == self.num_disambiguation
            and self.depth in {None, columns.get("num_layers")}
            and all(_is_written(columns[name], text) for name, text in self.settings.items() if name in columns)
        )


def _is_written(value: object, text: str) -> bool:
    """Whether the text says the value: a number in any spelling, a name as it is."""
    try:
        return value == float(text)
    except ValueError:
        return str(value) == text


def next_look(num_seeds: int, *, fewest: int, most_seeds: int) -> int:
    """The number of seeds after which claims are judged next: twice as many, and enough that one can be decided."""
    return min(most_seeds, max(2 * num_seeds, fewest))


def fewest_seeds(cells: Sequence[Run]) -> int:
    """The fewest seeds that a cell of the grid has, cells being alike but for their seeds."""
    return min(map(len, _seeds_of_kinds(cells, _moving(cells)).values()), default=0)


def added_cells(cells: Sequence[Run], needs: Sequence[Need], *, num_seeds: int) -> tuple[Run, ...]:
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


def _seeds_of_kinds(cells: Iterable[Run], moving: frozenset[Stage]) -> dict[Run, set[int]]:
    """The seeds of cells that are alike but for them, by one of these cells under seed 0."""
    kinds: dict[Run, set[int]] = defaultdict(set)
    for cell in cells:
        kinds[_reseeded(cell, 0, moving)].add(cell.seed)
    return kinds


def _moving(cells: Sequence[Run]) -> frozenset[Stage]:
    """Of which stages the runs have the seed of their cell, whatever descends from them.

    Where masks have not, they were chosen for their donors: no donor moves then, for no mask was chosen in a new one.
    """
    kin = {(cell.seed, ancestor.seed, ancestor.stage) for cell in cells for ancestor in lineage(cell)}
    standing = {stage for seed, own, stage in kin if own != seed}
    moving = {stage for *_, stage in kin} - standing
    return frozenset() if "mask" in standing else frozenset(moving)


def _reseeded(cell: Run, seed: int, moving: frozenset[Stage]) -> Run:
    """The cell of another seed, with what moves with it of what it descends from."""
    made = _rebuilt(cell, lambda run: seed if run is cell or run.stage in moving else run.seed)
    assert isinstance(made, Run)
    return made


def _rebuilt(value: Any, seed_of: Callable[[Run], int]) -> Any:
    if isinstance(value, tuple):
        several = tuple([_rebuilt(each, seed_of) for each in value])
        return value if all(map(is_, several, value)) else several
    if not is_dataclass(value) or isinstance(value, type):
        return value
    inner = {each.name: getattr(value, each.name) for each in fields(value)}
    changes = {name: new for name, old in inner.items() if (new := _rebuilt(old, seed_of)) is not old}
    if isinstance(value, Run) and seed_of(value) != value.seed:
        changes["seed"] = seed_of(value)
    return replace(value, **changes) if changes else value
