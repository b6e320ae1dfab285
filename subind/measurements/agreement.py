"""How often an arithmetic network answers as each of several rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from subind.specs import rules
from subind.specs.arithmetic import ArithmeticTask
from subind.specs.base import behaviour, require
from subind.specs.measurements import OnTestRows

if TYPE_CHECKING:  # planning needs no torch
    from torch import Tensor

    from subind.stages.measure import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement(OnTestRows):
    """The share of test rows of a task that the network answers as each of `rules`, modulo the task's modulus.

    Measures `agreement.RULE`, and along with it `chance_agreement.RULE`: the share of all rows of operands on which the
    rule agrees with the task's own, which is the agreement of a network that makes no error. It is left out where there
    are too many rows to count. A rule may be any text in the task's operands, such as the rule of another operation.
    """

    task: ArithmeticTask
    rules: tuple[str, ...]
    num_evaluation_samples: int

    def _check(self) -> None:
        names = rules.operands(self.task.num_operands)
        spelled = tuple(rules.canonical(rule, operands=names) for rule in self.rules)
        object.__setattr__(self, "rules", spelled)
        require(len(set(spelled)) == len(spelled) > 0, self, "rules", "give at least one rule, and each once")
        OnTestRows._check(self)

    def measure(self, asked: "Asked") -> Mapping[str, float]:
        """Both tables, by rule."""
        tokens = asked.test_rows(behaviour(self.task), self.num_evaluation_samples)["tokens"]
        answers = predicted_answers(asked, tokens)
        counted = {name: getattr(self.task, name) for name in ("modulus", "num_integers", "num_operands")}
        measured = {}
        for rule in self.rules:
            operands = tokens[:, : self.task.num_operands].unbind(1)
            expected = rules.evaluate(rule, operands, modulus=self.task.modulus)
            measured[f"agreement.{rule}"] = int((answers == expected).sum()) / len(tokens)
            chance = rules.agreement(self.task.rule, rule, **counted)
            measured |= {} if chance is None else {f"chance_agreement.{rule}": chance}
        return measured


def predicted_answers(asked: "Asked", tokens: "Tensor") -> "Tensor":
    """The answer [row] that the network predicts for each of the rows [row position], on the CPU."""
    import torch

    from subind.training.tensors import Tokens

    outputs = asked.outputs({"tokens": tokens}, lambda rows: Tokens(tokens=rows["tokens"][..., :-1], read="last"))
    return torch.cat([each[:, -1].argmax(-1).cpu() for each in outputs])
