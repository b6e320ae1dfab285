"""The stage that discovers the subnetwork of a donor that classifies mean-pooled images."""

from collections.abc import Sequence

import torch
from safetensors.torch import save
from torch import Tensor

from subind.masks import hard as masks
from subind.networks import vision
from subind.networks.vision import Network
from subind.specs.runs import ImageMask
from subind.stages.image_donor import State, one_network, stacked
from subind.stages.image_evaluation import Answers, Evaluations, answers
from subind.stages.image_training import ImageMethod
from subind.stages.run_files import BESIDE_FILE, MASK_FILE, WEIGHTS_FILE, ReadFile, loaded
from subind.tasks import images
from subind.tasks.images import Images
from subind.training.best_epoch import is_kept
from subind.training.draws import Stream
from subind.training.loop import Replica, Runtime, Verdict
from subind.training.tensors import Parameters, trainable_on


def masked_network(mask: ImageMask, read: ReadFile) -> State:
    """The donor of a mask. Raises ValueError if its file is damaged."""
    return vision.from_state(loaded(read(mask.donor, WEIGHTS_FILE)), mask.donor.model)


class ImageMaskMethod(ImageMethod):
    """Trains mask logits over a frozen donor; the best epoch has the highest hard-mask accuracy."""

    order_stream: Stream = "mask/order"

    def __init__(self, starts: Sequence[tuple[ImageMask, State]], runtime: Runtime) -> None:
        """From the parameters and running statistics of each mask's donor."""
        pack, first = [spec for spec, _ in starts], starts[0][0]
        drawn = {spec.subtask: None for spec in pack}
        sets = {
            task: images.training_images(task, "mean_pooled", first.num_samples, folder=runtime.images)
            for task in drawn
        }
        train = [sets[spec.subtask] for spec in pack]
        super().__init__(pack, train, runtime)
        self.weigh_classes(["equal" for _ in pack], train)
        parameters, running = stacked([donor for _, donor in starts])
        self.matrices = vision.matrices(self.model)
        beside = () if first.beside == "nothing" else vision.POSITIONS
        logits = {name: _filled(parameters[name], [spec.initial_logit for spec in pack]) for name in self.matrices}
        self.trainable = trainable_on(self.device, logits | {name: parameters[name] for name in beside})
        self.fix({name: tensor for name, tensor in parameters.items() if name not in beside})
        if first.statistics == "batch":
            self.statistics = {name: tensor.to(self.device).clone() for name, tensor in running.items()}
        else:
            self.fix(running, prefix="fixed_statistics")
        self.constants["penalty"] = torch.tensor([spec.penalty for spec in pack]).to(self.device)
        self.constants["temperature"] = torch.ones_like(self.constants["penalty"])
        self._evaluations = Evaluations(runtime)

    def begin(self, epoch: int) -> None:
        self.constants["temperature"].copy_(torch.tensor(self._temperatures(epoch)))

    def hold(self) -> None:
        """Nothing: every logit moves, and the donor is not trained."""

    def effective(self) -> Parameters:
        donor, temperature, penalty = (
            self.constants_of("fixed"),
            self.constants["temperature"],
            self.constants["penalty"],
        )
        masked = {
            name: masks.softly_masked(donor[name], self.trainable[name], temperature, penalty) for name in self.matrices
        }
        return donor | self.trainable | masked

    @torch.no_grad()
    def evaluate(self, epoch: int) -> list[Verdict]:
        found = [replica.spec for replica in self.replicas if isinstance(replica.spec, ImageMask)]
        hard = {name: masks.binarise(self.trainable[name]) for name in self.matrices}
        donor = self.constants_of("fixed")
        parameters = donor | self.trainable | {name: donor[name] * bits for name, bits in hard.items()}
        judged = self._evaluations.answers(
            self.network(parameters),
            [spec.subtask for spec in found],
            "validation",
            "mean_pooled",
            num_images=found[0].num_evaluation_samples,
        )
        temperatures = self._temperatures(epoch)
        return [
            self._verdict(
                replica, {name: bits[index] for name, bits in hard.items()}, judged[index], temperatures[index]
            )
            for index, replica in enumerate(self.replicas)
        ]

    def _verdict(self, replica: Replica, mask: masks.HardMask, judged: Answers, temperature: float) -> Verdict:
        measured = {"subtask_accuracy": judged.accuracy, "validation_loss": judged.loss, "temperature": temperature}
        measured |= {"density": masks.density(mask)}
        measured |= {f"density.{name}": share for name, share in masks.densities(mask).items()}
        assert isinstance(replica.spec, ImageMask)
        best = is_kept(judged.accuracy, replica.curves.get("subtask_accuracy", []), replica.spec.kept_epoch)
        return Verdict(measurements=measured, best=best, stop=False)

    @torch.no_grad()
    def outcome(self, index: int, best: Parameters) -> tuple[dict[str, float], dict[str, bytes]]:
        spec = self.replicas[index].spec
        assert isinstance(spec, ImageMask)
        hard = {name: masks.binarise(best[name]) for name in self.matrices}
        beside = {name: tensor for name, tensor in best.items() if name not in self.matrices}
        given = images.images(
            spec.subtask, "test", "mean_pooled", spec.num_evaluation_samples, folder=self.runtime.images
        )
        placed = Images(pixels=given.pixels.to(self.device), labels=given.labels.to(self.device))
        measured = {"subtask_accuracy": answers(self._alone(index, hard, beside), placed, spec.subtask).accuracy}
        files = {MASK_FILE: masks.packed_bits(hard)}
        return measured, files | ({BESIDE_FILE: save(vision.state(beside, {}))} if beside else {})

    def _alone(self, index: int, hard: masks.HardMask, beside: Parameters) -> Network:
        """One masked donor."""
        donor = {name: each[index] for name, each in self.constants_of("fixed").items()}
        running = {name: each[index] for name, each in self.constants_of("fixed_statistics").items()}
        parameters = donor | {name: donor[name] * bits for name, bits in hard.items()}
        own = {name: tensor for name, tensor in beside.items() if name not in self.statistics}
        return one_network(self, parameters | own, running | {name: beside[name] for name in self.statistics})

    def _temperatures(self, epoch: int) -> list[float]:
        found = [replica.spec for replica in self.replicas if isinstance(replica.spec, ImageMask)]
        return [spec.temperature.temperature(epoch, num_epochs=spec.num_epochs) for spec in found]


def _filled(like: Tensor, values: list[float]) -> Tensor:
    """Each replica's value in the shape of its weights."""
    ones = [1] * (like.dim() - 1)
    return torch.tensor(values).view(-1, *ones).expand(like.shape).contiguous()
