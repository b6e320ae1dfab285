"""Rows of the tasks on integers, against Python's integers."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from subind.specs.arithmetic import ArithmeticTask, Operation, SeveralOperations
from subind.specs.base import behaviour
from subind.specs.runs import Discover, Transfer
from subind.specs.starts import Subnetwork
from subind.specs.tuning import TuningValidation
from subind.tasks import arithmetic
from subind.tasks.arithmetic_pack import seen_share
from subind.tasks.task import Key, training_rows
from tests.specs import CONTROL_NAMES, recipient_rows, tiny_donor, tiny_mask, tiny_task, tiny_transfer

PAPER = ArithmeticTask(rule="a + a*b", modulus=7, num_integers=1000)
THREE = ArithmeticTask(rule="a*b + c", modulus=7, num_integers=300, num_operands=3, operation=1, num_operations=2)


def rows_of(tokens: Tensor) -> list[tuple[int, ...]]:
    return [tuple(row) for row in tokens.tolist()]


def drawn(task: Any, part: str, num_rows: int, *, seed: int = 0, stage: str = "transfer") -> list[tuple[int, ...]]:
    key = Key(stage=stage, seed=seed, rows=part)
    return rows_of(behaviour(task).rows(part, num_rows=num_rows, key=key)["tokens"])


def split_of(run: Any, split: str) -> list[tuple[int, ...]]:
    """The rows of an evaluation of a run."""
    return drawn(run.task, split, run.num_evaluation_samples, seed=run.seed, stage=run.stage)


def trained_on(run: Any) -> list[tuple[int, ...]]:
    return rows_of(training_rows(behaviour(run.task), run.rows, run)["tokens"])


@pytest.mark.parametrize(
    ("rule", "modulus", "answer"),
    [
        ("a + a*b", 7, lambda a, b: (a + a * b) % 7),
        ("a*b", 7, lambda a, b: a * b % 7),
        ("a**2 + a*b", 7, lambda a, b: (a * a + a * b) % 7),
        ("a**3 - b + 5", 11, lambda a, b: (a**3 - b + 5) % 11),
    ],
)
def test_rows_of_a_rule_hold_operands_equals_and_answer(
    rule: str, modulus: int, answer: Callable[[int, int], int]
) -> None:
    task = ArithmeticTask(rule=rule, modulus=modulus, num_integers=1000)
    for a, b, equals, c in drawn(task, "unambiguous", 2000):
        assert (equals, c) == (1000, answer(a, b))


def test_rows_of_three_operands_hold_them_the_operation_and_the_answer() -> None:
    for a, b, c, operation, answer in drawn(THREE, "unambiguous", 500):
        assert (operation, answer) == (301, (a * b + c) % 7)


def test_vocabulary_size_of_the_paper_is_1001() -> None:
    assert PAPER.vocabulary_size == 1001


# ---- unambiguous rows


@pytest.mark.parametrize(("task", "num_operands"), [(PAPER, 2), (THREE, 3)])
def test_unambiguous_first_rows_cover_every_integer_once_at_a_random_position(
    task: ArithmeticTask, num_operands: int
) -> None:
    num = task.num_integers
    rows = drawn(task, "unambiguous", 3 * num)[:num]
    assert all(integer in row[:num_operands] for integer, row in enumerate(rows))
    for position in range(num_operands):
        there = sum(row[position] == integer for integer, row in enumerate(rows))
        spread = (num * (1 / num_operands) * (1 - 1 / num_operands)) ** 0.5
        assert abs(there - num / num_operands) < 5 * spread


def test_unambiguous_first_rows_have_other_operands_uniform_from_one() -> None:
    others = []
    for seed in range(20):
        for integer, (a, b, _, _) in enumerate(drawn(PAPER, "unambiguous", 1000, seed=seed)):
            others.append(b if a == integer else a)
    counts = Counter(others)
    assert set(counts) <= set(range(1, 1000))
    assert max(counts.values()) < 20 + 6 * 20**0.5
    assert abs(sum(others) / len(others) - 500) < 6 * 1000 / 12**0.5 / len(others) ** 0.5


def test_unambiguous_later_rows_are_uniform_pairs() -> None:
    counts = Counter((a, b) for a, b, _, _ in drawn(tiny_task(), "unambiguous", 12 + 144 * 100)[12:])
    assert set(counts) == {(a, b) for a in range(12) for b in range(12)}
    assert all(abs(count - 100) < 60 for count in counts.values())


def test_unambiguous_too_few_rows_names_value_and_remedy() -> None:
    with pytest.raises(ValueError, match="num_rows is 999: give at least num_integers = 1000"):
        drawn(PAPER, "unambiguous", 999)


def test_rows_of_an_unknown_part_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'other': give unambiguous, ambiguous, disambiguation"):
        drawn(PAPER, "other", 10)


# ---- ambiguous rows


def test_ambiguous_all_are_the_pairs_in_order() -> None:
    assert drawn(PAPER, "ambiguous", 1000) == [(a, a, 1000, (a + a * a) % 7) for a in range(1000)]


def test_ambiguous_of_three_operands_has_all_three_equal() -> None:
    assert drawn(THREE, "ambiguous", 300) == [(a, a, a, 301, (a * a + a) % 7) for a in range(300)]


def test_ambiguous_part_is_distinct_pairs() -> None:
    rows = drawn(PAPER, "ambiguous", 100)
    assert len({a for a, _, _, _ in rows}) == 100
    assert all(a == b for a, b, _, _ in rows)


# ---- disambiguation rows


@pytest.mark.parametrize("num_rows", [10, 1000, 2500])
def test_disambiguation_is_drawn_without_replacement_from_unambiguous_rows(num_rows: int) -> None:
    own = Key(stage="transfer", seed=0, rows="disambiguation")
    pool = arithmetic.unambiguous(max(1000, num_rows), own.generator(), num_integers=1000, num_operands=2)
    rows = Counter((a, b) for a, b, _, _ in drawn(PAPER, "disambiguation", num_rows))
    assert rows.total() == num_rows
    assert rows <= Counter((a, b) for a, b in pool.tolist())


@pytest.mark.parametrize("num_rows", [1000, 2500])
def test_disambiguation_of_the_whole_pool_covers_every_integer(num_rows: int) -> None:
    rows = drawn(PAPER, "disambiguation", num_rows)
    assert {integer for a, b, _, _ in rows for integer in (a, b)} == set(range(1000))


@pytest.mark.parametrize("task", [PAPER, replace(PAPER, rule="a*b + c", num_operands=3)])
def test_disambiguation_rows_up_to_the_number_of_integers_nest(task: ArithmeticTask) -> None:
    sets = [drawn(task, "disambiguation", num_rows) for num_rows in (10, 250, 1000)]
    assert sets[1][:10] == sets[0]
    assert sets[2][:250] == sets[1]


def test_disambiguation_of_none_is_empty() -> None:
    assert drawn(PAPER, "disambiguation", 0) == []


def test_disambiguation_smaller_set_is_no_prefix_of_the_integers() -> None:
    assert max(max(a, b) for a, b, _, _ in drawn(PAPER, "disambiguation", 100)) > 500


# ---- draws


@pytest.mark.parametrize("part", ["unambiguous", "disambiguation", "validation", "test"])
def test_rows_depend_on_stage_seed_and_part(part: str) -> None:
    task, rows = tiny_task(), drawn(tiny_task(), part, 12)
    assert rows == drawn(task, part, 12)
    assert rows != drawn(task, part, 12, seed=1)
    assert rows != drawn(task, part, 12, stage="mask")
    second = Key(stage="transfer", seed=0, rows=part, purpose="second_rows")
    assert rows != rows_of(behaviour(task).rows(part, num_rows=12, key=second)["tokens"])


def test_ambiguous_part_depends_on_the_seed() -> None:
    first, again, other = (drawn(PAPER, "ambiguous", 100, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_validation_and_test_rows_are_different_rows() -> None:
    assert drawn(PAPER, "validation", 1000) != drawn(PAPER, "test", 1000)


def test_rows_of_a_mask_follow_the_subtask() -> None:
    for a, b, _, c in trained_on(tiny_mask()):
        assert c == a * b % 7


def test_rows_of_a_recipient_are_its_parts_in_order() -> None:
    rows = trained_on(tiny_transfer(num_ambiguous=12, num_disambiguation=6))
    assert [(a, b) for a, b, _, _ in rows[:12]] == [(a, a) for a in range(12)]
    assert len(rows) == 18


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_rows_of_a_control_are_those_of_its_cell(name: str) -> None:
    cell, run = tiny_transfer("subnetwork"), tiny_transfer(name)
    assert trained_on(run) == trained_on(cell)
    assert all(split_of(run, split) == split_of(cell, split) for split in ("validation", "test"))


# ---- rivals


def test_rival_answers_follow_the_rivals_in_order() -> None:
    task = behaviour(tiny_task("a**2 + a*b", rivals=("2*a**2", "2*b**2")))
    tokens = task.rows("validation", num_rows=20, key=Key(stage="transfer", seed=0, rows="validation"))["tokens"]
    expected = [[2 * a * a % 7 for a, _, _, _ in rows_of(tokens)], [2 * b * b % 7 for _, b, _, _ in rows_of(tokens)]]
    assert task.rival_answers(tokens).tolist() == expected


def test_rival_answers_of_three_operands_follow_the_rivals() -> None:
    task = behaviour(replace(THREE, rule="a*b*c", rivals=("a**3", "b*c**2")))
    tokens = task.rows("validation", num_rows=400, key=Key(stage="transfer", seed=0, rows="validation"))["tokens"]
    expected = [[a**3 % 7 for a, *_ in rows_of(tokens)], [b * c * c % 7 for _, b, c, *_ in rows_of(tokens)]]
    assert task.rival_answers(tokens).tolist() == expected


def test_rival_answers_without_rivals_are_empty() -> None:
    assert behaviour(tiny_task()).rival_answers(torch.zeros(5, 4, dtype=torch.long)).shape == (0, 5)


# ---- several operations


def several(*shares: float, num_integers: int = 100) -> SeveralOperations:
    """As many of the rules a + b, ab, and a² with these shares."""
    return SeveralOperations(
        operations=tuple(
            Operation(
                task=ArithmeticTask(
                    rule=rule, modulus=7, num_integers=num_integers, operation=number, num_operations=3
                ),
                share=share,
            )
            for number, (rule, share) in enumerate(zip(("a + b", "a*b", "a**2"), shares, strict=False))
        )
    )


ANSWERS = {100: lambda a, b: (a + b) % 7, 101: lambda a, b: a * b % 7, 102: lambda a, b: a * a % 7}


@pytest.mark.parametrize(
    ("part", "num_rows"), [("unambiguous", 250), ("ambiguous", 60), ("disambiguation", 31), ("test", 100)]
)
def test_rows_of_several_operations_are_shared_out_and_answered_by_their_operation(part: str, num_rows: int) -> None:
    rows = drawn(several(0.5, 0.3, 0.2), part, num_rows)
    counts = Counter(operation for _, _, operation, _ in rows)
    assert len(rows) == num_rows
    for number, share in enumerate((0.5, 0.3, 0.2)):
        assert abs(counts[100 + number] - share * num_rows) < 1
    assert all(c == ANSWERS[operation](a, b) for a, b, operation, c in rows)


def test_unambiguous_rows_of_several_operations_cover_every_integer_and_mix_them() -> None:
    rows = drawn(several(0.5, 0.5), "unambiguous", 100)
    assert {integer for a, b, _, _ in rows for integer in (a, b)} == set(range(100))
    even = sum(operation == 100 for _, _, operation, _ in rows[::2])
    assert 10 < even < 40


def test_disambiguation_rows_of_two_operations_nest() -> None:
    few, many = (set(drawn(several(0.5, 0.5), "disambiguation", num_rows)) for num_rows in (20, 60))
    assert few <= many


@pytest.mark.parametrize(
    ("num_rows", "shares", "expected"),
    [
        (10, [0.5, 0.5], [5, 5]),
        (10, [1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),
        (7, [0.6, 0.25, 0.15], [4, 2, 1]),
        (100, [0.29, 0.71], [29, 71]),
        (1, [0.2, 0.8], [0, 1]),
        (0, [0.2, 0.8], [0, 0]),
    ],
)
def test_shared_out_gives_the_rest_to_the_largest_remainders(
    num_rows: int, shares: list[float], expected: list[int]
) -> None:
    assert arithmetic.shared_out(num_rows, shares) == expected


def test_accuracies_of_several_operations_are_overall_and_of_each() -> None:
    tokens = torch.tensor([[1, 2, 100, 3], [2, 3, 100, 5], [3, 3, 101, 2], [4, 4, 101, 2]])
    found = behaviour(several(0.5, 0.5)).accuracies(torch.tensor([3, 0, 2, 2]), tokens)
    assert found == {"accuracy": 0.75, "accuracy.a + b": 0.5, "accuracy.a * b": 1.0}


def test_names_of_the_same_rule_with_other_moduli_tell_the_modulus() -> None:
    tasks = [
        ArithmeticTask(rule="a*b", modulus=modulus, num_integers=20, operation=number, num_operations=2)
        for number, modulus in enumerate((5, 7))
    ]
    spec = SeveralOperations(operations=tuple(Operation(task=task, share=0.5) for task in tasks))
    assert arithmetic.operation_names(spec) == ("a * b mod 5", "a * b mod 7")


# ---- tuning


T2 = ArithmeticTask(rule="a**2 + a*b", modulus=5, num_integers=50)


def transfer_of(mask: Discover, *, seed: int = 0, num_evaluation_samples: int = 80) -> Transfer:
    """A recipient of the mask that learns a² + ab from the 50 ambiguous samples and 6 others."""
    return replace(
        tiny_transfer(),
        start=Subnetwork(mask=mask),
        task=T2,
        rows=recipient_rows(num_ambiguous=50, num_disambiguation=6),
        num_evaluation_samples=num_evaluation_samples,
        seed=seed,
    )


def tuned_mask(**changes: int) -> Discover:
    """A mask of 50 integers that is tuned apart from three seeds."""
    task = ArithmeticTask(rule="a*b", modulus=5, num_integers=50)
    donor = tiny_donor(
        task=ArithmeticTask(rule="a + a*b", modulus=5, num_integers=50), num_samples=60, num_evaluation_samples=70
    )
    fields = {"num_samples": 200, "num_seeds": 3, "num_transfer_samples": 80, **changes}
    validation = TuningValidation(**fields)
    return tiny_mask(donor=donor, task=task, num_samples=60, num_evaluation_samples=90, validation=validation)


def reported_pairs(mask: Discover) -> set[tuple[int, int]]:
    """The operands of every evaluation of runs with the seeds 0, 1 and 2, by the runs' own rows."""
    pairs: set[tuple[int, int]] = set()
    for seed in range(3):
        donor, own = replace(mask.donor, seed=seed), replace(mask, seed=seed)  # type: ignore[type-var]
        transfer = transfer_of(own, seed=seed)
        sets = [split_of(run, "validation") for run in (donor, own, transfer)]
        for rows in (*sets, split_of(transfer, "test"), trained_on(transfer)[:50]):
            pairs |= {(a, b) for a, b, _, _ in rows}
    return pairs


@pytest.mark.parametrize("seed", range(3))
def test_tuning_rows_share_no_pair_with_any_reported_evaluation(seed: int) -> None:
    mask = replace(tuned_mask(), seed=seed)
    pairs = {(a, b) for a, b, _, _ in rows_of(arithmetic.tuning_tokens(mask))}
    assert pairs.isdisjoint(reported_pairs(mask))


def test_tuning_rows_are_apart_from_the_test_of_a_donor_that_is_a_recipient() -> None:
    mask = tuned_mask()
    donor = transfer_of(replace(mask, seed=1))
    over = replace(mask, donor=donor)
    tested = {(a, b) for a, b, _, _ in split_of(donor, "test")}
    assert {(a, b) for a, b, _, _ in rows_of(arithmetic.tuning_tokens(over))}.isdisjoint(tested)


def test_tuning_rows_are_distinct_and_answer_the_subtask() -> None:
    rows = rows_of(arithmetic.tuning_tokens(tuned_mask()))
    assert len({(a, b) for a, b, _, _ in rows}) == len(rows) == 200
    assert all((equals, c) == (50, a * b % 5) for a, b, equals, c in rows)


def test_tuning_rows_depend_on_the_seed() -> None:
    first, again, other = (arithmetic.tuning_tokens(replace(tuned_mask(), seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_tuning_rows_of_a_mask_that_is_not_tuned_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Discover\.validation is OwnValidation: give a TuningValidation"):
        arithmetic.tuning_tokens(tiny_mask())


def test_mask_whose_reported_rows_leave_too_few_pairs_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="num_samples is 200: 30 seeds leave about 52 pairs"):
        tuned_mask(num_seeds=30)


def test_mask_of_a_seed_that_tuning_does_not_avoid_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="seed is 3: the mask is tuned apart from the samples of seeds below 3"):
        replace(tuned_mask(), seed=3)


def test_transfer_of_a_tuned_mask_with_another_seed_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="seed is 3: the mask is tuned apart"):
        transfer_of(tuned_mask(), seed=3)


def test_transfer_of_a_tuned_mask_that_is_evaluated_on_other_samples_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="is 81: its mask is tuned apart from evaluations on 80"):
        transfer_of(tuned_mask(), num_evaluation_samples=81)


# ---- what was seen in training


def test_seen_share_is_that_of_the_test_pairs_among_the_training_pairs() -> None:
    run = tiny_transfer(num_disambiguation=10)
    trained, tested = trained_on(run), split_of(run, "test")
    expected = sum(any(row[:2] == other[:2] for other in trained) for row in tested) / len(tested)
    assert 0 < seen_share(torch.tensor(trained), torch.tensor(tested)) == expected


def test_seen_share_tells_the_same_operands_of_other_operations_apart() -> None:
    trained, tested = torch.tensor([[1, 2, 100, 3]]), torch.tensor([[1, 2, 100, 3], [1, 2, 101, 2]])
    assert seen_share(trained, tested) == 0.5


def test_seen_share_of_the_protocols_sizes_at_250_samples_is_an_eighth() -> None:
    """50 integers, 50 ambiguous samples and 250 others of 2,500 pairs: 1 - (1 - 1/50)·exp(-250/2500) or so."""
    shares = []
    for seed in range(20):
        task = replace(T2, num_integers=50)
        trained = drawn(task, "ambiguous", 50, seed=seed) + drawn(task, "disambiguation", 250, seed=seed)
        shares.append(seen_share(torch.tensor(trained), torch.tensor(drawn(task, "test", 500, seed=seed))))
    assert sum(shares) / len(shares) == pytest.approx(1 - (1 - 1 / 50) * 2.718281828 ** (-250 / 2500), abs=0.01)
