"""What a user's task does wrong is refused before anything is trained, by one line with its remedy."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from subind.measurements.per_class import PerClass
from subind.specs.any_module import AnyModule
from subind.specs.rows import Part
from subind.specs.runs import Measure, Train
from subind.specs.tasks import Task
from subind.specs.training import highest, lowest
from subind.stages.trial import check_built
from tests.specs import tiny_donor, tiny_mask


class Sum(nn.Module):
    """One output: the sum of the inputs times weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@dataclass(frozen=True, kw_only=True)
class Good(Task):
    """Classes of random vectors."""

    def rows(self, part: str, *, num_rows: int, key: Any) -> dict[str, Tensor]:
        inputs = torch.randn(num_rows, 3, generator=key.generator())
        return {"inputs": inputs, "targets": (inputs.sum(1) > 0).long()}

    def loss(self, outputs: Tensor, rows: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(outputs, rows["targets"], reduction="none")

    def measure(self, outputs: Tensor, rows: dict[str, Tensor]) -> dict[str, float]:
        return {"accuracy": (outputs.argmax(1) == rows["targets"]).double().mean().item()}


class RowsRaise(Good):
    def rows(self, part: str, *, num_rows: int, key: Any) -> dict[str, Tensor]:
        raise KeyError(part)


class NoRows(Good):
    def rows(self, part: str, *, num_rows: int, key: Any) -> dict[str, Tensor]:
        return None  # type: ignore[return-value]


class TooManyRows(Good):
    def rows(self, part: str, *, num_rows: int, key: Any) -> dict[str, Tensor]:
        return super().rows(part, num_rows=num_rows + 1, key=key)


@dataclass(frozen=True, kw_only=True)
class FewTests(Good):
    def rows(self, part: str, *, num_rows: int, key: Any) -> dict[str, Tensor]:
        return super().rows(part, num_rows=min(num_rows, 10) if part == "test" else num_rows, key=key)


class OneLoss(Good):
    def loss(self, outputs: Tensor, rows: dict[str, Tensor]) -> Tensor:
        return super().loss(outputs, rows).mean()


class TensorMeasured(Good):
    def measure(self, outputs: Tensor, rows: dict[str, Tensor]) -> dict[str, float]:
        return {"accuracy": outputs.mean()}  # type: ignore[dict-item]


class WrongWidth(Good):
    def rows(self, part: str, *, num_rows: int, key: Any) -> dict[str, Tensor]:
        return {"inputs": torch.zeros(num_rows, 5), "targets": torch.zeros(num_rows).long()}


def run_of(task: Task) -> Train:
    network = AnyModule(make=Sum, arguments={"width": 3}, maskable=("*.weight",))
    return replace(tiny_donor(), task=task, model=network, rows=(Part(name="train", num_samples=20),))


def frozen(cls: type) -> Callable[[], Task]:
    return dataclass(frozen=True, kw_only=True)(cls)


def test_task_that_computes_is_not_refused() -> None:
    check_built([run_of(Good())])


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (RowsRaise, r"RowsRaise.rows\('train'\) cannot be computed: KeyError: 'train' \(test_trial.py, line \d+\)"),
        (NoRows, r"NoRows.rows\('train'\) gives None: give a dictionary of tensors"),
        (TooManyRows, r"gives inputs of shape \(5, 3\) for num_rows=4: let its first axis be the row"),
        (OneLoss, r"OneLoss.loss gives \(\) for 4 rows: give one number a row"),
        (TensorMeasured, r"TensorMeasured.measure gives .*: give a dictionary of names and floats"),
        (WrongWidth, r"the network's outputs on rows of 'train' cannot be computed: RuntimeError: .*"),
    ],
)
def test_task_that_does_not_compute_is_refused_with_its_remedy(cls: type, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_built([run_of(frozen(cls)())])


def test_run_on_more_test_rows_than_the_task_gives_is_refused() -> None:
    with pytest.raises(ValueError, match=r"FewTests.rows\('test'\) gives inputs of shape \(10, 3\) for num_rows=11"):
        check_built([replace(run_of(FewTests()), num_evaluation_samples=11)])


def test_measurement_on_more_test_rows_than_the_task_gives_is_refused() -> None:
    of = replace(run_of(FewTests()), num_evaluation_samples=10)
    check_built([of])
    measurement = PerClass(task=FewTests(), num_evaluation_samples=11)
    with pytest.raises(ValueError, match=r"gives inputs of shape \(10, 3\) for num_rows=11"):
        check_built([Measure(of=of, measurement=measurement, seed=0, precision="float32")])


def test_kept_epoch_by_a_curve_that_the_task_does_not_measure_is_refused() -> None:
    run = replace(run_of(Good()), kept_epoch=highest("validation_f1", ties="first"))
    with pytest.raises(ValueError, match=r"kept_epoch\.curve is 'validation_f1': the run has the curves train_loss"):
        check_built([run])
    check_built([replace(run, kept_epoch=lowest("validation_loss"))])


def test_pattern_beside_a_mask_that_fits_no_parameter_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"beside has 'nothing\.\*', which fits no parameter outside the mask: give one"
    ):
        check_built([tiny_mask(beside=("nothing.*",))])
