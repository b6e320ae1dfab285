"""The stage that trains donors on original images."""

from collections.abc import Mapping, Sequence
from typing import assert_never

import torch
from safetensors.torch import save
from torch import Tensor

from subind.networks import vision
from subind.specs import runs as specs
from subind.specs.runs import ImageDonor
from subind.stages.image_evaluation import Evaluations, tested
from subind.stages.image_training import ImageMethod
from subind.stages.run_files import IMPORTED_FILE, WEIGHTS_FILE, ReadFile, loaded
from subind.tasks import images
from subind.training import tensors
from subind.training.best_epoch import is_kept, num_epochs_since_better
from subind.training.draws import Stream, generator
from subind.training.loop import Replica, Runtime, Verdict
from subind.training.tensors import Parameters, trainable_on

State = tuple[Parameters, Parameters]
"""The parameters and the running statistics of one network."""


def stacked(several: Sequence[State]) -> State:
    """Those of a pack."""
    return tensors.stacked([own for own, _ in several]), tensors.stacked([own for _, own in several])


class ImageDonorMethod(ImageMethod):
    """Trains whole networks, or a head alone; the best epoch has the lowest validation loss."""

    order_stream: Stream = "donor/order"

    def __init__(self, starts: Sequence[tuple[ImageDonor, State]], runtime: Runtime) -> None:
        """From what each donor starts from."""
        pack = [spec for spec, _ in starts]
        drawn = {spec.task: None for spec in pack}
        sets = {
            task: images.training_images(task, "original", pack[0].num_samples, folder=runtime.images) for task in drawn
        }
        train = [sets[spec.task] for spec in pack]
        super().__init__(pack, train, runtime)
        self.draw_crops("donor/augmentation", pack[0].augmentation)
        self.weigh_classes([spec.class_weights for spec in pack], train)
        parameters, running = stacked([own for _, own in starts])
        trained = vision.head(self.model) if pack[0].trained == "head" else tuple(parameters)
        self.trainable = trainable_on(self.device, {name: parameters[name] for name in trained})
        self.fix({name: tensor for name, tensor in parameters.items() if name not in trained})
        if pack[0].trained == "head":
            self.fix(running, prefix="fixed_statistics")
        else:
            self.statistics = {name: tensor.to(self.device).clone() for name, tensor in running.items()}
        self._evaluations = Evaluations(runtime)

    def begin(self, epoch: int) -> None:
        """Nothing: all epochs of a donor are alike."""

    def hold(self) -> None:
        """Nothing: what does not move is no trainable tensor."""

    def evaluate(self, epoch: int) -> list[Verdict]:
        found = [replica.spec for replica in self.replicas if isinstance(replica.spec, ImageDonor)]
        network, tasks = self.network(self.effective()), [spec.task for spec in found]
        number = found[0].num_evaluation_samples
        original = self._evaluations.answers(network, tasks, "validation", "original", num_images=number)
        pooled = self._evaluations.answers(network, tasks, "validation", "mean_pooled", num_images=number)
        return [
            self._verdict(
                replica,
                {
                    "validation_loss": first.loss,
                    "accuracy_original": first.accuracy,
                    "accuracy_mean_pooled": second.accuracy,
                },
            )
            for replica, first, second in zip(self.replicas, original, pooled, strict=True)
        ]

    def _verdict(self, replica: Replica, measured: dict[str, float]) -> Verdict:
        assert isinstance(replica.spec, ImageDonor)
        scores = [-loss for loss in (*replica.curves.get("validation_loss", []), measured["validation_loss"])]
        best = is_kept(scores[-1], scores[:-1], replica.spec.kept_epoch)
        return Verdict(measurements=measured, best=best, stop=num_epochs_since_better(scores) >= replica.spec.patience)

    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        spec = self.replicas[index].spec
        assert isinstance(spec, ImageDonor)
        running = {name: best[name] for name in self.statistics}
        running |= {name: each[index] for name, each in self.constants_of("fixed_statistics").items()}
        parameters = {name: each[index] for name, each in self.constants_of("fixed").items()}
        parameters |= {name: best[name] for name in self.trainable}
        measured = tested(
            one_network(self, parameters, running),
            spec.task,
            runtime=self.runtime,
            num_images=spec.num_evaluation_samples,
            num_conflict=spec.num_cue_conflict,
            seed=spec.seed,
        )
        return measured, {WEIGHTS_FILE: save(vision.state(parameters, running))}


def one_network(of: ImageMethod, parameters: Mapping[str, Tensor], statistics: Mapping[str, Tensor]) -> vision.Network:
    """One model of the pack's architecture as a pack of one."""
    return vision.Network(
        model=of.model,
        precision=of.precision,
        parameters={name: tensor.unsqueeze(0) for name, tensor in parameters.items()},
        statistics={name: tensor.unsqueeze(0) for name, tensor in statistics.items()},
    )


def initial_network(donor: ImageDonor, read: ReadFile) -> State:
    """What training starts from. Raises ValueError if imported weights are damaged or of another network."""
    match donor.weights:
        case specs.FreshWeights():
            own = vision.initial(donor.model, generator("donor/initial", donor.seed))
            return own, vision.initial_statistics(donor.model)
        case specs.ImportedWeights() | specs.PublishedWeights():
            return _imported(donor, loaded(read(donor, IMPORTED_FILE)))
        case _:
            assert_never(donor.weights)


def _imported(donor: ImageDonor, tensors: dict[str, Tensor]) -> State:
    """The weights of a file, where only a head is trained with a fresh one."""
    if donor.trained == "head":
        weight, bias = vision.head(donor.model)
        wanted, draws = vision.shapes(donor.model), generator("donor/head", donor.seed)
        tensors |= {weight: vision.uniform(wanted[weight], draws)}
        tensors |= {bias: (2 * torch.rand(wanted[bias], generator=draws) - 1) / wanted[weight][1] ** 0.5}
    return vision.from_state(tensors, donor.model)
