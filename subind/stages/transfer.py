"""The stage that trains recipients of arithmetic."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from subind.masks import hard as masks
from subind.specs import runs as specs
from subind.specs.runs import Donor, Mask, Transfer
from subind.stages.evaluation import accuracies, losses_and_predictions, predictions
from subind.stages.freezing import put_back, without_gradient
from subind.stages.run_files import MASK_FILE, WEIGHTS_FILE, ReadFile, donor_parameters, mask_bits
from subind.stages.sequences import SequenceMethod
from subind.starts.arithmetic import Recipient, recipient
from subind.tasks import arithmetic
from subind.training import tensors
from subind.training.best_epoch import is_kept
from subind.training.draws import Stream
from subind.training.loop import Runtime, Verdict
from subind.training.tensors import Parameters, rows_on, trainable_on


def recipient_of(spec: Transfer, read: ReadFile) -> Recipient:
    """The recipient before training. Raises ValueError if it does not exist, or a parent's file is damaged."""
    donor_spec = next((each for each in specs.lineage(spec) if isinstance(each, Donor)), None)
    mask_spec = next((each for each in specs.lineage(spec) if isinstance(each, Mask)), None)
    return recipient(
        spec.control,
        donor=None if donor_spec is None else donor_parameters(read(donor_spec, WEIGHTS_FILE), donor_spec),
        mask=None if mask_spec is None else mask_bits(read(mask_spec, MASK_FILE), mask_spec),
        vocabulary_size=arithmetic.vocabulary_size(spec.task),
        seed=spec.seed,
    )


def _shares(found: Recipient) -> dict[str, float]:
    """How much of the weights under the mask starts from the donor, and how much is frozen."""
    shares = {"kept_fraction": masks.density(found.inherited), "frozen_fraction": masks.density(found.kept)}
    shares |= {f"kept_fraction.{name}": share for name, share in masks.densities(found.inherited).items()}
    shares |= {f"frozen_fraction.{name}": share for name, share in masks.densities(found.kept).items()}
    return shares


class TransferMethod(SequenceMethod):
    """Trains recipients; the best epoch has the highest validation accuracy.

    `trainable` holds the donor's values where a weight is frozen: it has no gradient, and `hold` undoes its decay.
    """

    order_stream: Stream = "transfer/order"
    dropout_stream: Stream | None = "transfer/dropout"

    def __init__(self, starts: Sequence[tuple[Transfer, Recipient]], runtime: Runtime) -> None:
        pack, made = [spec for spec, _ in starts], [own for _, own in starts]
        super().__init__([*pack], rows_on(runtime.device, [arithmetic.training_samples(spec) for spec in pack]))
        self.shares = {spec: _shares(own) for spec, own in starts}
        self.trainable = trainable_on(runtime.device, tensors.stacked([each.own for each in made]))
        self.frozen = tuple(made[0].kept) if any(each["frozen_fraction"] for each in self.shares.values()) else ()
        for name in self.frozen:
            self.constants[f"kept.{name}"] = torch.stack([each.kept[name] for each in made]).to(runtime.device)
            self.constants[f"donor.{name}"] = torch.stack([each.donor[name] for each in made]).to(runtime.device)
        self.hold()
        validation = [arithmetic.validation_samples(spec) for spec in pack]
        self.constants["validation"] = rows_on(runtime.device, validation)
        self.constants["rivals"] = _padded(
            [arithmetic.rival_answers(spec, rows) for spec, rows in zip(pack, validation, strict=True)]
        ).to(runtime.device)

    def begin(self, epoch: int) -> None:
        """Nothing: all epochs of a transfer are alike."""

    def effective(self) -> Parameters:
        return self.trainable | without_gradient(self.trainable, self.constants, self.frozen)

    def hold(self) -> None:
        put_back(self.trainable, self.constants, self.frozen, source="donor")

    @torch.no_grad()
    def evaluate(self, epoch: int) -> list[Verdict]:
        first = self.replicas[0].spec
        assert isinstance(first, Transfer)
        rows, model, precision = self.constants["validation"], self.model, self.precision
        losses, answers = losses_and_predictions(self.trainable, rows, model, precision=precision)
        measured = [{"validation_loss": loss} for loss in losses.tolist()]
        for each, accuracy in zip(measured, accuracies(answers, rows[:, :, -1]), strict=True):
            each["validation_accuracy"] = accuracy
        if first.num_ambiguous:
            seen = self.tokens[:, : first.num_ambiguous]
            right = accuracies(predictions(self.trainable, seen, model, precision=precision), seen[:, :, -1])
            for each, accuracy in zip(measured, right, strict=True):
                each["ambiguous_accuracy"] = accuracy
        return [self._verdict(index, each, answers) for index, each in enumerate(measured)]

    def _verdict(self, index: int, measured: dict[str, float], answers: Int[Tensor, "replica sample"]) -> Verdict:
        replica = self.replicas[index]
        assert isinstance(replica.spec, Transfer)
        for rival, expected in zip(replica.spec.rivals, self.constants["rivals"][index], strict=False):
            agreement = accuracies(answers[index : index + 1], expected.unsqueeze(0))[0]
            measured[f"rival_agreement.{rival}"] = agreement
        earlier = replica.curves.get("validation_accuracy", [])
        best = is_kept(measured["validation_accuracy"], earlier, replica.spec.kept_epoch)
        return Verdict(measurements=measured, best=best, stop=False)

    @torch.no_grad()
    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        spec = self.replicas[index].spec
        assert isinstance(spec, Transfer)
        rows = arithmetic.test_samples(spec).to(self.tokens.device).unsqueeze(0)
        parameters = {name: each.unsqueeze(0) for name, each in best.items()}
        answers = predictions(parameters, rows, specs.model(spec), precision=spec.precision)
        measured = {"test_accuracy": accuracies(answers, rows[:, :, -1])[0], "seen_share": arithmetic.seen_share(spec)}
        return {**self.shares[spec], **measured}, {}


def _padded(answers: Sequence[Int[Tensor, "_ sample"]]) -> Int[Tensor, "replica rival sample"]:
    """Stacked with rows of -1, which no prediction equals, where a replica has fewer rivals than another."""
    return torch.nn.utils.rnn.pad_sequence(list(answers), batch_first=True, padding_value=-1)
