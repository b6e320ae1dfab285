"""The task on handwritten digits, against scikit-learn's own arrays and a classifier of its."""

from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from subind.specs.base import behaviour
from subind.specs.digits import DigitsTask
from subind.tasks.task import Key, Rows

TASK: dict[str, Any] = {"label_of": "digit", "num_outputs": 10, "evaluation_share": 0.4, "data_seed": 0}


def rows(part: str, num_rows: int, *, seed: int = 0, **changes: Any) -> Rows:
    made: Rows = behaviour(DigitsTask(**{**TASK, **changes})).rows(
        part, num_rows=num_rows, key=Key(stage="donor", seed=seed, rows=part)
    )
    return made


def test_rows_are_the_pixels_over_sixteen_with_their_digits() -> None:
    pixels, digits = load_digits(return_X_y=True)
    known = {tuple(row): digit for row, digit in zip(pixels.tolist(), digits.tolist(), strict=True)}
    found = rows("digits", 200)
    assert found["inputs"].dtype == torch.float32
    assert found["inputs"].max() == 1
    for row, label in zip((16 * found["inputs"]).tolist(), found["labels"].tolist(), strict=True):
        assert known[tuple(row)] == label


@pytest.mark.parametrize(
    ("label_of", "label"), [("parity", lambda digit: digit % 2), ("half", lambda digit: int(digit > 4))]
)
def test_labels_are_the_functions_of_the_digit(label_of: str, label: Any) -> None:
    digits, found = rows("digits", 100)["labels"].tolist(), rows("digits", 100, label_of=label_of)["labels"].tolist()
    assert found == [label(digit) for digit in digits]


def test_training_validation_and_test_share_no_image() -> None:
    parts = [rows("digits", 1079), rows("validation", 359), rows("test", 359)]
    several = [{tuple(row) for row in part["inputs"].tolist()} for part in parts]
    assert [len(part["labels"]) for part in parts] == [1079, 359, 359]
    assert not several[0] & several[1]
    assert not several[0] & several[2]
    assert not several[1] & several[2]


def test_training_rows_nest_and_depend_on_the_seed() -> None:
    few, many, other = rows("digits", 50), rows("digits", 300), rows("digits", 50, seed=1)
    assert torch.equal(few["inputs"], many["inputs"][:50])
    assert not torch.equal(few["inputs"], other["inputs"])


def test_evaluation_rows_depend_on_the_data_seed_alone() -> None:
    first, again, other = rows("test", 50), rows("test", 50, seed=9), rows("test", 50, data_seed=1)
    assert torch.equal(first["inputs"], again["inputs"])
    assert not torch.equal(first["inputs"], other["inputs"])


def test_rows_of_another_part_are_refused() -> None:
    with pytest.raises(ValueError, match="no rows 'original'"):
        rows("original", 10)


def test_loss_and_accuracy_are_those_of_the_scores() -> None:
    task = behaviour(DigitsTask(**TASK))
    labels = torch.tensor([1, 2, 3])
    outputs = torch.full((3, 10), -20.0)
    outputs[[0, 1, 2], [1, 2, 5]] = 20.0
    assert task.measure(outputs, {"labels": labels}) == {"accuracy": 2 / 3}
    losses = task.loss(outputs, {"labels": labels})
    assert losses.tolist() == pytest.approx([0.0, 0.0, 40.0], abs=1e-4)


def test_nearest_neighbour_learns_the_digits_from_training_rows() -> None:
    train, test = rows("digits", 1000), rows("test", 300)
    fitted = KNeighborsClassifier(1).fit(train["inputs"].numpy(), train["labels"].numpy())
    assert fitted.score(test["inputs"].numpy(), test["labels"].numpy()) > 0.95
