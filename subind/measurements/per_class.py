"""What a network gives the rows of each class."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from subind.specs.measurements import OnTestRows
from subind.specs.tasks import Task

if TYPE_CHECKING:  # planning needs no torch
    from subind.stages.measure import Asked
    from subind.tasks.task import Decisions


@dataclass(frozen=True, slots=True, kw_only=True)
class PerClass(OnTestRows):
    """Accuracy and decisions by class on test rows of a task whose rows have classes: of arithmetic, the answers.

    Measures `test_accuracy`, and by class `accuracy.CLASS`, `num_rows.CLASS` and `confusion.CLASS as DECISION`, the
    number of rows of a class that are given a class; pairs that do not occur are left out. Tasks on images are judged
    on mean-pooled images where they are `pooled`.
    """

    task: Task
    num_evaluation_samples: int

    def measure(self, asked: "Asked") -> Mapping[str, float]:
        """The tables by class."""
        tests = asked.tests(self.task, self.num_evaluation_samples)
        return tables(tests.decisions(asked.ask(), 0))


def tables(decisions: "Decisions") -> dict[str, float]:
    """Accuracy, rows and confusions by class; classes are named by their numbers where they have no names."""
    pairs = Counter(zip(decisions.expected.tolist(), decisions.predicted.tolist(), strict=True))
    num_rows: Counter[int] = Counter()
    for (expected, _), count in pairs.items():
        num_rows[expected] += count
    right = {label: pairs[label, label] for label in sorted(num_rows)}

    def name(label: int) -> str:
        return decisions.names[label] if label < len(decisions.names) else str(label)

    measured = {"test_accuracy": sum(right.values()) / sum(num_rows.values())}
    measured |= {f"accuracy.{name(label)}": count / num_rows[label] for label, count in right.items()}
    measured |= {f"num_rows.{name(label)}": float(num_rows[label]) for label in right}
    for label, given in sorted(pairs):
        measured[f"confusion.{name(label)} as {name(given)}"] = float(pairs[label, given])
    return measured
