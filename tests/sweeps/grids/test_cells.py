"""Columns of a planned cell, and the part of a grid that `--where` takes."""

from collections import Counter
from dataclasses import dataclass, replace

import pytest

from subind.identity.run_ids import run_id
from subind.specs.any_module import AnyModule
from subind.specs.runs import Distillation, Train, Transfer
from subind.specs.starts import FullTransfer
from subind.specs.tasks import Task
from subind.specs.training import ImportedWeights
from subind.store.schemas import ROW_SCHEMA
from sweeps.grids.cells import chosen, condition, planned_columns
from tests.specs import tiny_donor, tiny_mask, tiny_model, tiny_transfer


def _cells() -> tuple[Transfer, ...]:
    """Two controls, three sample counts and four seeds; random_init has no mask."""
    return tuple(
        tiny_transfer(name, num_disambiguation=count, seed=seed)
        for name in ("subnetwork", "random_init")
        for count in (2, 4, 10)
        for seed in (0, 1, 2, 3)
    )


def _chosen(*texts: str) -> tuple[Transfer, ...]:
    return chosen(_cells(), [condition(text) for text in texts])


def test_columns_of_a_transfer_tell_its_own_fields_and_its_ancestors() -> None:
    mask = tiny_mask(donor=tiny_donor(seed=5), seed=4, penalty=1e-6)
    cell = tiny_transfer(mask=mask, seed=3)
    columns, pairs = planned_columns(cell), [(a, b) for a in range(12) for b in range(12)]
    expected = {
        "run_id": run_id(cell),
        "stage": "transfer",
        "control": "subnetwork",
        "num_layers": 2,
        "d_model": 16,
        "rule": "a ** 2 + a * b",
        "modulus": 7,
        "num_integers": 12,
        "subtask": "a * b",
        "num_ambiguous": 12,
        "num_disambiguation": 6,
        "seed": 3,
        "mask_seed": 4,
        "donor_seed": 5,
        "donor_kind": "trained",
        "penalty": 1e-6,
        "temperature_schedule": "exponential",
        "final_temperature": 100.0,
        "model": "layers2",
        "task": "a ** 2 + a * b",
        "held": "nothing",
        "evaluations_per_epoch": 1,
        "parent_id": run_id(mask),
        "parent_ids": [run_id(mask), run_id(tiny_donor(seed=5))],
        "kept_epoch": "last_best",
        "rivals": ["2 * a ** 2", "2 * b ** 2"],
        "chance_accuracy": max(Counter((a * a + a * b) % 7 for a, b in pairs).values()) / 144,
        "chance_agreement": [
            sum((a * a + a * b - 2 * a * a) % 7 == 0 for a, b in pairs) / 144,
            sum((a * a + a * b - 2 * b * b) % 7 == 0 for a, b in pairs) / 144,
        ],
    }
    assert columns == expected


def test_columns_tell_a_donor_that_is_taken_as_it_was_initialised_from_a_trained_one() -> None:
    assert planned_columns(tiny_donor(num_epochs=0))["donor_kind"] == "untrained"
    imported = tiny_donor(weights=ImportedWeights(sha256="0" * 64), num_epochs=0)
    assert planned_columns(tiny_mask(donor=imported))["donor_kind"] == "imported"


def test_columns_of_a_run_without_parents_leave_out_what_does_not_apply() -> None:
    absent = {"parent_id", "mask_seed", "donor_seed", "penalty", "subtask"}
    assert planned_columns(tiny_transfer("random_init")).keys().isdisjoint(absent)


@pytest.mark.parametrize("spec", [tiny_donor(), tiny_mask(), tiny_transfer(), tiny_transfer("full_transfer")])
def test_columns_are_columns_of_a_result_row(spec: Transfer) -> None:
    assert planned_columns(spec).keys() <= {*ROW_SCHEMA.names, "num_unambiguous"}


def test_columns_of_a_run_over_two_donors_tell_the_nearest_and_both_parents() -> None:
    near, far = tiny_donor(seed=1), tiny_donor(seed=2)
    recipient = tiny_transfer(FullTransfer(donor=near), teacher=taught_by(far))
    columns = planned_columns(recipient)
    assert (columns["donor_seed"], columns["parent_ids"]) == (1, [run_id(near), run_id(far)])


def test_columns_of_a_mask_in_a_recipient_tell_both() -> None:
    recipient = tiny_transfer("full_transfer", mask=tiny_mask(donor=tiny_donor(seed=3)), seed=2)
    columns = planned_columns(tiny_mask(donor=recipient, seed=5))
    assert (columns["seed"], columns["mask_seed"], columns["donor_seed"]) == (5, 5, 3)
    assert columns["parent_id"] == run_id(recipient)


@dataclass(frozen=True, kw_only=True)
class Reversal(Task):
    """A task of a user's own, with a column of its own."""

    length: int

    def columns(self) -> dict[str, int]:
        return {"length": self.length}


def test_condition_on_a_column_of_a_users_task_is_one_like_any_other() -> None:
    lengths = (4, 8)
    network = AnyModule(make=nothing, arguments={}, maskable=("*",))
    donors = [tiny_donor(task=Reversal(length=length), model=network) for length in lengths]
    assert chosen(donors, [condition("length>4")]) == (donors[1],)
    assert planned_columns(donors[0])["task"] == "Reversal"


def nothing() -> None:
    """Stands for what makes a module."""


def taught_by(teacher: Train) -> Distillation:
    return Distillation(network=teacher, masks=(), temperature=2.0, weight=0.5)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("seed=2", {2}),
        ("seed==2", {2}),
        ("seed!=2", {0, 1, 3}),
        ("seed<2", {0, 1}),
        ("seed<=2", {0, 1, 2}),
        ("seed>2", {3}),
        ("seed>=2", {2, 3}),
        ("  seed  <  2 ", {0, 1}),
    ],
)
def test_condition_on_the_seed_leaves_the_seeds_for_which_it_holds(text: str, seeds: set[int]) -> None:
    assert {cell.seed for cell in _chosen(text)} == seeds


def test_comparison_of_a_count_is_of_numbers_not_of_texts() -> None:
    assert {cell.rows[1].num_samples for cell in _chosen("num_disambiguation<10")} == {2, 4}


def test_condition_on_a_fraction_reads_the_value_as_one() -> None:
    assert len(_chosen("penalty=0.0000001")) == 12


def test_condition_on_a_text_column_is_of_texts() -> None:
    left = _chosen("control=random_init")
    assert left == _cells()[12:]


@pytest.mark.parametrize("text", ["rule=a**2+a*b", "subtask = (a*b)"])
def test_condition_on_a_rule_knows_its_other_spellings(text: str) -> None:
    expected = _cells() if text.startswith("rule") else _cells()[:12]
    assert _chosen(text) == expected


def test_condition_on_a_column_leaves_out_cells_that_do_not_have_it() -> None:
    assert _chosen("mask_seed>=0") == _cells()[:12]


def test_inequality_on_a_column_leaves_out_cells_that_do_not_have_it() -> None:
    assert _chosen("mask_seed!=1") == _cells()[:12]


def test_several_conditions_must_all_hold() -> None:
    left = _chosen("seed<2", "num_disambiguation>=4", "control=subnetwork")
    expected = [("subnetwork", count, seed) for count in (4, 10) for seed in (0, 1)]
    assert [(planned_columns(each)["control"], each.rows[1].num_samples, each.seed) for each in left] == expected


def test_no_condition_leaves_the_grid_as_it_is() -> None:
    assert _chosen() == _cells()


def test_depth_of_a_grid_without_donors_can_be_chosen() -> None:
    deep = tiny_transfer("random_init")
    deep = replace(deep, start=replace(deep.start, model=tiny_model(num_layers=4)))
    assert chosen([deep, *_cells()], [condition("num_layers=4")]) == (deep,)


@pytest.mark.parametrize("text", ["seed", "seed~3", "=3", "seed<", "", "seed 3"])
def test_text_that_is_no_condition_raises_an_error_that_shows_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no condition: write a column, .* such as seed<3"):
        condition(text)


def test_value_of_another_type_raises_an_error_that_names_column_type_and_value() -> None:
    with pytest.raises(ValueError, match=r"--where seed<three: 'three' is no int: seed is of type int, such as 0"):
        _chosen("seed<three")


def test_fraction_for_a_count_raises_an_error() -> None:
    with pytest.raises(ValueError, match=r"'2\.5' is no int"):
        _chosen("num_layers=2.5")


def test_unknown_column_raises_an_error_that_lists_the_columns() -> None:
    with pytest.raises(ValueError, match=r"'layers' is no column of this grid; it has .*num_layers"):
        _chosen("layers=2")


def test_conditions_that_leave_no_cell_raise_an_error_that_names_them() -> None:
    with pytest.raises(ValueError, match="no cell of the grid has seed=0 and seed=1: each holds for some cell and"):
        _chosen("seed=0", "seed=1")


def test_condition_that_no_cell_meets_is_told_with_the_values_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"has control=sub and seed=0: its control is random_init, subnetwork"):
        _chosen("control=sub", "seed=0")


def test_condition_on_a_column_of_many_values_is_told_with_the_first_and_the_last() -> None:
    cells = [tiny_transfer(seed=seed) for seed in range(100)]
    with pytest.raises(ValueError, match=r"has seed=100: its seed is 0, 1, .*, 9, …, 99$"):
        chosen(cells, [condition("seed=100")])


@pytest.mark.parametrize("text", ["seed=" + "9" * 10**5, "x" * 10**5 + "=1", "a" * 10**5, "seed=1" + " " * 10**5 + "x"])
@pytest.mark.timeout(10)
def test_condition_of_many_letters_is_refused_in_a_short_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"--where|no cell") as refused:
        _chosen(text)
    assert len(str(refused.value)) < 1000


def test_rule_that_is_none_raises_an_error_with_the_condition() -> None:
    with pytest.raises(ValueError, match="--where rule=import: "):
        _chosen("rule=import")
