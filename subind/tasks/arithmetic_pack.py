"""The tasks of a pack on integer tokens: the loss and the predictions of all replicas at once."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from subind.kernels import functions as cpu
from subind.tasks.task import ROWS_AT_ONCE, Ask, Decisions, PackOrder, Rows, key, training_rows
from subind.training.tensors import Inputs, Parameters, Tokens

Batch = Int[Tensor, "replica row position"]


class ArithmeticPack:
    """Rows that lie on the device; `judged` are the rows that epochs are judged on if not the runs' own.

    Recipients are also measured on the ambiguous rows that they are trained on, and against the task's rivals.
    """

    def __init__(
        self, tasks: Sequence[Any], order: PackOrder, *, judged: Sequence[Int[Tensor, "row position"]] | None
    ) -> None:
        self._tasks, self._runs = list(tasks), list(order.runs)
        self._num_evaluation_samples = order.num_evaluation_samples
        self._device, self._purpose = order.device, order.purpose
        self._is_tuned = judged is not None
        self._read: Literal["all", "last"] = "all" if tasks[0].positions == "all_predicted" else "last"
        replicas = zip(tasks, order.parts, order.runs, strict=True)
        validation = judged or [self._evaluation(index, "validation") for index in range(len(tasks))]
        training = [
            training_rows(task, parts, run, order.purpose)["tokens"] if parts else validation[0][:0]
            for task, parts, run in replicas
        ]
        self.constants: Parameters = {"rows": self._placed(training), "validation": self._placed(validation)}
        self._ambiguous: slice | None = None
        if self._runs[0].stage == "transfer":
            self._ambiguous = _place_of("ambiguous", order.parts[0])
            self._add_rivals(validation)
        self.num_rows = training[0].shape[0]

    def _evaluation(self, index: int, split: str) -> Int[Tensor, "row position"]:
        own = key(self._runs[index], split, self._purpose)
        tokens: Tensor = self._tasks[index].rows(split, num_rows=self._num_evaluation_samples, key=own)["tokens"]
        return tokens

    def _placed(self, several: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(several)).to(self._device)

    def _add_rivals(self, validation: Sequence[Int[Tensor, "row position"]]) -> None:
        """Set what the rivals answer [replica rival row]; -1, which nothing predicts, where a replica has fewer."""
        answers = [task.rival_answers(tokens) for task, tokens in zip(self._tasks, validation, strict=True)]
        padded = torch.nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=-1)
        self.constants["rivals"] = padded.to(self._device)

    # ---- training

    def expect(self, epoch: int, batches: Iterable[Int[Tensor, "replica _"]]) -> None:
        """Nothing: all training rows are on the device."""

    def at(self, step: int) -> None:
        """Nothing: a step draws nothing."""

    def load(self, rows: Int[Tensor, "replica batch"]) -> None:
        """Nothing: all training rows are on the device."""

    def batch(self, rows: Int[Tensor, "replica batch"]) -> tuple[Inputs, Rows]:
        tokens = self.constants["rows"]
        chosen = tokens.gather(1, rows.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
        return self._inputs(chosen), {"tokens": chosen}

    def losses(self, outputs: Tensor, rows: Rows) -> Float[Tensor, " replica"]:
        """Next-token cross-entropy, mean over rows and positions. On a CPU it overwrites the outputs."""
        scores, targets = outputs.flatten(0, 2).contiguous(), _targets(outputs, rows["tokens"])
        losses = cpu.cross_entropy(scores, targets) if cpu.takes(scores) else _cross_entropy(scores, targets)
        return losses.view(len(outputs), -1).mean(1)

    def _inputs(self, tokens: Batch) -> Tokens:
        return Tokens(tokens=tokens[:, :, :-1], read=self._read)

    # ---- evaluation

    @torch.no_grad()
    def evaluate(self, ask: Ask) -> list[dict[str, float]]:
        tokens = self.constants["validation"]
        losses, answers = self._losses_and_answers(ask, tokens)
        known = [] if self._ambiguous is None else self._on_ambiguous(ask, self._ambiguous)
        measured = []
        for index, (loss, task) in enumerate(zip(losses, self._tasks, strict=True)):
            own = {"validation_loss": loss}
            own |= _named("validation", task.accuracies(answers[index], tokens[index]))
            own |= {"ambiguous_accuracy": known[index]} if known else {}
            measured.append(own | self._agreements(index, answers[index]))
        return measured

    def _on_ambiguous(self, ask: Ask, place: slice) -> list[float]:
        """The accuracy of each replica on the ambiguous rows that it is trained on."""
        tokens = self.constants["rows"][:, place]
        rights = (_answers(ask, tokens) == tokens[:, :, -1]).sum(1)
        return [int(right) / tokens.shape[1] for right in rights]

    @torch.no_grad()
    def final(self, ask: Ask, index: int) -> dict[str, float]:
        """Of a recipient the accuracy on test rows; of a tuned mask that on its own evaluation rows."""
        match self._runs[index].stage:
            case "transfer":
                tested = self._evaluation(index, "test")
                share = seen_share(self.constants["rows"][index].cpu(), tested)
                return {**self._accuracies(ask, index, tested, "test"), "seen_share": share}
            case "mask" if self._is_tuned:
                return self._accuracies(ask, index, self._evaluation(index, "validation"), "subtask")
            case _:
                return {}

    @torch.no_grad()
    def test(self, ask: Ask, index: int) -> dict[str, float]:
        tokens = self._evaluation(index, "test").to(self._device)
        losses, answers = self._losses_and_answers(ask, tokens.unsqueeze(0))
        return {"test_loss": losses[0], **_named("test", self._tasks[index].accuracies(answers[0], tokens))}

    @torch.no_grad()
    def decisions(self, ask: Ask, index: int) -> Decisions:
        """The answers; a token that is no integer is a class too."""
        tokens = self._evaluation(index, "test")
        predicted = _answers(ask, tokens.to(self._device).unsqueeze(0))[0]
        return Decisions(predicted=predicted.cpu(), expected=tokens[:, -1])

    def select(self, index: Sequence[int]) -> None:
        self._tasks = [self._tasks[place] for place in index]
        self._runs = [self._runs[place] for place in index]

    def _losses_and_answers(self, ask: Ask, tokens: Batch) -> tuple[list[float], Int[Tensor, "replica row"]]:
        losses, answers = [], []
        for part in tokens.split(ROWS_AT_ONCE, dim=1):
            outputs = ask(self._inputs(part))
            losses.append(_cross_entropy(outputs.flatten(0, 2), _targets(outputs, part)).view(len(tokens), -1))
            answers.append(outputs[:, :, -1].argmax(-1))
        # one after another, for a sum of one row need not be that of the row among others, bit for bit
        return [float(each.mean()) for each in torch.cat(losses, dim=1)], torch.cat(answers, dim=1)

    def _agreements(self, index: int, answers: Int[Tensor, " row"]) -> dict[str, float]:
        if "rivals" not in self.constants:
            return {}
        pairs = zip(self._tasks[index].rivals, self.constants["rivals"][index], strict=False)
        return {f"rival_agreement.{rival}": int((answers == each).sum()) / len(answers) for rival, each in pairs}

    def _accuracies(self, ask: Ask, index: int, tokens: Int[Tensor, "row position"], name: str) -> dict[str, float]:
        """The accuracies of one network, a pack of one."""
        placed = tokens.to(self._device)
        return _named(name, self._tasks[index].accuracies(_answers(ask, placed.unsqueeze(0))[0], placed))


def seen_share(trained: Int[Tensor, "row position"], tested: Int[Tensor, "other position"]) -> float:
    """The share of the tested rows of which operands and operation are among the trained ones."""
    seen = {tuple(row) for row in trained[:, :-1].tolist()}
    return sum(tuple(row) in seen for row in tested[:, :-1].tolist()) / len(tested)


def _answers(ask: Ask, tokens: Batch) -> Int[Tensor, "replica row"]:
    """The answer that each network predicts for every row; only one position meets the head."""
    parts = (Tokens(tokens=part[:, :, :-1], read="last") for part in tokens.split(ROWS_AT_ONCE, dim=1))
    return torch.cat([ask(part)[:, :, -1].argmax(-1) for part in parts], dim=1)


def _targets(outputs: Tensor, tokens: Batch) -> Int[Tensor, " target"]:
    """The next tokens of the positions that the outputs [replica row position vocabulary] are of: the last ones."""
    return tokens[:, :, -outputs.shape[2] :].flatten()


def _cross_entropy(scores: Float[Tensor, "row vocabulary"], targets: Int[Tensor, " row"]) -> Float[Tensor, " row"]:
    return F.cross_entropy(scores, targets, reduction="none")


def _named(prefix: str, measured: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in measured.items()}


def _place_of(name: str, parts: Sequence[Any]) -> slice | None:
    """Where the rows of a part stand among those of an epoch; None if there are none."""
    first = 0
    for part in parts:
        if part.name == name and part.num_samples:
            return slice(first, first + part.num_samples)
        first += part.num_samples
    return None
