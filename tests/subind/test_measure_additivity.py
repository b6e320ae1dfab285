from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from subind.computing import compute
from subind.measurements.additivity import Additivity, conjunctions, explained
from subind.specs.arithmetic import ArithmeticTask
from subind.specs.runs import Measure
from subind.tasks.arithmetic import Arithmetic
from subind.tasks.task import key
from tests.specs import tiny_donor, tiny_model, tiny_task
from tests.subind.measures import answer, measurements, transformers_network

TRAINED = np.array([(a, b, 9) for a in range(9) for b in (0, 4)] + [(a, b, 9) for a in (0, 4) for b in range(9)])
UNSEEN = np.array([(a, b, 9) for a in range(9) for b in range(9) if not {a, b} & {0, 4}])


def plain_share(inputs: list[tuple[int, ...]], trained: list[tuple[int, ...]], outputs: np.ndarray) -> float:
    """R² by dense one-hots of the sets of (position, token) in training, solved by least squares with the ridge."""
    subsets = [kept for kept in product((False, True), repeat=len(inputs[0])) if any(kept)]
    parts = [[tuple(x if k else None for x, k in zip(row, kept, strict=True)) for kept in subsets] for row in trained]
    known = {part: place for place, part in enumerate(dict.fromkeys(part for row in parts for part in row))}
    features = np.zeros((len(inputs) + len(known), len(known)))
    for number, row in enumerate(inputs):
        for kept in subsets:
            place = known.get(tuple(x if k else None for x, k in zip(row, kept, strict=True)))
            if place is not None:
                features[number, place] = 1
    features[len(inputs) :] = np.sqrt(1e-10) * np.eye(len(known))
    targets = np.concatenate([outputs, np.zeros((len(known), outputs.shape[1]))])
    fitted = features[: len(inputs)] @ np.linalg.lstsq(features, targets, rcond=None)[0]
    return float(1 - ((outputs - fitted) ** 2).sum() / ((outputs - outputs.mean(0)) ** 2).sum())


def test_additivity_of_a_sum_of_functions_of_each_operand_is_one() -> None:
    draws = np.random.default_rng(0)
    of_a, of_b = draws.normal(size=(2, 9, 3))
    outputs = of_a[UNSEEN[:, 0]] + of_b[UNSEEN[:, 1]] + 5
    assert explained(conjunctions(UNSEEN, TRAINED), outputs) == pytest.approx(1, abs=1e-10)


def test_additivity_of_a_product_is_the_share_that_a_plain_least_squares_explains() -> None:
    outputs = (UNSEEN[:, 0] * UNSEEN[:, 1]).astype(float)[:, None]
    share = explained(conjunctions(UNSEEN, TRAINED), outputs)
    plain = plain_share([tuple(row) for row in UNSEEN], [tuple(row) for row in TRAINED], outputs)
    assert share == pytest.approx(plain, abs=1e-9)
    assert 0.5 < plain < 0.99


def test_additivity_knows_no_value_of_what_training_lacks() -> None:
    trained = TRAINED[np.isin(TRAINED, (0, 4, 9)).all(1)]
    features = conjunctions(UNSEEN, trained)
    assert features.toarray().tolist() == [[1.0]] * len(UNSEEN)
    assert explained(features, UNSEEN[:, :1].astype(float)) == pytest.approx(0, abs=1e-9)


def test_additivity_counts_pairs_of_three_operands_that_training_has() -> None:
    every = np.array(list(product(range(4), repeat=3)))
    trained, unseen = every[every.sum(1) % 3 != 0], every[every.sum(1) % 3 == 0]
    outputs = np.stack([unseen[:, 0] * unseen[:, 1], unseen.prod(1)], axis=1).astype(float)
    share = explained(conjunctions(unseen, trained), outputs)
    plain = plain_share([tuple(row) for row in unseen], [tuple(row) for row in trained], outputs)
    assert share == pytest.approx(plain, abs=1e-9)
    assert explained(conjunctions(unseen, trained), outputs[:, :1]) == pytest.approx(1, abs=1e-10)


def test_additivity_of_constant_outputs_is_left_out() -> None:
    assert explained(conjunctions(UNSEEN, TRAINED), np.ones((len(UNSEEN), 2))) is None


def test_additivity_of_a_donor_is_that_of_transformers_scores_on_unseen_pairs(
    tmp_path: Path,
) -> None:
    donor = tiny_donor(num_samples=90, num_epochs=3)
    measured = measurements(donor, Additivity(task=tiny_task(), num_inputs=1000), store=str(tmp_path))
    rows = Arithmetic(tiny_task()).rows("unambiguous", num_rows=90, key=key(donor, "unambiguous"))["tokens"].tolist()
    trained = sorted({tuple(row[:3]) for row in rows})
    unseen = [(a, b, 12) for a in range(12) for b in range(12) if (a, b, 12) not in trained]
    network = transformers_network(tiny_model(), compute(donor, store=str(tmp_path)).weights)
    outputs = torch.stack([answer(network, row)[:7] for row in unseen]).double().numpy()
    assert measured["num_unseen_inputs"] == len(unseen) < 144
    assert measured["additivity"] == pytest.approx(plain_share(unseen, trained, outputs), abs=1e-5)


def test_additivity_of_a_part_of_the_inputs_is_drawn_by_the_seed(tmp_path: Path) -> None:
    asks = Additivity(task=tiny_task(), num_inputs=50)
    shares = [measurements(tiny_donor(), asks, store=str(tmp_path), seed=seed) for seed in (0, 1)]
    assert [each["num_unseen_inputs"] for each in shares] == [50, 50]
    assert shares[0] != shares[1]


def test_additivity_of_too_many_inputs_or_of_a_network_for_others_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Additivity\.task has 100,000,000 inputs: give a task of at most 4,194,304"):
        Additivity(task=ArithmeticTask(rule="a*b", modulus=7, num_integers=10_000), num_inputs=10)
    other = ArithmeticTask(rule="a*b", modulus=7, num_integers=13)
    with pytest.raises(ValueError, match=r"ArithmeticTask gives .*vocabulary_size=14"):
        Measure(of=tiny_donor(), measurement=Additivity(task=other, num_inputs=9), seed=0, precision="float32")
