"""Conjunction-wise additivity: how far a network's answers to new inputs are sums of values of what it was trained on.

Lippl and Stachenfeld (arXiv 2405.16391): a conjunction is a set of positions of the input with the tokens there. The
answer of a model whose kernel depends on shared components alone is a sum of one value for each conjunction of the
input that occurs in training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from subind.specs.arithmetic import ArithmeticTask
from subind.specs.base import behaviour, positive
from subind.specs.measurements import Measurement
from subind.specs.run import MaskRun, NetworkRun

if TYPE_CHECKING:  # planning needs no torch
    from subind.stages.measure import Asked

RIDGE = 1e-10
MOST_INPUTS = 2**22
"""All inputs of a task are listed: for more, that takes gigabytes."""
RADIX = 2**12
"""Tokens are below it: such a task has at most 2,048 integers and 64 operations."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Additivity(Measurement):
    """R² of the best fit of a network's logits by the conjunctions of tokens that occur in its training rows.

    The logits are those of the possible answers, at the last token of every input of `task` that does not occur in
    training; of `num_inputs` of these, drawn at random, where there are more. Measures `additivity`, pooled over the
    answers and left out where the logits do not vary, and `num_unseen_inputs`, the number of inputs that were fitted.
    Give many more inputs than there are conjunctions, for few are fitted by anything.
    """

    task: ArithmeticTask
    num_inputs: int

    def _check(self) -> None:
        positive(self, "num_inputs")
        total = self.task.num_integers**self.task.num_operands
        if total > MOST_INPUTS:
            raise ValueError(f"Additivity.task has {total:,} inputs: give a task of at most {MOST_INPUTS:,}")

    def check(self, of: NetworkRun | MaskRun) -> None:
        self.task.check_compatible(of.task)

    def columns(self) -> Mapping[str, Any]:
        return {"measured_task": self.task.label()}

    def measure(self, asked: "Asked") -> Mapping[str, float]:
        """Raises ValueError if training has every input."""
        import torch

        from subind.tasks.task import inputs_of, training_rows
        from subind.training.draws import generator
        from subind.training.tensors import Tokens

        run = asked.run.of
        own, task = behaviour(run.task), behaviour(self.task)
        rows = training_rows(own, run.rows, run)
        trained = inputs_of(own, {name: each.unsqueeze(0) for name, each in rows.items()})
        assert isinstance(trained, Tokens), "a task of the same inputs gives tokens"
        operands = torch.cartesian_prod(*[torch.arange(self.task.num_integers)] * self.task.num_operands)
        every = task.answered(operands)[:, :-1].numpy()
        seen = trained.tokens[0].numpy()
        places = np.flatnonzero(~np.isin(codes(every), codes(seen)))
        if not places.size:
            raise ValueError("the network was trained on every input of the task: there is none to fit")
        if len(places) > self.num_inputs:
            order = torch.randperm(len(places), generator=generator("measurement/rows", asked.run.seed))
            places = places[order[: self.num_inputs].sort().values.numpy()]
        chosen = {"tokens": torch.from_numpy(every[places])}
        outputs = asked.outputs(chosen, lambda part: Tokens(tokens=part["tokens"], read="last"))
        logits = torch.cat([each[:, -1, : self.task.modulus].double().cpu() for each in outputs]).numpy()
        share = explained(conjunctions(every[places], seen), logits)
        return {"num_unseen_inputs": float(len(places))} | ({} if share is None else {"additivity": share})


def codes(tokens: Integers) -> Integers:
    """One number [row] for the tokens [row position] of a row; those of different rows differ."""
    found: Integers = tokens @ RADIX ** np.arange(tokens.shape[1])
    return found


def conjunctions(inputs: Integers, trained: Integers) -> Any:
    """One-hots [input conjunction], sparse, of those conjunctions of the inputs that occur among the trained ones."""
    from scipy.sparse import csr_array, hstack

    blocks = []
    num_positions = inputs.shape[1]
    for size in range(1, num_positions + 1):
        for positions in combinations(range(num_positions), size):
            own = codes(inputs[:, positions])
            known = np.intersect1d(own, codes(trained[:, positions]))
            rows = np.flatnonzero(np.isin(own, known))
            place = (rows, np.searchsorted(known, own[rows]))
            blocks.append(csr_array((np.ones(len(rows)), place), shape=(len(inputs), len(known))))
    return hstack(blocks, format="csr")


def explained(features: Any, outputs: npt.NDArray[np.float64]) -> float | None:
    """R² over all outputs [row output] of their ridge regression on the features; None where no output varies."""
    from scipy.sparse.linalg import lsmr

    solve = {"damp": RIDGE**0.5, "atol": 1e-15, "btol": 1e-15, "conlim": 0.0, "maxiter": 10_000}
    fitted = np.stack([features @ lsmr(features, each, **solve)[0] for each in outputs.T], axis=1)
    total = float(np.square(outputs - outputs.mean(0)).sum())
    return 1 - float(np.square(outputs - fitted).sum()) / total if total else None
