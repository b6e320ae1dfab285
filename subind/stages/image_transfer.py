"""The stage that trains recipients on images."""

from collections.abc import Sequence

import torch

from subind.masks import hard as masks
from subind.networks import vision
from subind.specs import runs as specs
from subind.specs.runs import ImageDonor, ImageMask, ImageTransfer
from subind.stages.freezing import put_back, without_gradient
from subind.stages.image_donor import one_network
from subind.stages.image_evaluation import Evaluations, tested
from subind.stages.image_training import ImageMethod
from subind.stages.run_files import BESIDE_FILE, MASK_FILE, WEIGHTS_FILE, ReadFile, image_mask_bits, loaded
from subind.starts.images import ImageRecipient, image_recipient
from subind.tasks import images
from subind.tasks.images import TrainingImages
from subind.training import tensors
from subind.training.draws import Stream
from subind.training.loop import Runtime, Verdict
from subind.training.tensors import Parameters, constants_on, trainable_on


def _shares(recipient: ImageRecipient) -> dict[str, float]:
    """How much of the weights under the mask starts from the donor, and how much is frozen."""
    found = {"kept_fraction": masks.density(recipient.inherited), "frozen_fraction": masks.density(recipient.kept)}
    found |= {f"kept_fraction.{name}": share for name, share in masks.densities(recipient.inherited).items()}
    found |= {f"frozen_fraction.{name}": share for name, share in masks.densities(recipient.kept).items()}
    return found


def image_recipient_of(spec: ImageTransfer, read: ReadFile) -> ImageRecipient:
    """The recipient before training. Raises ValueError if it does not exist, or a parent's file is damaged."""
    donor = next((each for each in specs.lineage(spec) if isinstance(each, ImageDonor)), None)
    mask = next((each for each in specs.lineage(spec) if isinstance(each, ImageMask)), None)
    if donor is None:
        return image_recipient(spec.control, donor=None, mask=None, seed=spec.seed)
    parameters, running = vision.from_state(loaded(read(donor, WEIGHTS_FILE)), donor.model)
    state = parameters | running
    if mask is not None and (mask.beside != "nothing" or mask.statistics == "batch"):
        state |= loaded(read(mask, BESIDE_FILE))
    bits = None if mask is None else image_mask_bits(read(mask, MASK_FILE), mask)
    return image_recipient(spec.control, donor=state, mask=bits, seed=spec.seed)


def training_images(spec: ImageTransfer, folder: str) -> TrainingImages:
    """What a recipient is trained on: originals, and of a mixture mean-pooled images in turn."""
    parts: list[TrainingImages] = []
    if spec.num_original:
        parts.append(images.training_images(spec.task, "original", spec.num_original, folder=folder))
    if spec.num_pooled:
        assert isinstance(spec.control, specs.DataMixture)
        distinct = images.training_images(spec.task, "mean_pooled", spec.control.num_mean_pooled, folder=folder)
        parts.append(images.repeated(distinct, spec.num_pooled))
    return images.joined(parts)


class ImageTransferMethod(ImageMethod):
    """Trains recipients; what counts is the last epoch.

    `trainable` holds what is frozen within a matrix too: it has no gradient, and `hold` undoes its decay.
    """

    order_stream: Stream = "transfer/order"

    def __init__(self, starts: Sequence[tuple[ImageTransfer, ImageRecipient]], runtime: Runtime) -> None:
        pack = [spec for spec, _ in starts]
        keys = {spec: (spec.task, spec.num_original, spec.num_pooled, _num_distinct(spec)) for spec in pack}
        sets = {
            key: training_images(spec, runtime.images)
            for key, spec in {key: spec for spec, key in keys.items()}.items()
        }
        super().__init__(pack, [sets[keys[spec]] for spec in pack], runtime)
        self.evaluations_per_epoch = pack[0].evaluations_per_epoch
        self.draw_crops("transfer/augmentation", pack[0].augmentation)
        self.weigh_classes([spec.class_weights for spec in pack], [sets[keys[spec]] for spec in pack])
        self.shares = {spec: _shares(recipient) for spec, recipient in starts}
        self._place([recipient for _, recipient in starts], held=pack[0].held)
        self._evaluations = Evaluations(runtime)

    def _place(self, recipients: Sequence[ImageRecipient], *, held: str) -> None:
        """Put the recipients on the device: what trains, what is held, and what is frozen within a matrix."""
        own = tensors.stacked([each.own for each in recipients])
        running = tensors.stacked([each.statistics for each in recipients])
        names = _held(self.model, held)
        self.trainable = trainable_on(self.device, {name: each for name, each in own.items() if name not in names})
        self.fix({name: own[name] for name in names})
        if held == "nothing":
            self.statistics = {name: tensor.to(self.device).clone() for name, tensor in running.items()}
        else:
            self.fix(running, prefix="fixed_statistics")
        kept = tensors.stacked([each.kept for each in recipients])
        self.frozen = tuple(name for name, bits in kept.items() if bits.any() and name in self.trainable)
        for name in self.frozen:
            self.constants |= constants_on(self.device, {f"kept.{name}": kept[name], f"start.{name}": own[name]})

    def begin(self, epoch: int) -> None:
        """Nothing: all epochs of a transfer are alike."""

    def effective(self) -> Parameters:
        frozen = without_gradient(self.trainable, self.constants, self.frozen)
        return self.constants_of("fixed") | self.trainable | frozen

    def hold(self) -> None:
        put_back(self.trainable, self.constants, self.frozen, source="start")

    @torch.no_grad()
    def evaluate(self, epoch: int) -> list[Verdict]:
        found = [replica.spec for replica in self.replicas if isinstance(replica.spec, ImageTransfer)]
        network = self.network(self.constants_of("fixed") | self.trainable)
        tasks, number = [spec.task for spec in found], found[0].num_evaluation_samples
        original = self._evaluations.answers(network, tasks, "validation", "original", num_images=number)
        pooled = self._evaluations.answers(network, tasks, "validation", "mean_pooled", num_images=number)
        return [
            Verdict(
                measurements={
                    "validation_loss": first.loss,
                    "accuracy_original": first.accuracy,
                    "accuracy_mean_pooled": second.accuracy,
                },
                best=True,
                stop=False,
            )
            for first, second in zip(original, pooled, strict=True)
        ]

    @torch.no_grad()
    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        spec = self.replicas[index].spec
        assert isinstance(spec, ImageTransfer)
        parameters = {name: each[index] for name, each in self.constants_of("fixed").items()}
        running = {name: each[index] for name, each in self.constants_of("fixed_statistics").items()}
        network = one_network(
            self,
            parameters | {name: best[name] for name in self.trainable},
            running | {name: best[name] for name in self.statistics},
        )
        measured = tested(
            network,
            spec.task,
            runtime=self.runtime,
            num_images=spec.num_evaluation_samples,
            num_conflict=spec.num_cue_conflict,
            seed=spec.seed,
        )
        return {**self.shares[spec], **measured}, {}


def _num_distinct(spec: ImageTransfer) -> int:
    return spec.control.num_mean_pooled if isinstance(spec.control, specs.DataMixture) else 0


def _held(model: specs.ImageModel, held: str) -> tuple[str, ...]:
    match held:
        case "all_but_head":
            return tuple(name for name in vision.shapes(model) if name not in vision.head(model))
        case "norms_and_head":
            return (*vision.norms(model), *vision.head(model))
        case "norms":
            return vision.norms(model)
        case _:
            return ()
