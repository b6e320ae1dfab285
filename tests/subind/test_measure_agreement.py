from pathlib import Path

import pytest

from subind.computing import compute
from subind.measurements.agreement import Agreement
from subind.specs.arithmetic import ArithmeticTask
from subind.tasks.arithmetic import Arithmetic
from subind.tasks.task import key
from tests.specs import tiny_donor, tiny_mask, tiny_model, tiny_task, tiny_transfer
from tests.subind.measures import answer, asking, measurements, transformers_network


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store, which the tests fill."""
    path: Path = tmp_path_factory.mktemp("store")
    return str(path)


DONOR = tiny_donor(num_epochs=20)
RULES = ("a + a*b", "a*b", "3", "2*a**2 - b")
FUNCTIONS = (lambda a, b: a + a * b, lambda a, b: a * b, lambda a, b: 3, lambda a, b: 2 * a * a - b)


def agreement(**changes: object) -> Agreement:
    return Agreement(**{"task": tiny_task(), "rules": RULES, "num_evaluation_samples": 60, **changes})  # type: ignore[arg-type]


def test_agreement_of_a_donor_is_the_share_that_transformers_counts(finished: str) -> None:
    measured = measurements(DONOR, agreement(), store=finished)
    network = transformers_network(tiny_model(), compute(DONOR, store=finished).weights)
    rows = Arithmetic(tiny_task()).rows("test", num_rows=60, key=key(DONOR, "test"))["tokens"].tolist()
    answers = [int(answer(network, row[:3]).argmax()) for row in rows]
    for rule, function in zip(agreement().rules, FUNCTIONS, strict=True):
        right = sum(given == function(row[0], row[1]) % 7 for given, row in zip(answers, rows, strict=True))
        assert measured[f"agreement.{rule}"] == right / 60


def test_agreement_under_a_mask_is_the_share_that_transformers_counts(finished: str) -> None:
    mask = tiny_mask(donor=DONOR)
    measured = measurements(mask, agreement(), store=finished)
    bits = compute(mask, store=finished).mask
    network = transformers_network(tiny_model(), compute(DONOR, store=finished).weights, bits)
    rows = Arithmetic(tiny_task()).rows("test", num_rows=60, key=key(mask, "test"))["tokens"].tolist()
    answers = [int(answer(network, row[:3]).argmax()) for row in rows]
    for rule, function in zip(agreement().rules, FUNCTIONS, strict=True):
        right = sum(given == function(row[0], row[1]) % 7 for given, row in zip(answers, rows, strict=True))
        assert measured[f"agreement.{rule}"] == right / 60


def test_chance_agreement_is_the_share_of_all_pairs_with_equal_answers(finished: str) -> None:
    measured = measurements(DONOR, agreement(), store=finished)
    own = FUNCTIONS[0]
    for rule, function in zip(agreement().rules, FUNCTIONS, strict=True):
        equal = sum((own(a, b) - function(a, b)) % 7 == 0 for a in range(12) for b in range(12))
        assert measured[f"chance_agreement.{rule}"] == equal / 144


def test_agreement_of_a_recipient_with_its_own_rule_is_its_test_accuracy(finished: str) -> None:
    transfer = tiny_transfer("full_transfer", num_epochs=10, mask=tiny_mask(donor=DONOR))
    own = agreement(task=transfer.task, rules=("a**2 + a*b",), num_evaluation_samples=12)
    measured = measurements(transfer, own, store=finished)
    assert measured["agreement.a ** 2 + a * b"] == compute(transfer, store=finished).measurements["test_accuracy"]


def test_agreement_with_another_operations_rule_asks_with_the_operations_token(finished: str) -> None:
    several = {"num_integers": 12, "modulus": 7, "num_operations": 2}
    first, second = (ArithmeticTask(rule="a + b", operation=number, **several) for number in (0, 1))
    donor = tiny_donor(task=first, num_epochs=1)
    asks = agreement(task=second, rules=("a + b", "a*b"), num_evaluation_samples=40)
    measured = measurements(donor, asks, store=finished)
    network = transformers_network(tiny_model(), compute(donor, store=finished).weights)
    rows = Arithmetic(second).rows("test", num_rows=40, key=key(donor, "test"))["tokens"].tolist()
    assert {row[2] for row in rows} == {13}
    right = sum(int(answer(network, row[:3]).argmax()) == (row[0] + row[1]) % 7 for row in rows)
    assert measured["agreement.a + b"] == right / 40


def test_agreement_with_no_rule_a_rule_twice_or_no_rule_text_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Agreement.rules is .*: give at least one rule"):
        agreement(rules=())
    with pytest.raises(ValueError, match=r"Agreement.rules is .*: give at least one rule, and each once"):
        agreement(rules=("a*b", "a * b"))
    with pytest.raises(ValueError, match=r"rule 'a/b' has the part"):
        agreement(rules=("a/b",))


def test_agreement_on_too_few_rows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"num_evaluation_samples is 11: give at least num_integers = 12"):
        agreement(num_evaluation_samples=11)


def test_agreement_on_a_task_of_other_inputs_is_refused_when_it_is_planned() -> None:
    other = ArithmeticTask(rule="a*b", modulus=7, num_integers=13)
    with pytest.raises(ValueError, match=r"ArithmeticTask gives .*vocabulary_size=14"):
        asking(DONOR, agreement(task=other))
