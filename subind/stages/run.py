"""The three stages: train a donor, discover a mask, train a recipient. Each takes a pack of specs of one shape.

A stage reads its parents' files through a function that the caller gives, and hands out every replica as soon as it is
done; it neither knows the store nor commits.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from subind.masks import hard as masks
from subind.masks.hard import HardMask
from subind.networks import gpt2
from subind.specs import runs as specs
from subind.specs.runs import Donor, ImageDonor, ImageMask, ImageTransfer, Mask, Spec, Transfer
from subind.specs.tuning import TuningValidation
from subind.stages.evaluation import accuracies, losses_and_predictions, predictions
from subind.stages.image_donor import ImageDonorMethod, initial_network
from subind.stages.image_mask import ImageMaskMethod, masked_network
from subind.stages.image_transfer import ImageTransferMethod, image_recipient_of
from subind.stages.isolation import isolated
from subind.stages.run_files import IMPORTED_FILE, MASK_FILE, WEIGHTS_FILE, ReadFile, donor_parameters
from subind.stages.sequences import SequenceMethod
from subind.stages.transfer import TransferMethod, recipient_of
from subind.tasks import arithmetic
from subind.training import tensors
from subind.training.best_epoch import is_kept, num_epochs_since_better
from subind.training.draws import Stream, generator
from subind.training.loop import (
    Finished,
    Method,
    Replica,
    ReportProgress,
    Runtime,
    SaveCheckpoint,
    Trainer,
    Verdict,
)
from subind.training.tensors import Parameters, constants_on, rows_on, trainable_on

__all__ = [
    "IMPORTED_FILE", "MASK_FILE", "WEIGHTS_FILE", "DonorMethod", "MaskMethod", "ReadFile", "Resumed", "TransferMethod",
    "donor_parameters", "method_of", "run",
]  # fmt: skip

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A checkpoint to go on from: its tensors and JSON state, and where in it each replica of the pack stands."""

    tensors: Mapping[str, Tensor]
    state: str
    places: list[int]


def run(
    pack: Sequence[Spec],
    *,
    read: ReadFile,
    runtime: Runtime,
    save: SaveCheckpoint,
    report: ReportProgress,
    resumed: Resumed | None = None,
    refuse: Callable[[str], None] = _log.warning,
) -> Iterator[Finished]:
    """Compute a pack of runs, handing out each as it is done; one that cannot be is handed out with its failure.

    The specs must be of one shape (`specs.pack_shape`). `read(parent, file)` gives a parent's file, or the weights a
    donor starts from. `refuse` takes a line on why a checkpoint cannot be gone on from; training starts over then.
    """
    assert len({specs.pack_shape(spec) for spec in pack}) == 1, "the specs of a pack are of one shape"
    torch.set_num_threads(runtime.num_threads)
    method, failed = method_of(pack, read, runtime)
    yield from failed
    if method is None:
        return
    trainer = Trainer(method, runtime)
    if resumed is not None:
        alive = {replica.spec for replica in method.replicas}
        places = [place for spec, place in zip(pack, resumed.places, strict=True) if spec in alive]
        try:
            trainer.resume(resumed.tensors, resumed.state, places)
        except ValueError as error:
            refuse(f"the checkpoint is not resumed from, and training starts over: {error}")
    yield from trainer.run(save=save, report=report)


def method_of(pack: Sequence[Spec], read: ReadFile, runtime: Runtime) -> tuple[Method | None, list[Finished]]:
    """What the loop trains for a pack of one shape, None if nothing is left to train, and the runs that cannot be."""
    match pack[0]:
        case Donor():
            donors = [spec for spec in pack if isinstance(spec, Donor)]
            return isolated(donors, partial(_initial, read=read), DonorMethod, runtime)
        case Mask():
            masked = [spec for spec in pack if isinstance(spec, Mask)]
            return isolated(masked, partial(_masked_donor, read=read), MaskMethod, runtime)
        case Transfer():
            recipients = [spec for spec in pack if isinstance(spec, Transfer)]
            return isolated(recipients, partial(recipient_of, read=read), TransferMethod, runtime)
        case ImageDonor():
            image_donors = [spec for spec in pack if isinstance(spec, ImageDonor)]
            return isolated(image_donors, partial(initial_network, read=read), ImageDonorMethod, runtime)
        case ImageMask():
            image_masks = [spec for spec in pack if isinstance(spec, ImageMask)]
            return isolated(image_masks, partial(masked_network, read=read), ImageMaskMethod, runtime)
        case ImageTransfer():
            image_recipients = [spec for spec in pack if isinstance(spec, ImageTransfer)]
            return isolated(image_recipients, partial(image_recipient_of, read=read), ImageTransferMethod, runtime)
        case _:
            assert_never(pack[0])


def _initial(donor: Donor, read: ReadFile) -> Parameters:
    match donor.weights:
        case specs.FreshWeights():
            size = arithmetic.vocabulary_size(donor.task)
            return gpt2.initial(donor.model, size, generator("donor/initial", donor.seed))
        case specs.ImportedWeights():
            return donor_parameters(read(donor, IMPORTED_FILE), donor)
        case _:
            assert_never(donor.weights)


def _masked_donor(mask: Mask, read: ReadFile) -> Parameters:
    return donor_parameters(read(mask.donor, WEIGHTS_FILE), mask.donor)


class DonorMethod(SequenceMethod):
    """Trains whole networks; the best epoch has the lowest evaluation loss."""

    order_stream: Stream = "donor/order"
    dropout_stream: Stream | None = "donor/dropout"

    def __init__(self, starts: Sequence[tuple[Donor, Parameters]], runtime: Runtime) -> None:
        """From the parameters that each donor starts from."""
        pack = [spec for spec, _ in starts]
        super().__init__([*pack], rows_on(runtime.device, [arithmetic.training_samples(spec) for spec in pack]))
        self.trainable = trainable_on(runtime.device, tensors.stacked([own for _, own in starts]))
        validation = rows_on(runtime.device, [arithmetic.validation_samples(spec) for spec in pack])
        self.constants["validation"] = validation

    def begin(self, epoch: int) -> None:
        """Nothing: all epochs of a donor are alike."""

    def effective(self) -> Parameters:
        return self.trainable

    def hold(self) -> None:
        """Nothing: every weight of a donor moves."""

    def evaluate(self, epoch: int) -> list[Verdict]:
        rows = self.constants["validation"]
        losses, answers = losses_and_predictions(self.trainable, rows, self.model, precision=self.precision)
        right = accuracies(answers, rows[:, :, -1])
        return [
            self._verdict(replica, {"validation_loss": loss, "validation_accuracy": accuracy})
            for replica, loss, accuracy in zip(self.replicas, losses.tolist(), right, strict=True)
        ]

    def _verdict(self, replica: Replica, measured: dict[str, float]) -> Verdict:
        assert isinstance(replica.spec, Donor)
        scores = [-loss for loss in (*replica.curves.get("validation_loss", []), measured["validation_loss"])]
        best = is_kept(scores[-1], scores[:-1], replica.spec.kept_epoch)
        return Verdict(measurements=measured, best=best, stop=num_epochs_since_better(scores) >= replica.spec.patience)

    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        state = gpt2.to_transformers({name: tensor.cpu() for name, tensor in best.items()})
        return {}, {WEIGHTS_FILE: save_tensors(state)}


class MaskMethod(SequenceMethod):
    """Trains mask logits over a frozen donor in evaluation mode; the best epoch has the highest hard-mask accuracy."""

    order_stream: Stream = "mask/order"

    def __init__(self, starts: Sequence[tuple[Mask, Parameters]], runtime: Runtime) -> None:
        """From the parameters of each mask's donor."""
        pack, donors = [spec for spec, _ in starts], tensors.stacked([donor for _, donor in starts])
        self.matrices = gpt2.matrices(pack[0].donor.model)
        initial = torch.tensor([spec.initial_logit for spec in pack])
        super().__init__([*pack], rows_on(runtime.device, [arithmetic.training_samples(spec) for spec in pack]))
        self.trainable = trainable_on(
            runtime.device,
            {name: initial.view(-1, 1, 1).expand(donors[name].shape).contiguous() for name in self.matrices},
        )
        self.constants |= constants_on(runtime.device, {f"donor.{name}": tensor for name, tensor in donors.items()})
        self.is_tuned = isinstance(pack[0].validation, TuningValidation)
        validation = arithmetic.tuning_samples if self.is_tuned else arithmetic.validation_samples
        self.constants["validation"] = rows_on(runtime.device, [validation(spec) for spec in pack])
        self.constants["penalty"] = torch.tensor([spec.penalty for spec in pack]).to(runtime.device)
        self.constants["temperature"] = torch.ones_like(self.constants["penalty"])

    def begin(self, epoch: int) -> None:
        self.constants["temperature"].copy_(torch.tensor(self._temperatures(epoch)))

    def effective(self) -> Parameters:
        donor, temperature, penalty = self._donor(), self.constants["temperature"], self.constants["penalty"]
        return donor | {
            name: masks.softly_masked(donor[name], self.trainable[name], temperature, penalty) for name in self.matrices
        }

    def hold(self) -> None:
        """Nothing: every logit moves, and the donor is not trained."""

    def evaluate(self, epoch: int) -> list[Verdict]:
        rows = self.constants["validation"]
        hard = {name: masks.binarise(self.trainable[name].detach()) for name in self.matrices}
        losses, answers = losses_and_predictions(self._masked(hard), rows, self.model, precision=self.precision)
        right, temperatures = accuracies(answers, rows[:, :, -1]), self._temperatures(epoch)
        soft = self._soft_accuracies() if self.is_tuned else []
        name = "tuning_accuracy" if self.is_tuned else "subtask_accuracy"
        verdicts = []
        for index, (replica, loss) in enumerate(zip(self.replicas, losses.tolist(), strict=True)):
            mask = {matrix: bits[index] for matrix, bits in hard.items()}
            measured = {name: right[index], "validation_loss": loss, "temperature": temperatures[index]}
            measured |= {"density": masks.density(mask)}
            measured |= {f"density.{matrix}": share for matrix, share in masks.densities(mask).items()}
            if self.is_tuned:
                measured |= {"soft_accuracy": soft[index], "soft_hard_gap": soft[index] - right[index]}
            assert isinstance(replica.spec, Mask)
            best = is_kept(right[index], replica.curves.get(name, []), replica.spec.kept_epoch)
            verdicts.append(Verdict(measurements=measured, best=best, stop=False))
        return verdicts

    @torch.no_grad()
    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        hard = {name: masks.binarise(logits) for name, logits in best.items()}
        reported = {"subtask_accuracy": self._reported_accuracy(index, hard)} if self.is_tuned else {}
        return reported, {MASK_FILE: masks.packed_bits(hard)}

    @torch.no_grad()
    def _soft_accuracies(self) -> list[float]:
        """Of the soft masks of the epoch that has just been trained, on the samples that judge the hard ones."""
        rows = self.constants["validation"]
        soft = {name: self._soft(self.trainable[name]) for name in self.matrices}
        answers = predictions(self._masked(soft), rows, self.model, precision=self.precision)
        return accuracies(answers, rows[:, :, -1])

    def _soft(self, logits: Tensor) -> Tensor:
        """Replica by replica: on a CPU, numbers that do not fill a vector at the end are rounded differently."""
        pairs = zip(self.constants["temperature"], logits, strict=True)
        return torch.stack([torch.sigmoid(temperature * own) for temperature, own in pairs])

    def _reported_accuracy(self, index: int, hard: HardMask) -> float:
        """Of one hard mask, on the samples that nothing was tuned on."""
        spec = self.replicas[index].spec
        assert isinstance(spec, Mask)
        rows = arithmetic.validation_samples(spec).unsqueeze(0).to(self.tokens.device)
        donor = {name: tensor[index : index + 1] for name, tensor in self._donor().items()}
        parameters = donor | {name: donor[name] * hard[name] for name in self.matrices}
        return accuracies(predictions(parameters, rows, self.model, precision=self.precision), rows[:, :, -1])[0]

    def _masked(self, factors: Parameters) -> Parameters:
        donor = self._donor()
        return donor | {name: donor[name] * factors[name] for name in self.matrices}

    def _temperatures(self, epoch: int) -> list[float]:
        found = [replica.spec for replica in self.replicas if isinstance(replica.spec, Mask)]
        return [spec.temperature.temperature(epoch, num_epochs=spec.num_epochs) for spec in found]

    def _donor(self) -> Parameters:
        prefix = "donor."
        return {name.removeprefix(prefix): each for name, each in self.constants.items() if name.startswith(prefix)}
