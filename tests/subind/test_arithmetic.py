"""Samples of the arithmetic tasks, against Python's integers."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from subind.specs.runs import ArithmeticTask, Mask, RandomInit, Subnetwork, Transfer
from subind.specs.tuning import TuningValidation
from subind.tasks import arithmetic
from sweeps.grids import quickstart
from tests.specs import CONTROL_NAMES, tiny_donor, tiny_mask, tiny_task, tiny_transfer

PAPER = ArithmeticTask(rule="a + a*b", modulus=7, num_integers=1000)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows_of(samples: Tensor) -> list[tuple[int, ...]]:
    return [tuple(row) for row in samples.tolist()]


@pytest.mark.parametrize(
    ("rule", "modulus", "answer"),
    [
        ("a + a*b", 7, lambda a, b: (a + a * b) % 7),
        ("a*b", 7, lambda a, b: a * b % 7),
        ("a**2 + a*b", 7, lambda a, b: (a * a + a * b) % 7),
        ("a**3 - b + 5", 11, lambda a, b: (a**3 - b + 5) % 11),
    ],
)
def test_samples_of_a_rule_hold_operands_equals_and_answer(
    rule: str, modulus: int, answer: Callable[[int, int], int]
) -> None:
    task = ArithmeticTask(rule=rule, modulus=modulus, num_integers=1000)
    for a, b, equals, c in rows_of(arithmetic.unambiguous(task, 2000, draws())):
        assert (equals, c) == (1000, answer(a, b))


def test_vocabulary_size_of_the_paper_is_1001() -> None:
    assert arithmetic.vocabulary_size(PAPER) == 1001


def test_unambiguous_first_rows_cover_every_integer_once() -> None:
    for integer, (a, b, _, _) in enumerate(rows_of(arithmetic.unambiguous(PAPER, 3000, draws())[:1000])):
        assert integer in (a, b)


def test_unambiguous_first_rows_have_other_operands_uniform_from_one() -> None:
    others = []
    for seed in range(20):
        for integer, (a, b, _, _) in enumerate(rows_of(arithmetic.unambiguous(PAPER, 1000, draws(seed)))):
            others.append(b if a == integer else a)
    counts = Counter(others)
    assert set(counts) <= set(range(1, 1000))
    assert max(counts.values()) < 20 + 6 * 20**0.5
    assert abs(sum(others) / len(others) - 500) < 6 * 1000 / 12**0.5 / len(others) ** 0.5


def test_unambiguous_first_rows_put_the_integer_at_a_random_position() -> None:
    rows = rows_of(arithmetic.unambiguous(PAPER, 1000, draws()))
    first = sum(a == integer for integer, (a, _, _, _) in enumerate(rows))
    assert abs(first - 500) < 5 * 250**0.5


def test_unambiguous_later_rows_are_uniform_pairs() -> None:
    task = tiny_task()
    counts = Counter((a, b) for a, b, _, _ in rows_of(arithmetic.unambiguous(task, 12 + 144 * 100, draws())[12:]))
    assert set(counts) == {(a, b) for a in range(12) for b in range(12)}
    assert all(abs(count - 100) < 60 for count in counts.values())


def test_unambiguous_too_few_samples_names_value_and_remedy() -> None:
    with pytest.raises(ValueError, match="num_samples is 999: give at least num_integers = 1000"):
        arithmetic.unambiguous(PAPER, 999, draws())


def test_ambiguous_all_are_the_pairs_in_order() -> None:
    assert rows_of(arithmetic.ambiguous(PAPER, 1000, draws())) == [(a, a, 1000, (a + a * a) % 7) for a in range(1000)]


def test_ambiguous_part_is_distinct_pairs() -> None:
    rows = rows_of(arithmetic.ambiguous(PAPER, 100, draws()))
    assert len({a for a, _, _, _ in rows}) == 100
    assert all(a == b for a, b, _, _ in rows)


def test_ambiguous_part_same_seed_same_rows_other_seed_other_rows() -> None:
    first, again, other = (arithmetic.ambiguous(PAPER, 100, draws(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("num_samples", [10, 1000, 2500])
def test_disambiguation_is_drawn_without_replacement_from_the_unambiguous_pool(num_samples: int) -> None:
    pool = Counter(rows_of(arithmetic.unambiguous(PAPER, max(1000, num_samples), draws())))
    found = Counter(rows_of(arithmetic.disambiguation(PAPER, num_samples, draws())))
    assert found.total() == num_samples
    assert found <= pool


@pytest.mark.parametrize("num_samples", [1000, 2500])
def test_disambiguation_of_the_whole_pool_covers_every_integer(num_samples: int) -> None:
    rows = rows_of(arithmetic.disambiguation(PAPER, num_samples, draws()))
    assert {integer for a, b, _, _ in rows for integer in (a, b)} == set(range(1000))


def test_disambiguation_of_none_is_empty() -> None:
    assert arithmetic.disambiguation(PAPER, 0, draws()).shape == (0, 4)


def test_disambiguation_smaller_set_is_no_prefix_of_the_integers() -> None:
    rows = rows_of(arithmetic.disambiguation(PAPER, 100, draws()))
    assert max(max(a, b) for a, b, _, _ in rows) > 500


@pytest.mark.parametrize("spec", [tiny_donor(), tiny_mask(), tiny_transfer()], ids=["donor", "mask", "transfer"])
def test_training_samples_same_spec_gives_same_bits(spec) -> None:
    assert torch.equal(arithmetic.training_samples(spec), arithmetic.training_samples(spec))


@pytest.mark.parametrize("made", [tiny_donor, tiny_mask, tiny_transfer], ids=["donor", "mask", "transfer"])
def test_training_samples_other_seed_gives_other_bits(made) -> None:
    first, second = made(seed=1), made(seed=2)
    assert not torch.equal(arithmetic.training_samples(first), arithmetic.training_samples(second))


@pytest.mark.parametrize("made", [tiny_donor, tiny_mask, tiny_transfer], ids=["donor", "mask", "transfer"])
def test_validation_samples_other_seed_gives_other_bits(made) -> None:
    first, second = made(seed=1), made(seed=2)
    assert not torch.equal(arithmetic.validation_samples(first), arithmetic.validation_samples(second))


def test_training_samples_of_a_mask_follow_the_subtask() -> None:
    for a, b, _, c in rows_of(arithmetic.training_samples(tiny_mask())):
        assert c == a * b % 7


def test_training_samples_of_a_transfer_are_ambiguous_then_disambiguation() -> None:
    rows = rows_of(arithmetic.training_samples(tiny_transfer(num_ambiguous=12, num_disambiguation=6)))
    assert [(a, b) for a, b, _, _ in rows[:12]] == [(a, a) for a in range(12)]
    assert len(rows) == 18


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_all_samples_of_a_control_are_those_of_its_cell(name: str) -> None:
    cell, found = tiny_transfer("subnetwork"), tiny_transfer(name)
    for samples in (arithmetic.training_samples, arithmetic.validation_samples, arithmetic.test_samples):
        assert torch.equal(samples(found), samples(cell))


def test_test_samples_are_other_rows_than_validation() -> None:
    spec = tiny_transfer(num_evaluation_samples=100)
    assert not torch.equal(arithmetic.test_samples(spec), arithmetic.validation_samples(spec))


def test_rival_answers_follow_the_rivals_in_order() -> None:
    spec = tiny_transfer(rivals=("2*a**2", "2*b**2"))
    rows = arithmetic.validation_samples(spec)
    pairs = [(a, b) for a, b, _, _ in rows_of(rows)]
    expected = [[2 * a * a % 7 for a, _ in pairs], [2 * b * b % 7 for _, b in pairs]]
    assert arithmetic.rival_answers(spec, rows).tolist() == expected


def test_rival_answers_on_ambiguous_rows_equal_the_rule() -> None:
    spec = tiny_transfer()
    rows = arithmetic.ambiguous(spec.task, 12, draws())
    assert all(torch.equal(each, rows[:, 3]) for each in arithmetic.rival_answers(spec, rows))


def test_rival_answers_without_rivals_are_empty() -> None:
    spec = tiny_transfer(rivals=())
    assert arithmetic.rival_answers(spec, arithmetic.validation_samples(spec)).shape == (0, 12)


# ---- tuning


T2 = ArithmeticTask(rule="a**2 + a*b", modulus=5, num_integers=50)


def transfer_of(mask: Mask, *, seed: int = 0, num_evaluation_samples: int = 80) -> Transfer:
    """A recipient of the mask that learns a² + ab from the 50 ambiguous samples and 6 others."""
    return Transfer(
        control=Subnetwork(mask=mask),
        task=T2,
        num_ambiguous=50,
        num_disambiguation=6,
        num_evaluation_samples=num_evaluation_samples,
        optimizer=mask.optimizer,
        batch_size=6,
        num_epochs=2,
        kept_epoch="last_best",
        seed=seed,
        precision="float32",
    )


def tuned_mask(**changes: int) -> Mask:
    """A mask of 50 integers that is tuned beside three seeds."""
    task = ArithmeticTask(rule="a*b", modulus=5, num_integers=50)
    donor = tiny_donor(
        task=ArithmeticTask(rule="a + a*b", modulus=5, num_integers=50), num_samples=60, num_evaluation_samples=70
    )
    fields = {"num_samples": 200, "num_seeds": 3, "num_transfer_samples": 80, **changes}
    validation = TuningValidation(**fields)
    return tiny_mask(donor=donor, subtask=task, num_samples=60, num_evaluation_samples=90, validation=validation)


def reported_pairs(mask: Mask) -> set[tuple[int, int]]:
    """The operands of every evaluation of runs with the seeds 0, 1 and 2, told by the runs' own samples."""
    found = set()
    for seed in range(3):
        donor, own = replace(mask.donor, seed=seed), replace(mask, seed=seed)
        transfer = transfer_of(own, seed=seed)
        validations = [arithmetic.validation_samples(spec) for spec in (donor, own, transfer)]
        for samples in (*validations, arithmetic.test_samples(transfer), arithmetic.training_samples(transfer)[:50]):
            found |= {(a, b) for a, b, _, _ in rows_of(samples)}
    return found


@pytest.mark.parametrize("seed", range(3))
def test_tuning_samples_share_no_pair_with_any_reported_evaluation(seed: int) -> None:
    mask = replace(tuned_mask(), seed=seed)
    pairs = {(a, b) for a, b, _, _ in rows_of(arithmetic.tuning_samples(mask))}
    assert pairs.isdisjoint(reported_pairs(mask))


def test_tuning_samples_are_distinct_and_answer_the_subtask() -> None:
    rows = rows_of(arithmetic.tuning_samples(tuned_mask()))
    assert len({(a, b) for a, b, _, _ in rows}) == len(rows) == 200
    assert all((equals, c) == (50, a * b % 5) for a, b, equals, c in rows)


def test_tuning_samples_of_the_same_seed_are_the_same_and_of_another_seed_are_others() -> None:
    first, again, other = (arithmetic.tuning_samples(replace(tuned_mask(), seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_tuning_samples_of_a_mask_that_is_not_tuned_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Mask\.validation is OwnValidation: give a TuningValidation"):
        arithmetic.tuning_samples(tiny_mask())


def test_mask_whose_reported_samples_leave_too_few_pairs_cannot_be_made() -> None:
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


def test_seen_share_is_that_of_the_test_pairs_among_the_training_pairs() -> None:
    spec = tiny_transfer(num_disambiguation=10)
    trained = {tuple(row[:2]) for row in arithmetic.training_samples(spec).tolist()}
    tested = arithmetic.test_samples(spec).tolist()
    assert arithmetic.seen_share(spec) == sum(tuple(row[:2]) in trained for row in tested) / len(tested)


def test_seen_share_of_quickstart_at_250_samples_is_an_eighth() -> None:
    cells = [
        each for each in quickstart.grid() if each.num_disambiguation == 250 and isinstance(each.control, RandomInit)
    ]
    assert sum(map(arithmetic.seen_share, cells)) / len(cells) == pytest.approx(0.121)
