"""Counts over the stored masks of GPT-2 of a grid, written beside its rows, for tables that read no store.

Three files: what each control's recipients inherit, freeze and contain of the discovered subnetwork; how many ones each
part of a mask has; and how much two masks have in common. A recipient's random set is drawn anew from the stored mask
and the recipient's seed, as its training drew it. What an earlier export has counted is taken over, for a run's id
stands for its numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from subind.identity.run_ids import run_id
from subind.specs import runs as specs
from subind.specs.runs import Mask, Transfer
from subind.store.results import OVERLAP_SCHEMA, PART_SCHEMA, RECIPIENT_SCHEMA, side_table
from subind.store.store import Store
from sweeps.heatmap import place
from sweeps.plan import Plan
from sweeps.row_files import write_side_table

if TYPE_CHECKING:
    from subind.masks.hard import HardMask

MOST_MASKS = 12
"""Masks of one architecture that are counted: 66 pairs."""

MOST_RECIPIENTS = 5
"""Recipients of one control and architecture that are counted; drawing a random set at depth 12 takes a fifth of a
second."""

MASK_FILE = "mask.safetensors"

Row = dict[str, Any]
Jobs = Mapping[tuple[str, ...], Callable[[], list[Row]]]
"""What is to be counted, by the ids that the rows will have in the columns of their key."""


def write_mask_counts(plan: Plan, store: Store, rows: Path) -> None:
    """Write the three files beside the rows.

    A mask whose bits the store has not, or has damaged, is left out with its recipients. Of many masks and recipients
    the first MOST_MASKS and MOST_RECIPIENTS in the order of the plan are counted.
    """
    bits = StoredMasks(store)
    masks = _chosen_masks(plan)
    pairs = [pair for pair in combinations(masks, 2) if specs.model(pair[0]) == specs.model(pair[1])]
    parts: Jobs = {(run_id(mask),): partial(_parts, mask, bits) for mask in masks}
    overlaps: Jobs = {(run_id(one), run_id(two)): partial(_overlap, one, two, bits) for one, two in pairs}
    recipients: Jobs = {
        (run_id(spec), run_id(mask)): partial(_inheritance, spec, mask, bits) for spec, mask in _recipients(plan)
    }
    _write(rows, "parts", key=("mask_id",), jobs=parts)
    _write(rows, "overlaps", key=("first_id", "second_id"), jobs=overlaps)
    _write(rows, "recipients", key=("run_id", "mask_id"), jobs=recipients)


class StoredMasks:
    """The bits of the store's masks, each read once; None for one that cannot be read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, HardMask | None] = {}

    def bits(self, mask: Mask) -> "HardMask | None":
        """Booleans by matrix."""
        run = run_id(mask)
        if run not in self._known:
            try:
                content = self._store.artifact(mask, MASK_FILE)
                from subind.masks.hard import unpacked_bits

                self._known[run] = unpacked_bits(content)
            except (ValueError, OSError):
                self._known[run] = None
        return self._known[run]


def _chosen_masks(plan: Plan) -> list[Mask]:
    """The finished masks that are counted."""
    found, counts = [], Counter[specs.GPT2]()
    for run, spec in plan.runs.items():
        if isinstance(spec, Mask) and run in plan.finished and counts[specs.model(spec)] < MOST_MASKS:
            counts[specs.model(spec)] += 1
            found.append(spec)
    return found


def _recipients(plan: Plan) -> list[tuple[Transfer, Mask]]:
    """The finished transfers that are counted, one of each start, with the mask that it is held against."""
    of_parent, of_model = _masks_by_kin(plan)
    starts: dict[tuple[object, ...], set[tuple[object, ...]]] = defaultdict(set)
    found = []
    for run, spec in plan.runs.items():
        if not isinstance(spec, Transfer) or run not in plan.finished:
            continue
        parents = specs.parents(spec)
        start = (run_id(parents[0]) if parents else None, spec.seed)
        known = starts[type(spec.control), specs.model(spec)]
        mask = of_parent.get(run_id(parents[0])) if parents else _of_seed(of_model[specs.model(spec)], spec.seed)
        if len(known) < MOST_RECIPIENTS and start not in known and mask is not None:
            known.add(start)
            found.append((spec, mask))
    return found


def _masks_by_kin(plan: Plan) -> tuple[dict[str, Mask], dict[specs.GPT2, list[Mask]]]:
    """The finished mask that stands for each mask or donor, by its id, and the finished ones of each architecture."""
    of_parent: dict[str, Mask] = {}
    of_model: dict[specs.GPT2, list[Mask]] = defaultdict(list)
    for run, spec in plan.runs.items():
        if isinstance(spec, Mask) and run in plan.finished:
            of_parent[run] = spec
            of_parent.setdefault(run_id(spec.donor), spec)
            of_model[specs.model(spec)].append(spec)
    return of_parent, of_model


def _of_seed(masks: Sequence[Mask], seed: int) -> Mask | None:
    """The mask that a recipient of that seed without parents is paired with: of its seed, or else the first."""
    return next((mask for mask in masks if mask.seed == seed), masks[0] if masks else None)


def _inheritance(spec: Transfer, mask: Mask, stored: StoredMasks) -> list[Row]:
    bits = stored.bits(mask)
    if bits is None:
        return []
    from subind.starts.arithmetic import inheritance

    inherited, frozen = inheritance(spec.control, bits, seed=spec.seed)
    return [
        {
            "run_id": run_id(spec),
            "mask_id": run_id(mask),
            "control": specs.control_name(spec.control),
            "matrix": name,
            "num_layers": specs.model(spec).num_layers,
            "seed": spec.seed,
            "num_weights": ones.numel(),
            "num_subnetwork": int(ones.sum()),
            "num_inherited": int(inherited[name].sum()),
            "num_frozen": int(frozen[name].sum()),
            "num_subnetwork_inherited": int((inherited[name] & ones).sum()),
            "num_subnetwork_frozen": int((frozen[name] & ones).sum()),
        }
        for name, ones in bits.items()
    ]


def _overlap(first: Mask, second: Mask, stored: StoredMasks) -> list[Row]:
    one, two = stored.bits(first), stored.bits(second)
    if one is None or two is None:
        return []
    return [
        {
            "first_id": run_id(first),
            "second_id": run_id(second),
            "matrix": name,
            "num_weights": ones.numel(),
            "num_first": int(ones.sum()),
            "num_second": int(two[name].sum()),
            "num_both": int((ones & two[name]).sum()),
        }
        for name, ones in one.items()
    ]


def _parts(mask: Mask, stored: StoredMasks) -> list[Row]:
    bits = stored.bits(mask)
    if bits is None:
        return []
    return [
        {"mask_id": run_id(mask), "matrix": name, **row}
        for name, ones in bits.items()
        for row in _parts_of_matrix(name, ones, num_heads=specs.model(mask).num_heads)
    ]


def _parts_of_matrix(name: str, ones: Any, *, num_heads: int) -> Iterator[Row]:
    """The parts of a matrix of shape (in, out): columns of query, key and value, rows of what the heads give out."""
    layer, kind = place(name)
    several: list[tuple[str, int | None, Any]]
    match kind:
        case "attn.c_attn":
            several = [
                (part, head, piece)
                for part, third in zip(("query", "key", "value"), ones.chunk(3, dim=1), strict=True)
                for head, piece in enumerate(third.chunk(num_heads, dim=1))
            ]
        case "attn.c_proj":
            several = [("output", head, piece) for head, piece in enumerate(ones.chunk(num_heads, dim=0))]
        case _:
            several = [(kind, None, ones)]
    for part, head, piece in several:
        yield {
            "layer": int(layer),
            "part": part,
            "head": head,
            "num_weights": piece.numel(),
            "num_kept": int(piece.sum()),
        }


SCHEMAS = {"recipients": RECIPIENT_SCHEMA, "parts": PART_SCHEMA, "overlaps": OVERLAP_SCHEMA}


def _write(rows: Path, name: Literal["recipients", "parts", "overlaps"], *, key: tuple[str, ...], jobs: Jobs) -> None:
    """Write one of the files, whole or not at all; there is none where nothing is counted."""
    path = Path(side_table(str(rows), name))
    known = _known(path, SCHEMAS[name], key)
    found = [row for ids, count in jobs.items() for row in (known[ids] if ids in known else count())]
    write_side_table(path, found, SCHEMAS[name])


def _known(path: Path, schema: pa.Schema, key: Iterable[str]) -> dict[tuple[str, ...], list[Row]]:
    """The rows of an earlier export by their key; none if the file is absent or of another form."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid):
        return {}
    known: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    if table.schema.equals(schema):
        for row in table.to_pylist():
            known[tuple(row[name] for name in key)].append(row)
    return dict(known)
