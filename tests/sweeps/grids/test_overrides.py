"""`--set`: a grid with other values, its runs made new and what is not meant left as it was."""

import json
from dataclasses import replace
from typing import Any

import pytest

from subind.identity.run_ids import run_id
from subind.specs.run import lineage
from sweeps.grids import read_grid
from sweeps.grids.overrides import overridden
from sweeps.grids.quickstart import SEEDS
from tests.sweeps.conftest import Call


@pytest.fixture(scope="module")
def grid() -> Any:
    return read_grid("quickstart")


def test_penalty_of_masks_changes_masks_and_their_descendants_alone(grid: Any) -> None:
    changed = overridden(grid, ["mask.penalty=1e-6"])
    for before, after in zip(grid.cells, changed.cells, strict=True):
        old = {each.stage: each for each in lineage(before)}
        new = {each.stage: each for each in lineage(after)}
        assert old.keys() == new.keys()
        assert (run_id(before) != run_id(after)) == ("mask" in old)
        assert old.get("donor") == new.get("donor")
        if "mask" in old:
            method = replace(old["mask"].method, penalty=1e-6)
            assert new["mask"] == replace(old["mask"], method=method)
            assert replace(after, start=before.start) == before


def test_donors_stay_one_a_seed_when_a_field_of_theirs_changes(grid: Any) -> None:
    changed = overridden(grid, ["donor.optimizer.learning_rate=5e-3"])
    donors = {each for cell in changed.cells for each in lineage(cell) if each.stage == "donor"}
    assert {each.seed for each in donors} == set(SEEDS)
    assert len(donors) == len(SEEDS)
    assert {each.optimizer.learning_rate for each in donors} == {5e-3}


def test_name_without_a_stage_applies_to_runs_of_all_stages(grid: Any) -> None:
    changed = overridden(grid, ["weight_decay=0.5"])
    runs = {each for cell in changed.cells for each in lineage(cell)}
    assert {each.optimizer.weight_decay for each in runs} == {0.5}
    assert {each.stage for each in runs} == {"donor", "mask", "transfer"}


def test_several_values_in_any_order_and_spelling_are_one_grid(grid: Any) -> None:
    one = overridden(grid, ["mask.penalty=1e-6", "transfer.num_epochs=7"])
    other = overridden(grid, ["transfer.num_epochs=7", "mask.penalty=0.000001"])
    assert one.cells == other.cells
    assert one.label == other.label != grid.label


def test_values_that_differ_have_labels_that_differ(grid: Any) -> None:
    labels = {overridden(grid, [f"donor.task.rule={rule}"]).label for rule in ("a*b", "a+b", "a + 2*b")}
    assert len(labels) == 3
    assert all("/" not in label and " " not in label for label in labels)


def test_claims_and_kept_starts_stay() -> None:
    grid = read_grid("figure-3-depth-2")
    changed = overridden(grid, ["mask.penalty=1e-6"])
    assert changed.claims == grid.claims != ()
    assert changed.keep == grid.keep


def test_no_value_leaves_the_grid_itself(grid: Any) -> None:
    assert overridden(grid, []) is grid


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["mask.penalti=1"], ("mask.penalti=1", "mask.method.penalty")),
        (["transfer.penalty=1"], ("transfer.penalty=1", "mask.method.penalty")),
        (["mask.penalty=much"], ("'much'", "a number", "4e-06")),
        (["transfer.num_epochs=2.5"], ("'2.5'", "a whole number", "100")),
        (["mask.penalty=-1"], ("--set mask.penalty=-1", "ContinuousSparsification.penalty", "-1.0")),
        (["mask.penalty=nan"], ("--set mask.penalty=nan", "nan")),
        (["mask.schedule=steep"], ("mask.schedule=steep", "schedule is 'steep'")),
        (["donor.rows=3"], ("donor.rows=3", "tuple", "grid file")),
        (["mask.optimizer=3"], ("AdamW", "learning_rate, weight_decay")),
        (["seed=3"], ("150 cells become 30", "--where")),
        (["num_epochs=7", "donor.num_epochs=3"], ("num_epochs=7 and donor.num_epochs=3", "leave one out")),
        (["=3"], ("'=3'", "FIELD=VALUE")),
        (["mask.penalty"], ("'mask.penalty'", "FIELD=VALUE")),
        (["mask..penalty=3"], ("FIELD=VALUE",)),
    ],
)
def test_value_that_cannot_be_is_refused_in_a_line_with_the_remedy(
    grid: Any, given: list[str], words: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=r"^--set ") as refused:
        overridden(grid, given)
    assert all(word in str(refused.value) for word in words), str(refused.value)
    assert "\n" not in str(refused.value)


def test_plan_shows_values_and_rows_of_both_grids_lie_apart(subind: Call) -> None:
    given = ("quickstart", "--set", "mask.penalty=1e-6")
    status, out, _ = subind("plan", *given)
    assert status == 0
    assert "set mask.penalty=1e-06\n" in out
    status, out, _ = subind("plan", *given, "--json")
    assert json.loads(out)["grid"] == "quickstart-mask.penalty_is_1e-06"
    _, plain, _ = subind("export", "quickstart")
    _, changed, _ = subind("export", *given)
    assert "results/quickstart.parquet" in plain
    assert "results/quickstart-mask.penalty_is_1e-06.parquet" in changed


def test_why_without_a_grid_refuses_values(subind: Call) -> None:
    status, _, error = subind("why", "0" * 16, "--set", "mask.penalty=1e-6")
    assert status == 2
    assert "GRID" in error
