"""The three stages: train a donor, discover a mask, train a recipient. Each takes a pack of specs of one shape.

A stage reads its parents' files through a function that the caller gives, and hands out every replica as soon as it is
done; it neither knows the store nor commits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import torch
from jaxtyping import Int
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from subind import masks
from subind import spec as specs
from subind.controls import recipient
from subind.evaluation import accuracies, losses_and_predictions, predictions
from subind.masks import HardMask
from subind.models import cpu, gpt2
from subind.models.gpt2 import Parameters
from subind.randomness import Stream, generator
from subind.spec import Donor, Mask, Spec, Transfer
from subind.tasks import arithmetic
from subind.training import Finished, Replica, ReportProgress, Runtime, SaveCheckpoint, Trainer, Verdict
from subind.tuning_spec import TuningValidation

WEIGHTS_FILE = "weights.safetensors"
"""A donor's parameters, named and laid out as transformers' GPT2LMHeadModel has them."""
MASK_FILE = "mask.safetensors"
"""A mask's packed bits."""

IMPORTED_FILE = "imported.safetensors"
"""The weights from which a donor with imported weights starts."""

ReadFile = Callable[[Donor | Mask, str], bytes]


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
) -> Iterator[Finished]:
    """Compute a pack of runs, handing out each as it is done; one that cannot be is handed out with its failure.

    The specs must be of one shape (`specs.pack_shape`). `read(parent, file)` gives a parent's file, or the weights a
    donor starts from.
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
        trainer.resume(resumed.tensors, resumed.state, places)
    yield from trainer.run(save=save, report=report)


def method_of(
    pack: Sequence[Spec], read: ReadFile, runtime: Runtime
) -> tuple["DonorMethod | MaskMethod | TransferMethod | None", list[Finished]]:
    """What the loop trains for a pack of one shape, None if nothing is left to train, and the runs that cannot be."""
    match specs.stage(pack[0]):
        case "donor":
            return DonorMethod([spec for spec in pack if isinstance(spec, Donor)], read, runtime), []
        case "mask":
            return MaskMethod([spec for spec in pack if isinstance(spec, Mask)], read, runtime), []
        case "transfer":
            return _transfers([spec for spec in pack if isinstance(spec, Transfer)], read, runtime)
        case other:
            assert_never(other)


def donor_parameters(content: bytes, donor: Donor) -> Parameters:
    """A donor's parameters from its weights file, or from any safetensors file of such a GPT2LMHeadModel.

    Raises ValueError if the content is no safetensors file or its tensors are not the model's.
    """
    try:
        tensors = load_tensors(content)
    except SafetensorError as error:
        raise ValueError(f"the weights are no safetensors file ({error}): save them with safetensors.torch") from None
    return gpt2.from_transformers(tensors, donor.model, arithmetic.vocabulary_size(donor.task))


def _on(device: str, tensors: Mapping[str, Tensor]) -> Parameters:
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _trainable(device: str, tensors: Mapping[str, Tensor]) -> Parameters:
    return {name: tensor.to(device).clone().requires_grad_() for name, tensor in tensors.items()}


def _rows(device: str, rows: Sequence[Int[Tensor, "sample position"]]) -> Int[Tensor, "replica sample position"]:
    return torch.stack(list(rows)).to(device)


def _initial(donor: Donor, read: ReadFile) -> Parameters:
    match donor.weights:
        case specs.FreshWeights():
            size = arithmetic.vocabulary_size(donor.task)
            return gpt2.initial(donor.model, size, generator("donor/initial", donor.seed))
        case specs.ImportedWeights():
            return donor_parameters(read(donor, IMPORTED_FILE), donor)
        case _:
            assert_never(donor.weights)


class DonorMethod:
    """Trains whole networks; the best epoch has the lowest evaluation loss."""

    order_stream: Stream = "donor/order"
    dropout_stream: Stream | None = "donor/dropout"

    def __init__(self, pack: Sequence[Donor], read: ReadFile, runtime: Runtime) -> None:
        self.replicas = [Replica(spec=spec) for spec in pack]
        self.trainable = _trainable(runtime.device, gpt2.stacked([_initial(spec, read) for spec in pack]))
        self.tokens = _rows(runtime.device, [arithmetic.training_samples(spec) for spec in pack])
        validation = _rows(runtime.device, [arithmetic.validation_samples(spec) for spec in pack])
        self.constants = {"validation": validation}

    def begin(self, epoch: int) -> None:
        """Nothing: all epochs of a donor are alike."""

    def effective(self) -> Parameters:
        return self.trainable

    def hold(self) -> None:
        """Nothing: every weight of a donor moves."""

    def evaluate(self, epoch: int) -> list[Verdict]:
        rows = self.constants["validation"]
        model, precision = specs.model(self.replicas[0].spec), self.replicas[0].spec.precision
        losses, answers = losses_and_predictions(self.trainable, rows, model, precision=precision)
        right = accuracies(answers, rows[:, :, -1])
        return [
            self._verdict(replica, epoch, {"validation_loss": loss, "validation_accuracy": accuracy})
            for replica, loss, accuracy in zip(self.replicas, losses.tolist(), right, strict=True)
        ]

    def _verdict(self, replica: Replica, epoch: int, measured: dict[str, float]) -> Verdict:
        assert isinstance(replica.spec, Donor)
        best = measured["validation_loss"] < min(replica.curves.get("validation_loss", []), default=float("inf"))
        waited = 0 if best else epoch - replica.best_epoch
        return Verdict(measurements=measured, best=best, stop=waited >= replica.spec.patience)

    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        state = gpt2.to_transformers({name: tensor.cpu() for name, tensor in best.items()})
        return {}, {WEIGHTS_FILE: save_tensors(state)}


class MaskMethod:
    """Trains mask logits over a frozen donor in evaluation mode; the best epoch has the highest hard-mask accuracy."""

    order_stream: Stream = "mask/order"
    dropout_stream: Stream | None = None

    def __init__(self, pack: Sequence[Mask], read: ReadFile, runtime: Runtime) -> None:
        donors = gpt2.stacked([donor_parameters(read(spec.donor, WEIGHTS_FILE), spec.donor) for spec in pack])
        self.matrices = gpt2.matrices(pack[0].donor.model)
        initial = torch.tensor([spec.initial_logit for spec in pack])
        self.replicas = [Replica(spec=spec) for spec in pack]
        self.trainable = _trainable(
            runtime.device,
            {name: initial.view(-1, 1, 1).expand(donors[name].shape).contiguous() for name in self.matrices},
        )
        self.tokens = _rows(runtime.device, [arithmetic.training_samples(spec) for spec in pack])
        self.constants = _on(runtime.device, {f"donor.{name}": tensor for name, tensor in donors.items()})
        self._model, self._precision = specs.model(pack[0]), pack[0].precision
        self.is_tuned = isinstance(pack[0].validation, TuningValidation)
        validation = arithmetic.tuning_samples if self.is_tuned else arithmetic.validation_samples
        self.constants["validation"] = _rows(runtime.device, [validation(spec) for spec in pack])
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
        losses, answers = losses_and_predictions(self._masked(hard), rows, self._model, precision=self._precision)
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
            best = right[index] >= max(replica.curves.get(name, []), default=0.0)
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
        rows, temperature = self.constants["validation"], self.constants["temperature"].view(-1, 1, 1)
        soft = {name: torch.sigmoid(temperature * self.trainable[name]) for name in self.matrices}
        answers = predictions(self._masked(soft), rows, self._model, precision=self._precision)
        return accuracies(answers, rows[:, :, -1])

    def _reported_accuracy(self, index: int, hard: HardMask) -> float:
        """Of one hard mask, on the samples that nothing was tuned on."""
        spec = self.replicas[index].spec
        rows = arithmetic.validation_samples(spec).unsqueeze(0).to(self.tokens.device)
        donor = {name: tensor[index : index + 1] for name, tensor in self._donor().items()}
        parameters = donor | {name: donor[name] * hard[name] for name in self.matrices}
        return accuracies(predictions(parameters, rows, self._model, precision=self._precision), rows[:, :, -1])[0]

    def _masked(self, factors: Parameters) -> Parameters:
        donor = self._donor()
        return donor | {name: donor[name] * factors[name] for name in self.matrices}

    def _temperatures(self, epoch: int) -> list[float]:
        found = [replica.spec for replica in self.replicas if isinstance(replica.spec, Mask)]
        return [spec.temperature.temperature(epoch, num_epochs=spec.num_epochs) for spec in found]

    def _donor(self) -> Parameters:
        prefix = "donor."
        return {name.removeprefix(prefix): each for name, each in self.constants.items() if name.startswith(prefix)}


def _transfers(
    pack: Sequence[Transfer], read: ReadFile, runtime: Runtime
) -> tuple["TransferMethod | None", list[Finished]]:
    """The method for those recipients that exist, and the failures of those that do not."""
    starts, failed = [], []
    for spec in pack:
        try:
            starts.append(_start(spec, read))
        except ValueError as error:
            replica = Replica(spec=spec, failure=str(error))
            failed.append(Finished(replica=replica, measurements={}, files={}))
    return (TransferMethod(starts, runtime) if starts else None), failed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    spec: Transfer
    own: Parameters
    donor: Parameters
    kept: HardMask
    shares: dict[str, float] = field(default_factory=dict)


def _start(spec: Transfer, read: ReadFile) -> _Start:
    donor_spec = next((each for each in specs.lineage(spec) if isinstance(each, Donor)), None)
    mask_spec = next((each for each in specs.lineage(spec) if isinstance(each, Mask)), None)
    found = recipient(
        spec.control,
        donor=None if donor_spec is None else donor_parameters(read(donor_spec, WEIGHTS_FILE), donor_spec),
        mask=None if mask_spec is None else masks.unpacked_bits(read(mask_spec, MASK_FILE)),
        vocabulary_size=arithmetic.vocabulary_size(spec.task),
        seed=spec.seed,
    )
    shares = {"kept_fraction": masks.density(found.inherited), "frozen_fraction": masks.density(found.kept)}
    shares |= {f"kept_fraction.{name}": share for name, share in masks.densities(found.inherited).items()}
    shares |= {f"frozen_fraction.{name}": share for name, share in masks.densities(found.kept).items()}
    return _Start(spec=spec, own=found.own, donor=found.donor, kept=found.kept, shares=shares)


class TransferMethod:
    """Trains recipients; the best epoch has the highest validation accuracy (the first among equals).

    `trainable` holds the donor's values where a weight is frozen: it has no gradient, and `hold` undoes its decay.
    """

    order_stream: Stream = "transfer/order"
    dropout_stream: Stream | None = "transfer/dropout"

    def __init__(self, starts: Sequence[_Start], runtime: Runtime) -> None:
        pack = [start.spec for start in starts]
        self.replicas = [Replica(spec=spec) for spec in pack]
        self.shares = {start.spec: start.shares for start in starts}
        self.trainable = _trainable(runtime.device, gpt2.stacked([start.own for start in starts]))
        self.tokens = _rows(runtime.device, [arithmetic.training_samples(spec) for spec in pack])
        self.frozen = tuple(starts[0].kept) if any(start.shares["frozen_fraction"] for start in starts) else ()
        self.constants = {}
        for name in self.frozen:
            self.constants[f"kept.{name}"] = torch.stack([start.kept[name] for start in starts]).to(runtime.device)
            self.constants[f"donor.{name}"] = torch.stack([start.donor[name] for start in starts]).to(runtime.device)
        self.hold()
        validation = [arithmetic.validation_samples(spec) for spec in pack]
        self.constants["validation"] = _rows(runtime.device, validation)
        self.constants["rivals"] = _padded(
            [arithmetic.rival_answers(spec, rows) for spec, rows in zip(pack, validation, strict=True)]
        ).to(runtime.device)

    def begin(self, epoch: int) -> None:
        """Nothing: all epochs of a transfer are alike."""

    def effective(self) -> Parameters:
        return self.trainable | {
            name: _WithFrozen.apply(self.trainable[name], self.constants[f"kept.{name}"]) for name in self.frozen
        }

    @torch.no_grad()
    def hold(self) -> None:
        for name in self.frozen:
            own = self.trainable[name]
            kept, donor = self.constants[f"kept.{name}"], self.constants[f"donor.{name}"]
            cpu.copy_where(kept, donor, own) if cpu.takes(own) else torch.where(kept, donor, own, out=own)

    @torch.no_grad()
    def evaluate(self, epoch: int) -> list[Verdict]:
        first = self.replicas[0].spec
        assert isinstance(first, Transfer)
        rows, model, precision = self.constants["validation"], specs.model(first), first.precision
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
        best = measured["validation_accuracy"] > max(replica.curves.get("validation_accuracy", []), default=-1.0)
        return Verdict(measurements=measured, best=best, stop=False)

    @torch.no_grad()
    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        spec = self.replicas[index].spec
        assert isinstance(spec, Transfer)
        rows = arithmetic.test_samples(spec).to(self.tokens.device).unsqueeze(0)
        parameters = {name: each.unsqueeze(0) for name, each in best.items()}
        answers = predictions(parameters, rows, specs.model(spec), precision=spec.precision)
        return {**self.shares[spec], "test_accuracy": accuracies(answers, rows[:, :, -1])[0]}, {}


class _WithFrozen(torch.autograd.Function):
    """The identity, whose gradient is zero for kept weights; it is zeroed in place, for nobody else reads it."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, kept: Tensor) -> Tensor:
        ctx.save_for_backward(kept)
        return own.view_as(own)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        (gradient,) = gradients
        return cpu.zero_where(kept, gradient) if cpu.takes(gradient) else gradient.masked_fill_(kept, 0), None


def _padded(answers: Sequence[Int[Tensor, "_ sample"]]) -> Int[Tensor, "replica rival sample"]:
    """Stacked with rows of -1, which no prediction equals, where a replica has fewer rivals than another."""
    return torch.nn.utils.rnn.pad_sequence(list(answers), batch_first=True, padding_value=-1)
