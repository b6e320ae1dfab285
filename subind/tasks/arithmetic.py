"""Samples of an arithmetic task: rows [a, b, =, c] of integer tokens, with c = rule(a, b) mod modulus."""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from subind.specs import rules
from subind.specs.runs import ArithmeticSpec, ArithmeticTask, Donor, Mask, Transfer
from subind.specs.tuning import TuningValidation
from subind.training.draws import Stream, generator

SEQUENCE_LENGTH = 4


def vocabulary_size(task: ArithmeticTask) -> int:
    """All integers and the token "="."""
    return task.num_integers + 1


def samples(
    task: ArithmeticTask, a: Int[Tensor, " sample"], b: Int[Tensor, " sample"]
) -> Int[Tensor, "sample position"]:
    """The rows [a, b, =, c] for the given operands."""
    equals = torch.full_like(a, task.num_integers)
    return torch.stack([a, b, equals, rules.evaluate(task.rule, a, b, modulus=task.modulus)], dim=1)


def unambiguous(task: ArithmeticTask, num_samples: int, generator: torch.Generator) -> Int[Tensor, "sample position"]:
    """Rows of which the first num_integers cover every integer once; the rest are uniform pairs.

    A covered integer stands at a random one of the two positions; the other operand is uniform on 1 … num_integers - 1.
    """
    count = task.num_integers
    if num_samples < count:
        raise ValueError(f"num_samples is {num_samples}: give at least num_integers = {count}")
    covered = torch.arange(count)
    other = torch.randint(1, count, (count,), generator=generator)
    first = torch.rand(count, generator=generator) < 0.5
    pairs = torch.randint(0, count, (2, num_samples - count), generator=generator)
    a = torch.cat([torch.where(first, covered, other), pairs[0]])
    b = torch.cat([torch.where(first, other, covered), pairs[1]])
    return samples(task, a, b)


def ambiguous(task: ArithmeticTask, num_samples: int, generator: torch.Generator) -> Int[Tensor, "sample position"]:
    """Pairs (a, a) of distinct integers: all of them, in order, or a random part."""
    chosen = torch.arange(task.num_integers)
    if num_samples < task.num_integers:
        chosen = torch.randperm(task.num_integers, generator=generator)[:num_samples]
    return samples(task, chosen, chosen)


def disambiguation(
    task: ArithmeticTask, num_samples: int, generator: torch.Generator
) -> Int[Tensor, "sample position"]:
    """Rows drawn without replacement from max(num_integers, num_samples) unambiguous ones."""
    pool = unambiguous(task, max(task.num_integers, num_samples), generator)
    return pool[torch.randperm(len(pool), generator=generator)[:num_samples]]


def training_samples(spec: ArithmeticSpec) -> Int[Tensor, "sample position"]:
    """The training set of a run, from the run's own seed; the controls of one cell share it."""
    match spec:
        case Donor(task=task):
            return unambiguous(task, spec.num_samples, generator("donor/train", spec.seed))
        case Mask(subtask=task):
            return unambiguous(task, spec.num_samples, generator("mask/train", spec.seed))
        case Transfer(task=task):
            return torch.cat(
                [
                    ambiguous(task, spec.num_ambiguous, generator("transfer/ambiguous", spec.seed)),
                    disambiguation(task, spec.num_disambiguation, generator("transfer/disambiguation", spec.seed)),
                ]
            )


def validation_samples(spec: ArithmeticSpec) -> Int[Tensor, "sample position"]:
    """The unambiguous samples on which the run is evaluated each epoch and its best epoch chosen."""
    match spec:
        case Donor(task=task):
            return unambiguous(task, spec.num_evaluation_samples, generator("donor/validation", spec.seed))
        case Mask(subtask=task):
            return unambiguous(task, spec.num_evaluation_samples, generator("mask/validation", spec.seed))
        case Transfer(task=task):
            return unambiguous(task, spec.num_evaluation_samples, generator("transfer/validation", spec.seed))


def tuning_samples(spec: Mask) -> Int[Tensor, "sample position"]:
    """Distinct pairs on which a mask is tuned: none is in a reported evaluation (see TuningValidation), none is (a, a).

    Raises ValueError if the mask is not tuned or too few pairs are left.
    """
    tuned, num_integers = spec.validation, spec.subtask.num_integers
    if not isinstance(tuned, TuningValidation):
        raise ValueError("Mask.validation is OwnValidation: give a TuningValidation to tune it")
    free = torch.ones(num_integers, num_integers, dtype=torch.bool).fill_diagonal_(False)
    for rows in _reported_samples(spec, tuned):
        free[rows[:, 0], rows[:, 1]] = False
    pairs = free.nonzero()
    if len(pairs) < tuned.num_samples:
        raise ValueError(f"TuningValidation.num_samples is {tuned.num_samples}: {len(pairs)} pairs are free")
    chosen = torch.randperm(len(pairs), generator=generator("mask/tuning", spec.seed))[: tuned.num_samples]
    return samples(spec.subtask, *pairs[chosen].unbind(1))


def _reported_samples(spec: Mask, tuned: TuningValidation) -> Iterator[Int[Tensor, "sample position"]]:
    counts: tuple[tuple[Stream, int], ...] = (
        ("donor/validation", spec.donor.num_evaluation_samples),
        ("mask/validation", spec.num_evaluation_samples),
        ("transfer/validation", tuned.num_transfer_samples),
        ("transfer/test", tuned.num_transfer_samples),
    )
    for stream, count in counts:
        for seed in range(tuned.num_seeds):
            yield unambiguous(spec.subtask, count, generator(stream, seed))


def test_samples(spec: Transfer) -> Int[Tensor, "sample position"]:
    """The unambiguous samples on which only the chosen epoch of a transfer is measured."""
    return unambiguous(spec.task, spec.num_evaluation_samples, generator("transfer/test", spec.seed))


def seen_share(spec: Transfer) -> float:
    """The share of the test samples whose pair of operands is among the training samples."""
    trained = {(a, b) for a, b, *_ in training_samples(spec).tolist()}
    tested = [(a, b) for a, b, *_ in test_samples(spec).tolist()]
    return sum(pair in trained for pair in tested) / len(tested)


def rival_answers(spec: Transfer, rows: Int[Tensor, "sample position"]) -> Int[Tensor, "rival sample"]:
    """What each rival reading answers on the rows, in the order of spec.rivals."""
    answers = [rules.evaluate(rival, rows[:, 0], rows[:, 1], modulus=spec.task.modulus) for rival in spec.rivals]
    return torch.stack(answers) if answers else rows.new_zeros((0, len(rows)))
