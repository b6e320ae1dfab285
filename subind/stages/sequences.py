"""The loss of a pack of sequence models: next-token cross-entropy with dropout, on rows that differ by replica."""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from subind.kernels import functions as cpu
from subind.networks import gpt2
from subind.specs import runs as specs
from subind.specs.runs import ArithmeticSpec
from subind.training.draws import DrawStream, DropoutStream, Stream, dropout_stream
from subind.training.loop import Replica
from subind.training.tensors import Parameters

INPUT_LENGTH = 3
"""The model reads [a, b, =]; reading the answer as well would change no predicted position."""


class SequenceMethod:
    """What the methods of arithmetic share: `tokens` are the training rows of every replica."""

    evaluations_per_epoch = 1
    dropout_stream: Stream | None = None

    def __init__(self, pack: list[ArithmeticSpec], tokens: Int[Tensor, "replica sample position"]) -> None:
        self.replicas = [Replica(spec=spec) for spec in pack]
        self.constants: Parameters = {"tokens": tokens}
        self.statistics: Parameters = {}
        self.model, self.precision = specs.model(pack[0]), pack[0].precision
        stream, device = self.dropout_stream, str(tokens.device)
        self.draws: list[DrawStream] = []
        if stream:
            self.draws = [dropout_stream(stream, spec.seed, device) for spec in pack]

    @property
    def tokens(self) -> Int[Tensor, "replica sample position"]:
        return self.constants["tokens"]

    @property
    def num_samples(self) -> int:
        return self.tokens.shape[1]

    def expect(self, epoch: int, batches: Iterable[Int[Tensor, "replica _"]]) -> None:
        """Nothing: all training rows are on the device."""

    def load(self, rows: Int[Tensor, "replica batch"]) -> None:
        """Nothing, likewise."""

    def effective(self) -> Parameters:
        """The parameters of a training step of the epoch that has begun, as a function of `trainable`."""
        raise NotImplementedError

    def losses(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, " replica"]:
        batch = self.tokens.gather(1, rows.unsqueeze(2).expand(-1, -1, self.tokens.shape[2]))
        factors = self.dropout(batch.shape[1])
        return sequence_loss(self.effective(), batch, self.model, factors, precision=self.precision)

    def dropout(self, batch: int) -> gpt2.Dropout | None:
        """The next factors of every replica; None where the model has no dropout or trains without."""
        rate = self.model.dropout
        if not self.draws or rate == 0:
            return None
        count = gpt2.Dropout.num_factors(self.model, batch, INPUT_LENGTH)
        factors = torch.empty(len(self.draws), count, device=self.tokens.device)
        for row, each in zip(factors, self.draws, strict=True):
            assert isinstance(each, DropoutStream)
            each.fill(row, rate)
        return gpt2.Dropout(factors, batch, INPUT_LENGTH, self.model)


def sequence_loss(
    parameters: Mapping[str, Tensor],
    batch: Int[Tensor, "replica batch position"],
    model: specs.GPT2,
    dropout: gpt2.Dropout | None,
    *,
    precision: specs.Precision = "float32",
) -> Float[Tensor, " replica"]:
    """Next-token cross-entropy over the predicted positions (b, =, c), mean over positions and rows, per replica."""
    activations = gpt2.hidden(parameters, batch[:, :, :INPUT_LENGTH], model, dropout, precision=precision)
    scores = gpt2.logits(parameters, activations, precision=precision)
    rows, answers = scores.flatten(0, 2), batch[:, :, 1:].flatten()
    losses = cpu.cross_entropy(rows, answers) if cpu.takes(rows) else _cross_entropy(rows, answers)
    return losses.view(len(batch), -1).mean(1)


def _cross_entropy(scores: Float[Tensor, "row vocabulary"], answers: Int[Tensor, " row"]) -> Float[Tensor, " row"]:
    return F.cross_entropy(scores, answers, reduction="none")
