from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from subind.computing import compute
from subind.measurements.per_class import PerClass, tables
from subind.specs.networks import MLP
from subind.specs.rows import Part
from subind.specs.tasks import Features, Signature, Task
from subind.specs.training import LastEpoch, NoEarlyStop
from subind.tasks.arithmetic import Arithmetic
from subind.tasks.task import Decisions, Key, Rows, key
from tests.specs import tiny_donor, tiny_mask, tiny_model, tiny_task, tiny_transfer
from tests.subind.measures import answer, measurements, transformers_network
from tests.vision_specs import image_mask, image_transfer


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store, which the tests fill."""
    path: Path = tmp_path_factory.mktemp("store")
    return str(path)


def test_tables_are_those_of_scikit_learn() -> None:
    draws = torch.Generator().manual_seed(0)
    expected, predicted = torch.randint(4, (2, 200), generator=draws)
    measured = tables(Decisions(predicted=predicted, expected=expected, names=("ant", "bee", "cat", "dog")))
    counts = confusion_matrix(expected, predicted)
    for row, name in enumerate(("ant", "bee", "cat", "dog")):
        assert measured[f"num_rows.{name}"] == counts[row].sum()
        assert measured[f"accuracy.{name}"] == counts[row, row] / counts[row].sum()
        for column, other in enumerate(("ant", "bee", "cat", "dog")):
            assert measured[f"confusion.{name} as {other}"] == counts[row, column]
    assert measured["test_accuracy"] == counts.trace() / 200


def test_classes_without_rows_and_pairs_that_do_not_occur_are_left_out() -> None:
    decisions = Decisions(predicted=torch.tensor([1, 1, 9]), expected=torch.tensor([1, 1, 3]), names=("a", "b"))
    assert tables(decisions) == {
        "test_accuracy": 2 / 3,
        "accuracy.b": 1.0,
        "accuracy.3": 0.0,
        "num_rows.b": 2.0,
        "num_rows.3": 1.0,
        "confusion.b as b": 2.0,
        "confusion.3 as 9": 1.0,
    }


def test_answers_of_arithmetic_are_those_of_transformers_by_value(finished: str) -> None:
    donor = tiny_donor(num_epochs=20)
    measured = measurements(donor, PerClass(task=donor.task, num_evaluation_samples=60), store=finished)
    network = transformers_network(tiny_model(), compute(donor, store=finished).weights)
    rows = Arithmetic(tiny_task()).rows("test", num_rows=60, key=key(donor, "test"))["tokens"].tolist()
    pairs = Counter(((a + a * b) % 7, int(answer(network, (a, b, 12)).argmax())) for a, b, _, _ in rows)
    confusions = {name: value for name, value in measured.items() if name.startswith("confusion.")}
    assert confusions == {f"confusion.{right} as {given}": float(count) for (right, given), count in pairs.items()}


def test_accuracy_of_a_recipient_is_its_test_accuracy(finished: str) -> None:
    transfer = tiny_transfer("full_transfer", num_epochs=10)
    measured = measurements(transfer, PerClass(task=transfer.task, num_evaluation_samples=12), store=finished)
    assert measured["test_accuracy"] == compute(transfer, store=finished).measurements["test_accuracy"]


def test_images_are_told_apart_by_the_names_of_their_classes(finished: str) -> None:
    transfer = image_transfer("full_transfer")
    asks = PerClass(task=transfer.task, num_evaluation_samples=transfer.num_evaluation_samples)
    measured = measurements(transfer, asks, store=finished)
    assert measured["test_accuracy"] == compute(transfer, store=finished).measurements["accuracy_original"]
    named = {name: value for name, value in measured.items() if name.startswith("num_rows.")}
    assert sum(named.values()) == transfer.num_evaluation_samples
    assert not any(name.rpartition(".")[2].isdigit() for name in named)


def test_pooled_images_are_those_that_a_mask_is_judged_on(finished: str) -> None:
    mask = image_mask()
    asks = PerClass(task=mask.task, num_evaluation_samples=mask.num_evaluation_samples)
    measured = measurements(mask, asks, store=finished)
    assert measured["test_accuracy"] == compute(mask, store=finished).measurements["subtask_accuracy"]


def test_network_under_a_mask_answers_otherwise_than_without(finished: str) -> None:
    mask = tiny_mask(donor=tiny_donor(num_epochs=20), initial_logit=0.01)
    asks = PerClass(task=tiny_task("a*b"), num_evaluation_samples=60)
    assert measurements(mask, asks, store=finished) != measurements(mask.donor, asks, store=finished)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines(Task):
    """Numbers, of which twice the first is asked."""

    def signature(self) -> Signature:
        return Signature(inputs=Features(num_features=2), num_outputs=3)

    def rows(self, part: str, *, num_rows: int, key: Key) -> Rows:
        inputs = torch.randn(num_rows, 2, generator=key.generator())
        return {"inputs": inputs, "targets": 2 * inputs[:, 0]}

    def loss(self, outputs: Tensor, rows: Rows) -> Tensor:
        return (outputs[:, 0] - rows["targets"]).square()

    def measure(self, outputs: Tensor, rows: Rows) -> dict[str, float]:
        return {}


def test_task_without_classes_fails_with_the_reason(finished: str) -> None:
    own: dict[str, Any] = {"task": Lines(), "model": MLP(widths=(4,)), "rows": (Part(name="all", num_samples=24),)}
    donor = tiny_donor(**own, kept_epoch=LastEpoch(), stopping=NoEarlyStop())
    with pytest.raises(RuntimeError, match=r"the task is Lines, which lacks rows with integer `targets`"):
        measurements(donor, PerClass(task=Lines(), num_evaluation_samples=10), store=finished)


def test_number_of_rows_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"PerClass\.num_evaluation_samples is 0: give a number above 0"):
        PerClass(task=tiny_task(), num_evaluation_samples=0)
