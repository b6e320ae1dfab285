"""What the networks of a pack answer: loss and predictions on rows that differ by replica, without dropout."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from subind.networks import gpt2
from subind.specs.runs import GPT2, Precision

ROWS_AT_ONCE = 250
"""Fixed, whatever the pack's size, so that a replica's products have the same shapes alone and in a pack."""

ANSWER = 2
"""The position of "=", where the answer is predicted."""


@torch.no_grad()
def losses_and_predictions(
    parameters: Mapping[str, Tensor],
    rows: Int[Tensor, "replica sample position"],
    model: GPT2,
    *,
    precision: Precision = "float32",
) -> tuple[Float[Tensor, " replica"], Int[Tensor, "replica sample"]]:
    """Per replica the mean next-token cross-entropy over (b, =, c), and the answer predicted for every row."""
    losses, answers = [], []
    for part in rows.split(ROWS_AT_ONCE, dim=1):
        activations = gpt2.hidden(parameters, part[:, :, : ANSWER + 1], model, None, precision=precision)
        scores = gpt2.logits(parameters, activations, precision=precision)
        each = F.cross_entropy(scores.flatten(0, 2), part[:, :, 1:].flatten(), reduction="none")
        losses.append(each.view(len(rows), -1))
        answers.append(scores[:, :, ANSWER].argmax(-1))
    return torch.cat(losses, dim=1).mean(1), torch.cat(answers, dim=1)


@torch.no_grad()
def predictions(
    parameters: Mapping[str, Tensor],
    rows: Int[Tensor, "replica sample position"],
    model: GPT2,
    *,
    precision: Precision = "float32",
) -> Int[Tensor, "replica sample"]:
    """The answer predicted for every row; cheaper than with the loss, for only one position meets the head."""
    answers = []
    for part in rows.split(ROWS_AT_ONCE, dim=1):
        activations = gpt2.hidden(parameters, part[:, :, : ANSWER + 1], model, None, precision=precision)
        scores = gpt2.logits(parameters, activations[:, :, ANSWER:], precision=precision)
        answers.append(scores[:, :, 0].argmax(-1))
    return torch.cat(answers, dim=1)


def accuracies(answers: Int[Tensor, "replica sample"], expected: Int[Tensor, "replica sample"]) -> list[float]:
    """Per replica the share of rows answered as expected."""
    count = answers.shape[1]
    return [int(right) / count for right in (answers == expected).sum(1)]
