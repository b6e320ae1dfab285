"""Which cells are added for claims that are not decided, and how the claims travel with the rows."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import process_time

import pyarrow.parquet as pq
import pytest

from subind.specs.run import lineage
from subind.specs.runs import Discover, Train, Transfer
from subind.specs.starts import Subnetwork
from subind.store.store import Store
from sweeps import grids
from sweeps.exporting.rows import export
from sweeps.planning.further_seeds import Expected, Need, added_cells, fewest_seeds, next_look
from sweeps.planning.plan import accounts
from tests.specs import tiny_donor, tiny_mask, tiny_transfer, with_method

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
    return {type(each).__name__: each.seed for each in lineage(cell) if isinstance(each, Discover | Train)}


def test_next_look_doubles_the_seeds_up_to_the_most():
    assert [next_look(num, fewest=1, most_seeds=20) for num in (5, 10, 16)] == [10, 20, 20]


def test_next_look_is_at_no_number_of_seeds_that_decides_nothing():
    assert [next_look(num, fewest=8, most_seeds=20) for num in (1, 3, 6)] == [8, 8, 12]
    assert next_look(1, fewest=8, most_seeds=5) == 5


def test_added_cells_are_the_needed_ones_under_further_seeds():
    added = added_cells(cells(mask_moves=True), [NEED], num_seeds=4)
    assert {cell.seed for cell in added} == {2, 3}
    assert {cell.rows[1].num_samples for cell in added} == {4}
    assert len(added) == 4


def test_added_cells_have_new_masks_and_donors_where_the_grid_has():
    (cell,) = [each for each in added_cells(cells(mask_moves=True), [NEED], num_seeds=3) if ancestor_seeds(each)]
    assert ancestor_seeds(cell) == {"Discover": 2, "Train": 2}


def test_added_cells_share_the_mask_where_the_grid_does():
    (cell,) = [each for each in added_cells(cells(mask_moves=False), [NEED], num_seeds=3) if ancestor_seeds(each)]
    assert (cell.seed, ancestor_seeds(cell)) == (2, {"Discover": 7, "Train": 0})


def uneven_cells() -> tuple[Transfer, ...]:
    """Ten seeds of the subnetwork and three of a fresh start."""
    several = [tiny_transfer("subnetwork", mask=own_mask(seed), seed=seed, num_disambiguation=4) for seed in range(10)]
    return (*several, *(tiny_transfer("random_init", seed=seed, num_disambiguation=4) for seed in (0, 1, 7)))


def own_mask(seed: int) -> Discover:
    return tiny_mask(donor=tiny_donor(seed=seed), seed=seed)


def test_added_cells_fill_the_arm_that_lacks_seeds_with_those_of_the_other():
    added = added_cells(uneven_cells(), [NEED], num_seeds=6)
    assert {(cell.start.name, cell.seed) for cell in added} == {("random_init", seed) for seed in (2, 3, 4)}


def test_added_cells_beyond_the_seeds_of_either_arm_are_of_both():
    added = added_cells(uneven_cells(), [NEED], num_seeds=12)
    found = {(cell.start.name, cell.seed) for cell in added}
    assert {seed for name, seed in found if name == "subnetwork"} == {10, 11}
    assert {seed for name, seed in found if name == "random_init"} == {2, 3, 4, 5, 6, 8, 9, 10, 11}


def test_added_cells_of_more_seeds_include_those_of_fewer():
    several = [set(added_cells(uneven_cells(), [NEED], num_seeds=num)) for num in (4, 6, 12, 20)]
    assert all(fewer < more for fewer, more in pairwise(several))


def test_added_cells_of_a_selected_mask_keep_it_and_its_donor():
    """A mask that was chosen among three is not averaged with masks of new donors that nobody chose."""
    added = added_cells(
        grids.read_grid("figure-3-depth-2").cells, [replace(NEED, num_disambiguation=1000)], num_seeds=3
    )
    assert {cell.seed for cell in added} == {1, 2}
    masked = [ancestor_seeds(cell) for cell in added if ancestor_seeds(cell)]
    assert masked == [{"Discover": 1, "Train": 0}] * 2


def test_added_cells_of_another_penalty_than_the_claims_are_none():
    several = tuple(
        tiny_transfer(
            "subnetwork", mask=with_method(own_mask(seed), {"penalty": penalty}), seed=seed, num_disambiguation=4
        )
        for seed in (0, 1)
        for penalty in (1e-7, 1e-6)
    )
    need = replace(NEED, controls=frozenset({"subnetwork"}), settings={"penalty": "0.000001"})
    (cell,) = added_cells(several, [need], num_seeds=3)
    assert isinstance(cell.start, Subnetwork)
    assert isinstance(cell.start.mask, Discover)
    assert (cell.seed, cell.start.mask.method.searched()["penalty"]) == (2, 1e-6)


def test_added_cells_take_time_in_proportion_to_the_cells():
    """Four times the cells take 16 times as long where each is compared with all; 5,120 took minutes so."""
    seconds = []
    for num_seeds in (80, 320, 1280):
        several = [tiny_transfer("random_init", seed=seed, num_disambiguation=4) for seed in range(num_seeds)]
        start = process_time()
        added = added_cells(several, [NEED], num_seeds=2 * num_seeds)
        seconds.append(process_time() - start)
        assert len(added) == num_seeds
    assert seconds[2] < 10 * seconds[1] + 0.1


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
    expected = Expected(claims=("subnetwork reaches 0.5 at n = 4",))
    path = export(plan, store, tmp_path / "rows.parquet", expected=expected)
    metadata = pq.read_schema(path).metadata
    assert metadata[b"claims"] == b'["subnetwork reaches 0.5 at n = 4"]'


def test_claims_of_a_grid_file_are_its_constant(tmp_path: Path):
    path = tmp_path / "grid.py"
    cells = "from tests.specs import tiny_transfer\ndef grid():\n    return tiny_transfer()\n"
    path.write_text(f'{cells}CLAIMS = ("a beats b at n = 1",)\n')
    assert grids.read_grid(str(path)).claims == ("a beats b at n = 1",)
    path.write_text(f"{cells}CLAIMS = [1]\n")
    with pytest.raises(ValueError, match="give a tuple of sentences"):
        grids.read_grid(str(path))


@pytest.mark.parametrize("name", [name for name in grids.NAMES if "vision" not in name])
def test_claims_of_our_grids_are_about_cells_that_they_plan(name: str, tmp_path: Path):
    from analysis.rows.claims import of_rows, planned
    from analysis.rows.load import load

    store = Store(str(tmp_path / "store"))
    plan = accounts(name, grids.read_grid(name).cells, finished=(), failed=())
    expected = Expected(claims=grids.read_grid(name).claims)
    path = export(plan, store, tmp_path / "rows.parquet", expected=expected)
    kept, reasons = planned(of_rows(path), load(path))
    assert reasons == []
    assert len(kept) == len(grids.read_grid(name).claims)
