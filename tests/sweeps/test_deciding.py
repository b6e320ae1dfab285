"""Which cells are added for claims that are not decided, and how the claims travel with the rows."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from subind.spec import Donor, Mask, Transfer, lineage
from subind.store import Store
from sweeps import grids
from sweeps.deciding import Expected, Need, added_cells, fewest_seeds, looks
from sweeps.export import export
from sweeps.plan import accounts
from tests.specs import tiny_donor, tiny_mask, tiny_transfer

NEED = Need(controls=frozenset({"subnetwork", "random_init"}), num_disambiguation=4, depth=None)


def cells(*, mask_moves: bool) -> tuple[Transfer, ...]:
    return tuple(
        tiny_transfer(
            name,
            mask=tiny_mask(donor=tiny_donor(seed=seed), seed=seed) if mask_moves else tiny_mask(seed=7),
            seed=seed,
            num_disambiguation=count,
        )
        for seed in (0, 1)
        for count in (4, 8)
        for name in ("subnetwork", "full_transfer", "random_init")
    )


def ancestor_seeds(cell: Transfer) -> dict[str, int]:
    return {type(each).__name__: each.seed for each in lineage(cell) if isinstance(each, Mask | Donor)}


def test_looks_double_the_seeds_up_to_the_most():
    assert looks(5, most_seeds=20) == (5, 10, 20)
    assert looks(3, most_seeds=8) == (3, 6, 8)
    assert looks(4, most_seeds=4) == (4,)


def test_looks_of_a_grid_with_more_seeds_than_the_most_are_refused():
    with pytest.raises(ValueError, match="--max-seeds is 3 and the grid has 5"):
        looks(5, most_seeds=3)


def test_added_cells_are_the_needed_ones_under_further_seeds():
    added = added_cells(cells(mask_moves=True), [NEED], num_seeds=4)
    assert {cell.seed for cell in added} == {2, 3}
    assert {cell.num_disambiguation for cell in added} == {4}
    assert len(added) == 4


def test_added_cells_have_new_masks_and_donors_where_the_grid_has():
    (cell,) = [each for each in added_cells(cells(mask_moves=True), [NEED], num_seeds=3) if ancestor_seeds(each)]
    assert ancestor_seeds(cell) == {"Mask": 2, "Donor": 2}


def test_added_cells_share_the_mask_where_the_grid_does():
    (cell,) = [each for each in added_cells(cells(mask_moves=False), [NEED], num_seeds=3) if ancestor_seeds(each)]
    assert (cell.seed, ancestor_seeds(cell)) == (2, {"Mask": 7, "Donor": 0})


def test_added_cells_for_no_need_and_for_enough_seeds_are_none():
    assert added_cells(cells(mask_moves=True), [], num_seeds=9) == ()
    assert added_cells(cells(mask_moves=True), [NEED], num_seeds=2) == ()


def test_need_of_another_depth_adds_nothing():
    assert added_cells(cells(mask_moves=True), [replace(NEED, depth=12)], num_seeds=9) == ()


def test_fewest_seeds_are_those_of_the_cell_that_has_fewest():
    assert fewest_seeds(cells(mask_moves=True)) == 2
    assert fewest_seeds(cells(mask_moves=True)[:-1]) == 1


def test_claims_travel_in_the_metadata_of_the_rows(tmp_path: Path):
    store = Store(str(tmp_path / "store"))
    plan = accounts("grid", cells(mask_moves=True), finished=(), failed=())
    expected = Expected(claims=("subnetwork reaches 0.5 at n = 4",), num_looks=3)
    path = export(plan, store, tmp_path / "rows.parquet", expected=expected)
    metadata = pq.read_schema(path).metadata
    assert (metadata[b"claims"], metadata[b"num_looks"]) == (b'["subnetwork reaches 0.5 at n = 4"]', b"3")


def test_claims_of_a_grid_file_are_its_constant(tmp_path: Path):
    path = tmp_path / "grid.py"
    path.write_text('CLAIMS = ("a beats b at n = 1",)\n')
    assert grids.claims(str(path)) == ("a beats b at n = 1",)
    path.write_text("CLAIMS = [1]\n")
    with pytest.raises(ValueError, match="give a tuple of sentences"):
        grids.claims(str(path))


@pytest.mark.parametrize("name", [name for name in grids.NAMES if "vision" not in name])
def test_claims_of_our_grids_are_about_cells_that_they_plan(name: str, tmp_path: Path):
    from analysis.claims import of_rows, planned
    from analysis.load import load

    store = Store(str(tmp_path / "store"))
    plan = accounts(name, grids.grid(name), finished=(), failed=())
    expected = Expected(claims=grids.claims(name), num_looks=1)
    path = export(plan, store, tmp_path / "rows.parquet", expected=expected)
    kept, reasons = planned(of_rows(path), load(path))
    assert reasons == []
    assert len(kept) == len(grids.claims(name))
