"""The plain pack of tasks: a task of a user's own, asked one replica at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from subind.specs.rows import Part, RepeatedPart
from subind.specs.tasks import Task as Spec
from subind.tasks.task import Ask, Key, PackOrder, Rows, StackedPack, Task, packed


@dataclass(frozen=True, kw_only=True)
class Double(Spec):
    """Numbers, of which twice is asked."""

    shift: float = 0.0

    def rows(self, part: str, *, num_rows: int, key: Key) -> Rows:
        numbers = torch.rand(num_rows, 1, generator=key.generator()) + self.shift
        return {"inputs": numbers, "targets": 2 * numbers[:, 0]}

    def loss(self, outputs: Tensor, rows: Rows) -> Tensor:
        return (outputs[:, 0] - rows["targets"]).abs()

    def measure(self, outputs: Tensor, rows: Rows) -> Mapping[str, float]:
        return {"largest": float((outputs[:, 0] - rows["targets"]).abs().max())}


@dataclass(frozen=True, kw_only=True)
class Few(Double):
    """A task with so few rows of a part."""

    most: int
    part: str

    def rows(self, part: str, *, num_rows: int, key: Key) -> Rows:
        fewer = min(num_rows, self.most) if part == self.part else num_rows
        return Double.rows(self, part, num_rows=fewer, key=key)


@dataclass(frozen=True, kw_only=True)
class Run:
    stage: str
    seed: int


PARTS = (Part(name="one", num_samples=5), RepeatedPart(name="two", num_distinct=2, num_samples=5))


def pack_of(*seeds: int, task: Any = None, **changes: Any) -> StackedPack:
    fields: dict[str, Any] = {
        "runs": [Run(stage="donor", seed=seed) for seed in seeds],
        "tasks": [task or Double()] * len(seeds),
        "parts": [PARTS] * len(seeds),
        "num_evaluation_samples": 600,
        "device": "cpu",
        "images": "",
        "judged": "validation",
    }
    made = packed(PackOrder(**{**fields, **changes}))
    assert isinstance(made, StackedPack)
    return made


def times(*factors: float) -> Ask:
    """Networks that multiply by their factor."""

    def ask(inputs: Any) -> Tensor:
        return torch.stack([factor * own for factor, own in zip(factors, inputs, strict=True)])

    return ask


def test_users_task_fulfils_the_protocol() -> None:
    assert isinstance(Double(), Task)


@pytest.mark.parametrize(("most", "part"), [(4, "one"), (1, "two"), (599, "validation"), (0, "test")])
def test_task_that_gives_fewer_rows_than_are_asked_for_is_told(most: int, part: str) -> None:
    with pytest.raises(ValueError, match=rf"Few\.rows\('{part}'\) gives {most} rows of 'inputs' for num_rows="):
        pack_of(0, task=Few(most=most, part=part)).test(times(2.0), 0)


def test_repeated_part_repeats_its_distinct_rows_in_turn() -> None:
    rows = pack_of(0).constants["rows.inputs"][0, :, 0].tolist()
    assert len(rows) == 10
    assert len(set(rows[:5])) == 5
    assert rows[5:] == [rows[5], rows[6], rows[5], rows[6], rows[5]]


def test_batch_and_losses_are_of_each_replicas_own_rows() -> None:
    pack = pack_of(0, 1)
    inputs, rows = pack.batch(torch.tensor([[0, 3], [9, 1]]))
    assert torch.equal(inputs[1], pack.constants["rows.inputs"][1][[9, 1]])  # type: ignore[index]
    losses = pack.losses(times(2.0, 3.0)(inputs), rows)
    assert losses[0] == 0
    assert float(losses[1]) == pytest.approx(float(rows["targets"][1].mean()) / 2)


def test_evaluation_names_what_the_task_measures_by_its_split() -> None:
    pack = pack_of(0, 1)
    first, second = pack.evaluate(times(2.0, 3.0))
    assert first == {"validation_loss": 0.0, "validation_largest": 0.0}
    assert 0 < second["validation_loss"] < second["validation_largest"] <= 1
    assert pack.final(times(2.0), 1) == {"test_loss": 0.0, "test_largest": 0.0}


def test_measurements_of_a_replica_are_the_same_alone_and_in_a_pack() -> None:
    together = pack_of(0, 1, 2)
    measured = together.evaluate(times(1.5, 2.5, 3.5))
    for seed, factor in enumerate((1.5, 2.5, 3.5)):
        alone = pack_of(seed)
        assert alone.evaluate(times(factor)) == [measured[seed]]
        assert alone.final(times(factor), 0) == together.final(times(factor), seed)


def test_pack_goes_on_with_the_replicas_that_are_selected() -> None:
    pack = pack_of(0, 1, 2)
    measured = pack.evaluate(times(1.5, 2.5, 3.5))
    pack.constants = {name: tensor[[2, 0]] for name, tensor in pack.constants.items()}
    pack.select([2, 0])
    assert pack.evaluate(times(3.5, 1.5)) == [measured[2], measured[0]]


def test_rows_of_a_second_task_are_other_rows() -> None:
    first, second = pack_of(0), pack_of(0, purpose="second_rows")
    assert not torch.equal(first.constants["rows.inputs"], second.constants["rows.inputs"])


def test_rows_of_the_same_key_are_the_same_and_of_another_part_are_others() -> None:
    key = Key(stage="donor", seed=0, rows="one")
    first, again = (Double().rows("one", num_rows=4, key=each)["inputs"] for each in (key, key))
    other = Double().rows("two", num_rows=4, key=Key(stage="donor", seed=0, rows="two"))["inputs"]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
