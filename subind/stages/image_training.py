"""What the methods of images share: a pack's images on its device, batches of them, and the loss."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from subind.networks.vision import Network
from subind.specs import runs as specs
from subind.specs.images import NUM_CLASSES, Augmentation, ClassWeights
from subind.specs.runs import ImageSpec
from subind.tasks import images
from subind.tasks.feed import Feed, Source
from subind.tasks.images import Images, TrainingImages
from subind.tasks.stored_images import StoredImages
from subind.training.draws import DrawStream, Stream, UniformStream, generator
from subind.training.loop import Replica, Runtime
from subind.training.tensors import Parameters


class ImageSets:
    """Sets of images on a device, each made once, and the places of those that the replicas have."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._known: dict[object, int] = {}
        self._sets: list[Images] = []

    def place(self, key: object, make: Callable[[], Images]) -> int:
        """The place of the set of that key, which is made if it is new."""
        if key not in self._known:
            made = make()
            self._sets.append(Images(pixels=made.pixels.to(self._device), labels=made.labels.to(self._device)))
            self._known[key] = len(self._sets) - 1
        return self._known[key]

    def __getitem__(self, place: int) -> Images:
        return self._sets[place]


class ImageMethod:
    """A pack of networks for images; `parameters` and `statistics` together are what they compute with.

    Parameters that do not train are constants too, by `fixed.NAME`; so are running statistics where BatchNorm takes the
    donor's. Drawn images are all on the device; photographs come from a feed.
    """

    evaluations_per_epoch = 1

    def __init__(self, pack: Sequence[ImageSpec], train: Sequence[TrainingImages], runtime: Runtime) -> None:
        self.runtime = runtime
        self.replicas = [Replica(spec=spec) for spec in pack]
        self.device, self.precision = runtime.device, pack[0].precision
        self.model = specs.architecture_of_images(pack[0])
        self.task = specs.image_task(pack[0])
        self.sets = ImageSets(runtime.device)
        self._set_of: dict[specs.Spec, int] = {
            spec: self.sets.place(id(each), partial(_as_it_is, each))
            for spec, each in zip(pack, train, strict=True)
            if isinstance(each, Images)
        }
        self._sources: dict[specs.Spec, Source] = {
            spec: Source(images=each, seed=spec.seed, stream=None)
            for spec, each in zip(pack, train, strict=True)
            if isinstance(each, StoredImages)
        }
        self._feed = Feed(runtime.device) if self._sources else None
        self._num_samples = len(train[0].labels)
        self.trainable: Parameters = {}
        self.statistics: Parameters = {}
        self.constants: Parameters = {}
        self.draws: list[DrawStream] = []

    @property
    def num_samples(self) -> int:
        return self._num_samples

    def draw_crops(self, stream: Stream, augmentation: Augmentation) -> None:
        """Have every replica draw its crops from the named stream, if its images are cropped."""
        if augmentation == "crop_and_flip":
            self._sources = {spec: replace(each, stream=stream) for spec, each in self._sources.items()}
        if augmentation == "crop_and_flip" and self._feed is None:
            seeds = [replica.spec.seed for replica in self.replicas]
            self.draws = [UniformStream(generator(stream, seed, self.device)) for seed in seeds]

    def weigh_classes(self, weights: Sequence[ClassWeights], train: Sequence[TrainingImages]) -> None:
        """Set the weights of the classes in each replica's loss."""
        found = [class_weights(each, of.labels) for each, of in zip(weights, train, strict=True)]
        self.constants["class_weights"] = torch.stack(found).to(self.device)

    def fix(self, parameters: Mapping[str, Tensor], *, prefix: str = "fixed") -> None:
        """Keep these as they are."""
        self.constants |= {f"{prefix}.{name}": tensor.to(self.device) for name, tensor in parameters.items()}

    def constants_of(self, prefix: str) -> Parameters:
        """The constants `PREFIX.NAME` by their names."""
        start = f"{prefix}."
        return {name.removeprefix(start): each for name, each in self.constants.items() if name.startswith(start)}

    def network(self, parameters: Parameters) -> Network:
        """The pack with these parameters and the statistics of now."""
        statistics = self.constants_of("fixed_statistics") | self.statistics
        return Network(model=self.model, precision=self.precision, parameters=parameters, statistics=statistics)

    def expect(self, epoch: int, batches: Iterable[Int[Tensor, "replica _"]]) -> None:
        """Have photographs cut ahead of the steps."""
        if self._feed is not None:
            self._feed.expect([self._sources[replica.spec] for replica in self.replicas], epoch, batches)

    def load(self, rows: Int[Tensor, "replica batch"]) -> None:
        """Bring the photographs of a step to the device."""
        if self._feed is not None:
            self._feed.load(rows)

    def effective(self) -> Parameters:
        """The parameters of a training step of the epoch that has begun, as a function of `trainable`."""
        return self.constants_of("fixed") | self.trainable

    def losses(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, " replica"]:
        given, labels = self._batch(rows)
        pixels = images.normalised(given, self.task)
        scores = self.network(self.effective()).scores(pixels, training=bool(self.statistics))
        # one after another, for a sum of one row need not be that of the row among others, bit for bit
        each = zip(scores, labels, self.constants["class_weights"], strict=True)
        return torch.stack([F.cross_entropy(own, classes, weight=weights) for own, classes, weights in each])

    def _batch(
        self, rows: Int[Tensor, "replica batch"]
    ) -> tuple[UInt8[Tensor, "replica batch 3 row column"], Int[Tensor, "replica batch"]]:
        if self._feed is not None:
            return self._feed.batch(rows)
        chosen = [self.sets[self._set_of[replica.spec]] for replica in self.replicas]
        pixels = [each.pixels[own] for each, own in zip(chosen, rows, strict=True)]
        if self.draws:
            pixels = [
                images.moved_and_mirrored(each, self._uniform(draws, len(each)))
                for each, draws in zip(pixels, self.draws, strict=True)
            ]
        labels = [each.labels[own] for each, own in zip(chosen, rows, strict=True)]
        return torch.stack(pixels), torch.stack(labels)

    def _uniform(self, draws: DrawStream, count: int) -> Float[Tensor, "3 image"]:
        assert isinstance(draws, UniformStream)
        out = torch.empty(3, count, device=self.device)
        draws.fill_uniform(out)
        return out


def _as_it_is(given: Images) -> Images:
    return given


def class_weights(weights: ClassWeights, labels: Int[Tensor, " image"]) -> Float[Tensor, " class"]:
    """The weight of every class: one, or all images over 16 times those of the class."""
    if weights == "equal":
        return torch.ones(NUM_CLASSES)
    counts = torch.bincount(labels, minlength=NUM_CLASSES).clamp(min=1)
    return len(labels) / (NUM_CLASSES * counts)
