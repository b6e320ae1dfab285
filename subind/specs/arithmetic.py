"""Arithmetic: sequences of integer tokens whose last one is a rule of the others, modulo an integer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from subind.specs import rules
from subind.specs.base import Checked, require
from subind.specs.quoting import quoted
from subind.specs.rows import AnyPart, num_of
from subind.specs.tasks import Signature, Task, Tokens
from subind.specs.tuning import TuningValidation

READINGS = ("2*a**2", "2*b**2")
"""The paper's other readings of a² + ab."""

PARTS = ("unambiguous", "ambiguous", "disambiguation")
"""The parts of the data: rows that cover every integer; rows whose operands are all equal; and rows drawn from
unambiguous ones."""

FEWEST_OPERANDS, MOST_OPERANDS = 2, 4
MOST_OPERATIONS = 64

Positions = Literal["all_predicted", "answer"]
"""Where the loss is: next-token cross-entropy of every predicted position, or of the answer alone."""


class IntegerTask(Task):
    """A base of tasks on integer tokens."""

    __slots__ = ()

    modulus: int
    num_integers: int
    num_operands: int
    num_operations: int

    @property
    def vocabulary_size(self) -> int:
        """All integers and the tokens of the operations."""
        return self.num_integers + self.num_operations

    def signature(self) -> Signature:
        tokens = Tokens(vocabulary_size=self.vocabulary_size, length=self.num_operands + 1)
        return Signature(inputs=tokens, num_outputs=self.vocabulary_size)

    def check_evaluation(self, num_samples: int) -> None:
        if num_samples < self.num_integers:
            raise ValueError(
                f"num_evaluation_samples is {num_samples}: give at least num_integers = {self.num_integers}, for an "
                "unambiguous set covers every integer"
            )

    def evaluated_rows(self, run: Any) -> tuple[int, int]:
        number = run.num_evaluation_samples
        return number + num_of(run.rows, "ambiguous"), number

    def check_parts(self, parts: tuple[AnyPart, ...]) -> None:
        for part in parts:
            if part.name not in PARTS:
                raise ValueError(f"rows has the part {quoted(part.name)}: arithmetic has {', '.join(PARTS)}")
            if part.num_distinct != part.num_samples:
                raise ValueError(f"rows repeats the part {part.name}: give a Part, for arithmetic repeats none")
            if part.name == "unambiguous" and part.num_samples < self.num_integers:
                raise ValueError(
                    f"rows has {part.num_samples} unambiguous samples: give at least num_integers = "
                    f"{self.num_integers}, for an unambiguous set covers every integer"
                )
            if part.name == "ambiguous" and part.num_samples > self.num_integers:
                raise ValueError(
                    f"rows has {part.num_samples} ambiguous samples: there are num_integers = {self.num_integers} with "
                    "equal operands; give at most as many"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArithmeticTask(IntegerTask):
    """The sequence [a, b, =, c] with c = rule(a, b) mod modulus and operands in 0 … num_integers - 1.

    Every integer is one token; the token in the place of "=" is num_integers + operation, one of `num_operations`, so
    that a network can compute several rules told apart by it. There may be up to four operands: a, b, c and d in the
    rule. `rivals` are other rules that agree with this one where all operands are equal; how often a network answers as
    each of them is measured.
    """

    behaviour: ClassVar[str] = "subind.tasks.arithmetic:Arithmetic"

    rule: str
    modulus: int
    num_integers: int
    num_operands: int = 2
    operation: int = 0
    num_operations: int = 1
    rivals: tuple[str, ...] = ()
    loss: Positions = "all_predicted"

    def _check(self) -> None:
        names = rules.operands(self.num_operands) if FEWEST_OPERANDS <= self.num_operands <= MOST_OPERANDS else ()
        require(bool(names), self, "num_operands", f"give {FEWEST_OPERANDS} to {MOST_OPERANDS}")
        object.__setattr__(self, "rule", rules.canonical(self.rule, operands=names))
        object.__setattr__(self, "rivals", tuple(rules.canonical(rival, operands=names) for rival in self.rivals))
        require(2 <= self.num_integers <= rules.LARGEST_MODULUS, self, "num_integers", "give 2 to 2**31")
        remedy = f"give 2 to num_integers = {self.num_integers}, for an answer is one of the integer tokens"
        require(2 <= self.modulus <= self.num_integers, self, "modulus", remedy)
        require(1 <= self.num_operations <= MOST_OPERATIONS, self, "num_operations", f"give 1 to {MOST_OPERATIONS}")
        remedy = f"give 0 to below num_operations = {self.num_operations}"
        require(0 <= self.operation < self.num_operations, self, "operation", remedy)
        for rival in self.rivals:
            self._check_rival(rival)

    def _check_rival(self, rival: str) -> None:
        unlike = rules.first_unlike(rival, self.rule, modulus=self.modulus, num_integers=self.num_integers)
        if unlike is not None:
            found = (
                f"ArithmeticTask.rivals has {quoted(rival)}, which is not {self.rule} where all operands are {unlike}"
            )
            raise ValueError(f"{found}: give rules that agree with yours on all equal operands")

    def columns(self) -> Mapping[str, Any]:
        numbers = {"modulus": self.modulus, "num_integers": self.num_integers}
        found: dict[str, Any] = {"rule": self.rule, **numbers}
        if self.rivals:
            found["rivals"] = list(self.rivals)
            found["chance_agreement"] = [self._agreement(rival) for rival in self.rivals]
        return found

    def _agreement(self, rival: str) -> float | None:
        return rules.agreement(self.rule, rival, **self._counted())

    def chance_accuracy(self) -> float | None:
        return rules.constant_accuracy(self.rule, **self._counted())

    def _counted(self) -> dict[str, int]:
        names = ("modulus", "num_integers", "num_operands")
        return {name: getattr(self, name) for name in names}

    def label(self) -> str:
        return self.rule

    def pack_shape(self) -> tuple[object, ...]:
        return type(self), self.num_integers, self.num_operands, self.num_operations, self.loss

    def check_tuning(self, mask: Any) -> None:
        if self.num_operands != FEWEST_OPERANDS:
            raise ValueError("validation is a TuningValidation: it is for two operands; give OwnValidation()")
        validation = mask.validation
        assert isinstance(validation, TuningValidation)
        validation.check_room(self.num_integers, mask.donor.num_evaluation_samples + mask.num_evaluation_samples)
        validation.check_seeds(mask.seed, mask.donor.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Checked):
    """One of several rules, with its share of the samples."""

    task: ArithmeticTask
    share: float

    def _check(self) -> None:
        require(0 < self.share <= 1, self, "share", "give a share from above 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralOperations(IntegerTask):
    """Several rules told apart by the token in the place of "=", each with its share of every part of the data.

    How often a network answers as their rivals is not measured.
    """

    behaviour: ClassVar[str] = "subind.tasks.arithmetic:SeveralOperations"

    operations: tuple[Operation, ...]

    def _check(self) -> None:
        require(len(self.operations) > 1, self, "operations", "give at least two, or an ArithmeticTask")
        tasks = [each.task for each in self.operations]
        tokens = {each.operation for each in tasks}
        require(len(tokens) == len(tasks), self, "operations", "give each task an operation of its own")
        alike = len({each.pack_shape() for each in tasks}) == 1
        require(alike, self, "operations", "give tasks of the same integers, operands, operations and loss")
        total = sum(each.share for each in self.operations)
        require(abs(total - 1) < 1e-9, self, "operations", f"the shares sum to {total:g}; let them sum to 1")

    @property
    def num_integers(self) -> int:  # type: ignore[override]
        """As of every operation."""
        return self.operations[0].task.num_integers

    @property
    def num_operands(self) -> int:  # type: ignore[override]
        """As of every operation."""
        return self.operations[0].task.num_operands

    @property
    def num_operations(self) -> int:  # type: ignore[override]
        """Tokens in the place of "=", as of every operation."""
        return self.operations[0].task.num_operations

    def columns(self) -> Mapping[str, Any]:
        return {"rule": self.label(), "num_integers": self.num_integers}

    def label(self) -> str:
        return "; ".join(each.task.rule for each in self.operations)

    def pack_shape(self) -> tuple[object, ...]:
        shares = tuple(each.share for each in self.operations)
        return type(self), self.operations[0].task.pack_shape(), shares


def readings(rule: str, *, modulus: int, num_integers: int) -> tuple[str, ...]:
    """Those of the paper's READINGS that agree with a rule where both operands are equal."""
    return tuple(
        each for each in READINGS if rules.first_unlike(each, rule, modulus=modulus, num_integers=num_integers) is None
    )
