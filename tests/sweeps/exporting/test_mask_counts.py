"""Counts over stored masks: against counting by hand, and against what recipients record."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import torch

from subind.identity.run_ids import run_id
from subind.masks.hard import HardMask, packed_bits
from subind.specs.run import MaskRun, Run
from subind.stages.parents import network_of
from subind.store.schemas import side_table
from subind.store.store import Store
from sweeps.exporting import mask_counts
from sweeps.exporting.rows import export
from sweeps.planning.plan import accounts
from tests.specs import CONTROL_NAMES, tiny_donor, tiny_mask, tiny_transfer
from tests.sweeps.fabricated_grid import exportable_record


def bits(seed: int) -> HardMask:
    """A mask with a fifth of ones."""
    draws = torch.Generator().manual_seed(seed)
    network = network_of(tiny_donor())
    return {name: torch.rand(network.shapes[name], generator=draws) < 0.2 for name in network.maskable}


def exported(folder: Path, cells: Sequence[Run], masks: dict[int, HardMask]) -> Path:
    store = Store(str(folder / "store"))
    plan = accounts("grid", cells, finished=(), failed=())
    for spec in plan.runs.values():
        files = {"mask.safetensors": packed_bits(masks[spec.seed])} if isinstance(spec, MaskRun) and masks else {}
        store.commit(spec, exportable_record(spec), files)
    plan = accounts("grid", cells, finished=store.finished(), failed=())
    return export(plan, store, folder / "rows.parquet")


def counted(rows: Path, name: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(side_table(str(rows), name)).to_pylist()  # type: ignore[arg-type]
    return found


def test_recipients_are_counted_as_their_starts_promise(tmp_path: Path):
    mask = tiny_mask(seed=0)
    rows = exported(tmp_path, [tiny_transfer(name, mask=mask) for name in CONTROL_NAMES], {0: bits(0)})
    size = sum(int(each.sum()) for each in bits(0).values())
    total = sum(each.numel() for each in bits(0).values())
    found = {
        name: tuple(
            sum(int(row[count]) for row in counted(rows, "recipients") if row["control"] == name)  # type: ignore[call-overload]
            for count in ("num_inherited", "num_frozen", "num_subnetwork_inherited")
        )
        for name in CONTROL_NAMES
    }
    assert found["subnetwork"] == (size, size, size)
    assert found["subnetwork_trainable"] == (size, 0, size)
    assert found["full_transfer"] == (total, 0, size)
    assert found["random_init"] == found["unmasked_only"] == (0, 0, 0)
    assert found["random_subnetwork"][:2] == (size, size)
    assert found["complement_subnetwork"] == (size, size, 0)
    assert found["random_as_released"][:2] == (total - size, total - size)
    assert found["complement_as_released"] == (total - size, total - size, size)


def test_recipient_without_parents_is_held_against_the_mask_of_its_seed(tmp_path: Path):
    masks = {seed: tiny_mask(seed=seed) for seed in (0, 1)}
    cells = [
        tiny_transfer(name, mask=masks[seed], seed=seed) for seed in (0, 1) for name in ("subnetwork", "random_init")
    ]
    cells.append(tiny_transfer("random_init", mask=masks[0], seed=2))
    rows = exported(tmp_path, cells, {0: bits(0), 1: bits(1)})
    found = {(row["control"], row["seed"]): row["mask_id"] for row in counted(rows, "recipients")}
    one, two = run_id(masks[0]), run_id(masks[1])
    assert [found["subnetwork", seed] for seed in (0, 1)] == [one, two]
    assert [found["random_init", seed] for seed in (0, 1, 2)] == [one, two, one]


def test_overlaps_count_the_ones_that_both_masks_have(tmp_path: Path):
    donor = tiny_donor(seed=0)
    cells = [tiny_transfer("subnetwork", mask=tiny_mask(donor=donor, seed=seed)) for seed in (0, 1)]
    rows = exported(tmp_path, cells, {0: bits(0), 1: bits(1)})
    one, two = bits(0), bits(1)
    found = {row["matrix"]: (row["num_first"], row["num_second"], row["num_both"]) for row in counted(rows, "overlaps")}
    assert found == {
        name: (int(one[name].sum()), int(two[name].sum()), int((one[name] & two[name]).sum())) for name in one
    }


def test_parts_of_a_matrix_are_its_columns_of_query_key_and_value_by_head(tmp_path: Path):
    only = {name: torch.zeros_like(each) for name, each in bits(0).items()}
    only["h.1.attn.c_attn.weight"][:, 16 + 8 : 16 + 16] = True
    only["h.0.attn.c_proj.weight"][:8] = True
    rows = exported(tmp_path, [tiny_transfer("subnetwork", mask=tiny_mask(seed=0))], {0: only})
    kept = {(row["layer"], row["part"], row["head"]): row["num_kept"] for row in counted(rows, "parts")}
    assert {place: num for place, num in kept.items() if num} == {(1, "key", 1): 16 * 8, (0, "output", 0): 8 * 16}
    assert kept[0, "mlp.c_fc", None] == 0


def test_counts_of_masks_without_bits_are_no_files(tmp_path: Path):
    rows = exported(tmp_path, [tiny_transfer("subnetwork", mask=tiny_mask(seed=0))], {})
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [rows.name]


def test_counts_of_an_earlier_export_are_taken_over(tmp_path: Path):
    cells = [tiny_transfer("subnetwork", mask=tiny_mask(seed=0))]
    rows = exported(tmp_path, cells, {0: bits(0)})
    before = counted(rows, "recipients")
    store = Store(str(tmp_path / "store"))
    (mask,) = [
        each for each in accounts("grid", cells, finished=(), failed=()).runs.values() if isinstance(each, MaskRun)
    ]
    for path in Path(store.folder(mask)).glob("mask*"):
        path.unlink()
    plan = accounts("grid", cells, finished=store.finished(), failed=())
    export(plan, store, rows)
    assert counted(rows, "recipients") == before
    assert before[0]["mask_id"] == run_id(mask)


def test_recipients_of_one_control_are_counted_up_to_a_number(tmp_path: Path):
    cells = [tiny_transfer("subnetwork", mask=tiny_mask(seed=0), seed=seed) for seed in range(7)]
    rows = exported(tmp_path, cells, {0: bits(0)})
    assert len({row["run_id"] for row in counted(rows, "recipients")}) == mask_counts.MOST_RECIPIENTS
