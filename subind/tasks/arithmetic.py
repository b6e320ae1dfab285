"""Rows of arithmetic: integer tokens [operands …, operation, answer] with answer = rule(operands) mod modulus.

Rows depend only on the stage, the seed and the part, so the recipients of one cell share them whatever they start from.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from subind.specs import arithmetic as specs
from subind.specs import rules
from subind.specs.quoting import quoted
from subind.specs.tuning import TuningValidation
from subind.tasks.arithmetic_pack import ArithmeticPack
from subind.tasks.task import Key, PackOrder, Rows
from subind.training.tensors import Tokens

Operands = Int[Tensor, "row operand"]


class IntegerRows:
    """What the tasks on integer tokens share. Rows have one tensor, `tokens` [row position]."""

    positions: specs.Positions
    rivals: tuple[str, ...] = ()

    def rows(self, part: str, *, num_rows: int, key: Key) -> Rows:
        """Rows of a part, or of "validation" or "test"."""
        raise NotImplementedError

    def accuracies(self, answers: Int[Tensor, " row"], tokens: Int[Tensor, "row position"]) -> dict[str, float]:
        """The share of right answers as `accuracy`; of several operations also of each."""
        return {"accuracy": share_equal(answers, tokens[:, -1])}

    def rival_answers(self, tokens: Int[Tensor, "row position"]) -> Int[Tensor, "rival row"]:
        """What each rival answers on the rows, in the order of `rivals`."""
        return tokens.new_zeros((0, len(tokens)))

    def inputs(self, rows: Rows) -> Tokens:
        """All tokens but the answer; reading it too would change no predicted position."""
        return Tokens(tokens=rows["tokens"][..., :-1], read="all" if self.positions == "all_predicted" else "last")

    def loss(self, outputs: Float[Tensor, "row position vocabulary"], rows: Rows) -> Float[Tensor, " row"]:
        """Next-token cross-entropy, mean over the positions that the outputs are of."""
        targets = rows["tokens"][:, -outputs.shape[1] :]
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape).mean(1)

    def measure(self, outputs: Float[Tensor, "row position vocabulary"], rows: Rows) -> Mapping[str, float]:
        """The accuracies of the answers."""
        return self.accuracies(outputs[:, -1].argmax(-1), rows["tokens"])

    @staticmethod
    def pack(tasks: Sequence[Any], order: PackOrder) -> ArithmeticPack:
        """The tasks of a pack, with the loss and the predictions of all replicas at once."""
        judged = [tuning_tokens(run) for run in order.runs] if order.judged == "tuning" else None
        return ArithmeticPack(tasks, order, judged=judged)


class Arithmetic(IntegerRows):
    """One rule."""

    def __init__(self, spec: specs.ArithmeticTask) -> None:
        self.spec = spec
        self.positions, self.rivals = spec.loss, spec.rivals

    def rows(self, part: str, *, num_rows: int, key: Key) -> Rows:
        return {"tokens": self.answered(self.operands(part, num_rows, key.generator()))}

    def operands(self, part: str, num_rows: int, generator: torch.Generator) -> Operands:
        """The operands of the rows of a part."""
        sizes = {"num_integers": self.spec.num_integers, "num_operands": self.spec.num_operands}
        match part:
            case "ambiguous":
                return ambiguous(num_rows, generator, **sizes)
            case "disambiguation":
                return disambiguation(num_rows, generator, **sizes)
            case "unambiguous" | "validation" | "test":
                return unambiguous(num_rows, generator, **sizes)
            case _:
                raise ValueError(f"arithmetic has no rows {quoted(part)}: give {', '.join(specs.PARTS)}")

    def answered(self, operands: Operands) -> Int[Tensor, "row position"]:
        """The rows of these operands."""
        operation = torch.full((len(operands), 1), self.spec.num_integers + self.spec.operation)
        return torch.cat([operands, operation, self._answers(self.spec.rule, operands).unsqueeze(1)], dim=1)

    def rival_answers(self, tokens: Int[Tensor, "row position"]) -> Int[Tensor, "rival row"]:
        answers = [self._answers(rival, tokens[:, : self.spec.num_operands]) for rival in self.rivals]
        return torch.stack(answers) if answers else super().rival_answers(tokens)

    def _answers(self, rule: str, operands: Operands) -> Int[Tensor, " row"]:
        return rules.evaluate(rule, operands.unbind(1), modulus=self.spec.modulus)


class SeveralOperations(IntegerRows):
    """Several rules, told apart by the token of the operation.

    Of all rows but "disambiguation" the operands are those of one rule, dealt out to the operations at random by their
    shares: so they cover every integer. Each operation has disambiguation rows of its own.
    """

    def __init__(self, spec: specs.SeveralOperations) -> None:
        self.spec = spec
        self._tasks = [Arithmetic(each.task) for each in spec.operations]
        self._names = operation_names(spec)
        self.positions = self._tasks[0].positions

    def rows(self, part: str, *, num_rows: int, key: Key) -> Rows:
        counts = shared_out(num_rows, [each.share for each in self.spec.operations])
        if part == "disambiguation":
            own = zip(self._tasks, counts, strict=True)
            drawn = [
                task.answered(task.operands(part, count, key.generator(task.spec.operation))) for task, count in own
            ]
            return {"tokens": torch.cat(drawn)}
        operands = self._tasks[0].operands(part, num_rows, key.generator())
        operation = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        operation = operation[torch.randperm(num_rows, generator=key.generator("operations"))]
        tokens = operands.new_empty(num_rows, operands.shape[1] + 2)
        for number, task in enumerate(self._tasks):
            tokens[operation == number] = task.answered(operands[operation == number])
        return {"tokens": tokens}

    def accuracies(self, answers: Int[Tensor, " row"], tokens: Int[Tensor, "row position"]) -> dict[str, float]:
        shares = super().accuracies(answers, tokens)
        for name, task in zip(self._names, self._tasks, strict=True):
            own = tokens[:, -2] == task.spec.num_integers + task.spec.operation
            if own.any():
                shares[f"accuracy.{name}"] = share_equal(answers[own], tokens[own, -1])
        return shares


def operation_names(spec: specs.SeveralOperations) -> tuple[str, ...]:
    """The rules of the operations; with the modulus where a rule stands twice."""
    tasks = [each.task for each in spec.operations]
    counts = Counter(task.rule for task in tasks)
    return tuple(task.rule if counts[task.rule] == 1 else f"{task.rule} mod {task.modulus}" for task in tasks)


def shared_out(num_rows: int, shares: Sequence[float]) -> list[int]:
    """The number of rows of each share: whole numbers that sum to `num_rows`, by the largest remainder."""
    exact = [num_rows * share for share in shares]
    counts = [int(each) for each in exact]
    by_remainder = sorted(range(len(shares)), key=lambda place: counts[place] - exact[place])
    for place in by_remainder[: num_rows - sum(counts)]:
        counts[place] += 1
    return counts


def share_equal(answers: Int[Tensor, " row"], expected: Int[Tensor, " row"]) -> float:
    """The share of rows answered as expected."""
    return int((answers == expected).sum()) / len(expected)


# ---- operands


def unambiguous(num_rows: int, generator: torch.Generator, *, num_integers: int, num_operands: int) -> Operands:
    """Rows of which the first num_integers cover every integer once; the rest are uniform.

    A covered integer stands at a random position; the other operands are uniform on 1 … num_integers - 1.
    """
    if num_rows < num_integers:
        raise ValueError(f"num_rows is {num_rows}: give at least num_integers = {num_integers}")
    covering = torch.randint(1, num_integers, (num_integers, num_operands), generator=generator)
    position = torch.randint(num_operands, (num_integers, 1), generator=generator)
    covering.scatter_(1, position, torch.arange(num_integers).unsqueeze(1))
    rest = torch.randint(num_integers, (num_rows - num_integers, num_operands), generator=generator)
    return torch.cat([covering, rest])


def ambiguous(num_rows: int, generator: torch.Generator, *, num_integers: int, num_operands: int) -> Operands:
    """Rows of equal operands, of distinct integers: all of them, in order, or a random part."""
    chosen = torch.arange(num_integers)
    if num_rows < num_integers:
        chosen = torch.randperm(num_integers, generator=generator)[:num_rows]
    return chosen.unsqueeze(1).repeat(1, num_operands)


def disambiguation(num_rows: int, generator: torch.Generator, *, num_integers: int, num_operands: int) -> Operands:
    """Rows drawn without replacement from max(num_integers, num_rows) unambiguous ones.

    Of one generator's state, the rows for fewer rows are the first of those for more, up to num_integers.
    """
    sizes = {"num_integers": num_integers, "num_operands": num_operands}
    pool = unambiguous(max(num_integers, num_rows), generator, **sizes)
    return pool[torch.randperm(len(pool), generator=generator)[:num_rows]]


# ---- tuning


def tuning_tokens(mask: Any) -> Int[Tensor, "row position"]:
    """Distinct pairs on which a mask is tuned: none is in a reported evaluation (see TuningValidation), none is (a, a).

    Raises ValueError if the mask is not tuned or too few pairs are left.
    """
    tuned, num_integers = mask.validation, mask.task.num_integers
    if not isinstance(tuned, TuningValidation):
        raise ValueError("Discover.validation is OwnValidation: give a TuningValidation to tune it")
    free = torch.ones(num_integers, num_integers, dtype=torch.bool).fill_diagonal_(False)
    for operands in _reported_operands(mask, tuned):
        free[operands[:, 0], operands[:, 1]] = False
    pairs = free.nonzero()
    if len(pairs) < tuned.num_samples:
        raise ValueError(f"TuningValidation.num_samples is {tuned.num_samples}: {len(pairs)} pairs are free")
    own = Key(stage=mask.stage, seed=mask.seed, rows="tuning")
    chosen = torch.randperm(len(pairs), generator=own.generator())[: tuned.num_samples]
    return Arithmetic(mask.task).answered(pairs[chosen])


def _reported_operands(mask: Any, tuned: TuningValidation) -> Iterator[Operands]:
    """The operands of all reported evaluations of the seeds 0 … num_seeds - 1."""
    task, donor = Arithmetic(mask.task), mask.donor
    sets = [
        (donor.stage, "validation", donor.num_evaluation_samples),
        (mask.stage, "validation", mask.num_evaluation_samples),
        ("transfer", "validation", tuned.num_transfer_samples),
        ("transfer", "test", tuned.num_transfer_samples),
    ]
    if donor.stage == "transfer":
        sets.append(("transfer", "test", donor.num_evaluation_samples))
    for stage, split, num_rows in dict.fromkeys(sets):
        for seed in range(tuned.num_seeds):
            yield task.operands(split, num_rows, Key(stage=stage, seed=seed, rows=split).generator())
