"""Counts over the stored masks of a grid, written next to its rows, for tables that read no store.

Only networks that name the parts of their matrices are counted (`subind.specs.networks.Network.matrix_parts`), as
GPT-2 does. Three files: what each start's recipients inherit, freeze and contain of the discovered subnetwork; how
many ones each part of a mask has; and how much two masks have in common. A recipient's random set is drawn again
from the stored mask and the recipient's seed, exactly as in training. Counts of an earlier export are reused,
because a run's id determines its numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import pyarrow as pa
import pyarrow.parquet as pq

from subind.identity.run_ids import run_id
from subind.specs.network import Network
from subind.specs.run import MaskRun, Run
from subind.specs.runs import Transfer
from subind.store.schemas import OVERLAP_SCHEMA, PART_SCHEMA, RECIPIENT_SCHEMA, side_table
from subind.store.store import Store
from sweeps.exporting.row_files import write_side_table
from sweeps.planning.plan import Plan

if TYPE_CHECKING:
    from subind.masks.hard import HardMask

MOST_MASKS = 12
"""Masks of one architecture that are counted: 66 pairs."""

MOST_RECIPIENTS = 5
"""Recipients of one start and architecture that are counted; drawing a random set at depth 12 takes a fifth of a
second."""

MASK_FILE = "mask.safetensors"

Row = dict[str, Any]
Jobs = Mapping[tuple[str, ...], Callable[[], list[Row]]]
"""What is to be counted, by the ids that the rows will have in the columns of their key."""


def write_mask_counts(plan: Plan, store: Store, rows: Path) -> None:
    """Write the three files beside the rows.

    A mask whose bits are missing or damaged is left out with its recipients. At most MOST_MASKS masks and
    MOST_RECIPIENTS recipients are counted, the first in the order of the plan.
    """
    bits = StoredMasks(store)
    masks = _chosen_masks(plan)
    pairs = [pair for pair in combinations(masks, 2) if pair[0].network == pair[1].network]
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

    def bits(self, mask: MaskRun) -> "HardMask | None":
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


def _chosen_masks(plan: Plan) -> list[MaskRun]:
    """The finished masks that are counted."""
    found, counts = [], Counter[Network]()
    for run, spec in plan.runs.items():
        if run in plan.finished and _is_counted(spec) and counts[spec.network] < MOST_MASKS:
            counts[spec.network] += 1
            found.append(spec)
    return found


def _is_counted(run: Run) -> TypeGuard[MaskRun]:
    """Whether it is a mask of a network that names the parts of its matrices."""
    return isinstance(run, MaskRun) and bool(run.network.matrix_parts())


def _recipients(plan: Plan) -> list[tuple[Transfer, MaskRun]]:
    """The finished transfers that are counted, one of each start, with the mask that each is compared with."""
    of_parent, of_model = _masks_by_kin(plan)
    starts: dict[tuple[object, ...], set[tuple[object, ...]]] = defaultdict(set)
    found = []
    for run, spec in plan.runs.items():
        if spec.stage != "transfer" or run not in plan.finished:
            continue
        assert isinstance(spec, Transfer)
        parents = spec.start.parents()
        start = (run_id(parents[0]) if parents else None, spec.seed)
        known = starts[spec.arm, spec.network]
        mask = of_parent.get(run_id(parents[0])) if parents else _of_seed(of_model[spec.network], spec.seed)
        if len(known) < MOST_RECIPIENTS and start not in known and mask is not None:
            known.add(start)
            found.append((spec, mask))
    return found


def _masks_by_kin(plan: Plan) -> tuple[dict[str, MaskRun], dict[Network, list[MaskRun]]]:
    """The finished mask that stands for each mask or donor, by its id, and the finished ones of each architecture."""
    of_parent: dict[str, MaskRun] = {}
    of_model: dict[Network, list[MaskRun]] = defaultdict(list)
    for run, spec in plan.runs.items():
        if run in plan.finished and _is_counted(spec):
            of_parent[run] = spec
            of_parent.setdefault(run_id(spec.donor), spec)
            of_model[spec.network].append(spec)
    return of_parent, of_model


def _of_seed(masks: Sequence[MaskRun], seed: int) -> MaskRun | None:
    """The mask that a recipient of that seed without parents is paired with: of its seed, or else the first."""
    return next((mask for mask in masks if mask.seed == seed), masks[0] if masks else None)


def _inheritance(spec: Transfer, mask: MaskRun, stored: StoredMasks) -> list[Row]:
    bits = stored.bits(mask)
    several = {each: stored.bits(each) for each in spec.start.parents() if isinstance(each, MaskRun)}
    of_start = {run: each for run, each in several.items() if each is not None}
    if bits is None or len(of_start) < len(several):
        return []
    from subind.networks.network import bound
    from subind.starts.recipient import GivenMasks, inheritance

    given = GivenMasks(network=bound(spec.network, spec.task.signature()), masks=of_start, seed=spec.seed)
    found = inheritance(spec.start, given)
    inherited, frozen = found.inherited, found.kept
    return [
        {
            "run_id": run_id(spec),
            "mask_id": run_id(mask),
            "control": spec.arm,
            "matrix": name,
            "num_layers": len({part.layer for part in spec.network.matrix_parts()}),
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


def _overlap(first: MaskRun, second: MaskRun, stored: StoredMasks) -> list[Row]:
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


def _parts(mask: MaskRun, stored: StoredMasks) -> list[Row]:
    bits = stored.bits(mask)
    if bits is None:
        return []
    return [
        {
            "mask_id": run_id(mask),
            "matrix": part.matrix,
            "layer": part.layer,
            "part": part.part,
            "head": part.head,
            "num_weights": piece.numel(),
            "num_kept": int(piece.sum()),
        }
        for part in mask.network.matrix_parts()
        for piece in [bits[part.matrix].narrow(part.axis, part.first, part.end - part.first)]
    ]


SCHEMAS = {"recipients": RECIPIENT_SCHEMA, "parts": PART_SCHEMA, "overlaps": OVERLAP_SCHEMA}


def _write(rows: Path, name: Literal["recipients", "parts", "overlaps"], *, key: tuple[str, ...], jobs: Jobs) -> None:
    """Write one of the files, whole or not at all; no file if nothing is counted."""
    path = Path(side_table(str(rows), name))
    known = _known(path, SCHEMAS[name], key)
    found = [row for ids, count in jobs.items() for row in (known[ids] if ids in known else count())]
    write_side_table(path, found, SCHEMAS[name])


def _known(path: Path, schema: pa.Schema, key: Iterable[str]) -> dict[tuple[str, ...], list[Row]]:
    """The rows of an earlier export by their key; none if the file is missing or has another form."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid):
        return {}
    known: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    if table.schema.equals(schema):
        for row in table.to_pylist():
            known[tuple(row[name] for name in key)].append(row)
    return dict(known)
