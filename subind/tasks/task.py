"""What the loop and the stages need of a task: the protocol that every task fulfils, and the pack of tasks.

A task of a user's own is one dataclass, both spec and behaviour:

    @dataclass(frozen=True, kw_only=True)
    class Copy(Task):                                    # subind.specs.tasks.Task
        length: int

        def rows(self, part, *, num_rows, key):          # one replica's rows: tensors with the row as first axis
            tokens = torch.randint(0, 10, (num_rows, self.length), generator=key.generator())
            return {"inputs": tokens, "targets": tokens}

        def loss(self, outputs, rows):                   # one number a row
            return F.cross_entropy(outputs.transpose(1, 2), rows["targets"], reduction="none").mean(1)

        def measure(self, outputs, rows):                # means over the rows, by name
            return {"accuracy": float((outputs.argmax(-1) == rows["targets"]).float().mean())}

`part` is a part that a run names in its `rows`, or "validation" or "test". The stages see a `TaskPack`: the tasks of
the replicas of a pack. By default it is a `StackedPack`, which asks each replica's task in turn; a task whose class has
`pack` gives its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from subind.specs.base import behaviour
from subind.specs.rows import AnyPart, RepeatedPart
from subind.training import draws as counters
from subind.training.tensors import Inputs, Parameters

Rows = dict[str, Tensor]
"""Rows by the names of their tensors, the row as the first axis; of a pack with a leading replica axis."""

Ask = Callable[[Inputs], Tensor]
"""Outputs of all replicas of a pack, in evaluation mode, for inputs [replica batch ...]."""

Purpose = Literal["rows", "second_rows"]
"""What rows are for: a run's own task, or the second task in its loss."""

Judged = Literal["validation", "tuning"]
"""On which rows epochs are judged: those of the run, or rows that no reported evaluation has."""

ROWS_AT_ONCE = 250
"""Of an evaluation. Fixed, whatever the pack's size, so that a replica's products have the same shapes everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """From which random numbers the rows of one replica are drawn: its stage, its seed, and the set of rows.

    `purpose` tells the rows of a second task in the loss from those of the run's own.
    """

    stage: str
    seed: int
    rows: str
    purpose: Purpose = "rows"

    def generator(self, *more: str | int) -> torch.Generator:
        """A fresh CPU generator for these rows, another one for other `more`."""
        return counters.generator(f"{self.stage}/{self.purpose}", self.seed, self.rows, *more)


@runtime_checkable
class Task(Protocol):
    """What a task computes, one replica at a time."""

    def rows(self, part: str, *, num_rows: int, key: Key) -> Rows:
        """Rows of a part, or of "validation" or "test", on the CPU."""
        ...

    def loss(self, outputs: Tensor, rows: Rows) -> Float[Tensor, " row"]:
        """The loss of each row, from the outputs [row ...] for `inputs(rows)`."""
        ...

    def measure(self, outputs: Tensor, rows: Rows) -> Mapping[str, float]:
        """What is measured of the outputs on all rows of an evaluation, by name."""
        ...


class TaskPack(Protocol):
    """The tasks of the replicas of a pack, with their training and evaluation rows on the device.

    `constants` are tensors with a leading replica axis; the loop selects their rows when replicas leave, then calls
    `select`. `num_rows` are those of an epoch.
    """

    constants: Parameters
    num_rows: int

    def expect(self, epoch: int, batches: Iterable[Int[Tensor, "replica _"]]) -> None:
        """Take the rows of the steps to come in the epoch, on the CPU, so that what they need may be made ahead."""
        ...

    def at(self, step: int) -> None:
        """Set the draws of a training step, counted from 0 over all epochs."""
        ...

    def load(self, rows: Int[Tensor, "replica batch"]) -> None:
        """Bring to the device what the step on these rows needs and is not there."""
        ...

    def batch(self, rows: Int[Tensor, "replica batch"]) -> tuple[Inputs, Rows]:
        """The inputs of a training step and its rows [replica batch ...], augmented by the replicas' own draws."""
        ...

    def losses(self, outputs: Tensor, rows: Rows) -> Float[Tensor, " replica"]:
        """The mean loss of a training step of each replica. It may overwrite the outputs."""
        ...

    def evaluate(self, ask: Ask) -> list[dict[str, float]]:
        """What is measured of each replica after an epoch, by curve, such as `validation_loss`."""
        ...

    def final(self, ask: Ask, index: int) -> dict[str, float]:
        """What is measured of one replica at its kept epoch; `ask` is of that replica alone, a pack of one."""
        ...

    def test(self, ask: Ask, index: int) -> dict[str, float]:
        """What is measured of one replica on test rows, whatever its stage: `test_loss`, `test_accuracy` and others."""
        ...

    def decisions(self, ask: Ask, index: int) -> "Decisions":
        """The class that one replica gives each test row, and the right one.

        Raises ValueError if the task's rows have no classes.
        """
        ...

    def select(self, index: Sequence[int]) -> None:
        """Go on with the replicas at these places."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """The classes that a network gives rows, and the right ones, on the CPU.

    `names` are those of the classes in the order of their numbers; empty where the numbers are the names.
    """

    predicted: Int[Tensor, " row"]
    expected: Int[Tensor, " row"]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackOrder:
    """What a pack of tasks is made for: of each replica the run, its task and its parts, and where it runs.

    A pack without parts is for tests alone.
    `judged` says on which rows epochs are judged; `final` measures on the run's own rows either way. `images` is the
    folder of photographs.
    """

    runs: Sequence[Any]
    tasks: Sequence[Any]
    parts: Sequence[tuple[AnyPart, ...]]
    num_evaluation_samples: int
    device: str
    images: str
    judged: Judged = "validation"
    purpose: Purpose = "rows"


def packed(order: PackOrder) -> TaskPack:
    """The pack of the tasks' own class, or a StackedPack."""
    behaviours = [behaviour(task) for task in order.tasks]
    own = getattr(type(behaviours[0]), "pack", None)
    return StackedPack(behaviours, order) if own is None else own(behaviours, order)


def key(run: Any, rows: str, purpose: Purpose = "rows") -> Key:
    """The key of a run's rows."""
    return Key(stage=run.stage, seed=run.seed, rows=rows, purpose=purpose)


def training_rows(task: Task, parts: Sequence[AnyPart], run: Any, purpose: Purpose = "rows") -> Rows:
    """The rows of the parts, one part after another; nothing of no parts."""
    several = [_part_rows(task, part, key(run, part.name, purpose)) for part in parts]
    return {name: torch.cat([rows[name] for rows in several]) for name in several[0]} if several else {}


def checked_rows(task: Task, part: str, *, num_rows: int, key: Key) -> Rows:
    """The rows that a task gives. Raises ValueError unless every tensor has as many rows as are asked for.

    Fewer would go unseen: an evaluation on 50 rows would be reported as one on 1,000.
    """
    rows = task.rows(part, num_rows=num_rows, key=key)
    for name, tensor in rows.items():
        if len(tensor) != num_rows:
            given = f"{type(task).__name__}.rows({part!r}) gives {len(tensor)} rows of {name!r} for num_rows={num_rows}"
            raise ValueError(f"{given}: give as many, or ask for fewer in the run")
    return rows


def _part_rows(task: Task, part: AnyPart, own: Key) -> Rows:
    """The rows of one part; of a repeated one the distinct rows in turn."""
    rows = checked_rows(task, part.name, num_rows=part.num_distinct, key=own)
    if isinstance(part, RepeatedPart):
        place = torch.arange(part.num_samples) % part.num_distinct
        return {name: tensor[place] for name, tensor in rows.items()}
    return rows


def inputs_of(task: Any, rows: Rows) -> Inputs:
    """What the network reads of rows: what the task's `inputs` gives, else their tensor `inputs`."""
    own = getattr(task, "inputs", None)
    found: Inputs = rows["inputs"] if own is None else own(rows)
    return found


class StackedPack:
    """Tasks whose training rows all lie on the device; each replica's task is asked alone."""

    def __init__(self, tasks: Sequence[Any], order: PackOrder) -> None:
        assert order.judged == "validation", "Task.check_tuning refuses a task without rows for tuning"
        self.tasks = list(tasks)
        self.runs = list(order.runs)
        self.num_evaluation_samples = order.num_evaluation_samples
        self.device, self.purpose = order.device, order.purpose
        several = [
            training_rows(task, parts, run, order.purpose)
            for task, parts, run in zip(tasks, order.parts, order.runs, strict=True)
        ]
        self.constants: Parameters = {f"rows.{name}": stacked for name, stacked in self._stacked(several).items()}
        validation = [self._evaluation(task, run, "validation") for task, run in zip(tasks, order.runs, strict=True)]
        self.constants |= {f"validation.{name}": each for name, each in self._stacked(validation).items()}
        self.num_rows = len(next(iter(several[0].values()), ()))

    def _evaluation(self, task: Any, run: Any, split: str) -> Rows:
        return checked_rows(task, split, num_rows=self.num_evaluation_samples, key=key(run, split, self.purpose))

    def _stacked(self, several: Sequence[Rows]) -> Rows:
        return {name: torch.stack([rows[name] for rows in several]).to(self.device) for name in several[0]}

    def _named(self, prefix: str) -> Rows:
        start = f"{prefix}."
        return {name.removeprefix(start): each for name, each in self.constants.items() if name.startswith(start)}

    def expect(self, epoch: int, batches: Iterable[Int[Tensor, "replica _"]]) -> None:
        """Nothing: all training rows are on the device."""

    def at(self, step: int) -> None:
        """Nothing: rows are as they are."""

    def load(self, rows: Int[Tensor, "replica batch"]) -> None:
        """Nothing, likewise."""

    def batch(self, rows: Int[Tensor, "replica batch"]) -> tuple[Inputs, Rows]:
        every = torch.arange(len(rows), device=rows.device).unsqueeze(1)
        chosen = {name: tensor[every, rows] for name, tensor in self._named("rows").items()}
        return inputs_of(self.tasks[0], chosen), chosen

    def losses(self, outputs: Tensor, rows: Rows) -> Float[Tensor, " replica"]:
        return torch.stack([task.loss(outputs[i], _at(rows, i)).mean() for i, task in enumerate(self.tasks)])

    def evaluate(self, ask: Ask) -> list[dict[str, float]]:
        rows = self._named("validation")
        outputs = self._answers(ask, rows)
        return [self._measured(task, outputs[i], _at(rows, i), "validation") for i, task in enumerate(self.tasks)]

    def final(self, ask: Ask, index: int) -> dict[str, float]:
        return self.test(ask, index)

    def test(self, ask: Ask, index: int) -> dict[str, float]:
        outputs, rows = self._tested(ask, index)
        return self._measured(self.tasks[index], outputs, rows, "test")

    def decisions(self, ask: Ask, index: int) -> Decisions:
        outputs, rows = self._tested(ask, index)
        expected = rows.get("targets", rows.get("labels"))
        is_of_classes = expected is not None and not expected.is_floating_point() and expected.dim() == 1
        if expected is None or not is_of_classes or outputs.dim() != 2:
            kind = type(self.tasks[index]).__name__
            needed = "rows with integer `targets` or `labels` [row] and outputs [row class]"
            raise ValueError(f"the task is {kind}, which lacks {needed}: give a task of classes")
        return Decisions(predicted=outputs.argmax(1).cpu(), expected=expected.cpu())

    def _tested(self, ask: Ask, index: int) -> tuple[Tensor, Rows]:
        """The outputs of one replica for its test rows, and the rows."""
        rows = {name: tensor.to(self.device) for name, tensor in self._test(index).items()}
        outputs = self._answers(ask, {name: tensor.unsqueeze(0) for name, tensor in rows.items()})
        return outputs[0], rows

    def select(self, index: Sequence[int]) -> None:
        self.tasks = [self.tasks[place] for place in index]
        self.runs = [self.runs[place] for place in index]

    def _test(self, index: int) -> Rows:
        return self._evaluation(self.tasks[index], self.runs[index], "test")

    def _answers(self, ask: Ask, rows: Rows) -> Tensor:
        count = next(iter(rows.values())).shape[1]
        parts = [slice(first, first + ROWS_AT_ONCE) for first in range(0, count, ROWS_AT_ONCE)]
        cut = ({name: tensor[:, part] for name, tensor in rows.items()} for part in parts)
        return torch.cat([ask(inputs_of(self.tasks[0], each)) for each in cut], dim=1)

    def _measured(self, task: Any, outputs: Tensor, rows: Rows, split: str) -> dict[str, float]:
        measured = {"loss": float(task.loss(outputs, rows).mean()), **task.measure(outputs, rows)}
        return {f"{split}_{name}": value for name, value in measured.items()}


def _at(rows: Rows, index: int) -> Rows:
    return {name: tensor[index] for name, tensor in rows.items()}
