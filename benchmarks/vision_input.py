"""How fast photographs reach a model: squares cut from a decoded cache against a DataLoader that decodes JPEG files.

Both sides make the same random squares of the same files, normalised, on the same machine: ours from the cache on one
thread beside the step, the plain loop with torchvision's transforms and as many worker processes as there are cores.
Timed in turn, epoch by epoch, alone and with a training step of ResNet-18 in float32. The files are drawn images with
noise, which makes them nearly as long as ImageNet's, and lie in the memory of the machine, as the cache does.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import models
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.training import machine
from subind.networks.network import State, bound
from subind.specs.images import ShapesTask
from subind.specs.networks import RESNET_18
from subind.specs.tasks import Images, Signature
from subind.tasks.drawn import shapes
from subind.tasks.photographs.image_cache import CacheSettings, ImageCache, finish, planned, write_shard
from subind.tasks.photographs.image_crops import MEAN, STD, batches, normalised
from subind.tasks.photographs.imagenet16 import Photographs, members
from sweeps.hosts.workers import num_cores

HEIGHT, WIDTH = 375, 500
"""The commonest size of a photograph of ImageNet."""
NOISE = 20
"""Of brightness, at most: the files have some 70 kB then."""
SHORTER_SIDE, SIZE = 256, 224

Batches = Callable[[], Iterator[tuple[Tensor, Tensor]]]
"""One epoch: normalised images and labels, on the device."""
Step = Callable[[Tensor, Tensor], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How much is timed: images of the tree, images of an epoch with steps, rows of a batch, and rounds."""

    num_images: int = 256
    num_step_images: int = 64
    batch_size: int = 32
    num_rounds: int = 5


def vision_input_benchmark(
    *, progress: Callable[[str], None], device: str = "cpu", work: Work | None = None
) -> dict[str, Any]:
    """The machine, what the one decoding took, and a row for the input alone and for input and step.

    Rows have images per second of both sides, medians over rounds, and the median of their ratio.
    """
    given = work or Work()
    num_threads = torch.get_num_threads()
    torch.set_num_threads(num_cores())
    try:
        with tempfile.TemporaryDirectory(prefix="subind-bench-") as folder:
            progress(f"drawing {given.num_images} photographs")
            drawn = _write_tree(Path(folder) / "tree", given.num_images)
            start = time.perf_counter()
            cache = _cached(Path(folder), drawn)
            seconds = time.perf_counter() - start
            how: dict[str, Any] = {"tree": Path(folder) / "tree", "cache": cache, "work": given, "device": device}
            rows = [_row("input", **how, progress=progress), _row("input and step", **how, progress=progress)]
            kilobytes = sum((Path(folder) / "tree" / file).stat().st_size for file in drawn.files) / 1e3
            return {
                "machine": machine(device),
                "decoded_images_per_second": len(drawn.files) / seconds,
                "kilobytes_of_a_file": kilobytes / len(drawn.files),
                "rows": rows,
            }
    finally:
        torch.set_num_threads(num_threads)


def _write_tree(tree: Path, num_images: int) -> Photographs:
    """JPEG files of drawn images in the folders of 16 classes."""
    task = ShapesTask(
        image_size=512,
        shape_predictivity=1.0,
        texture_predictivity=1.0,
        shape_contrast=0.5,
        texture_contrast=0.5,
        data_seed=0,
        pooled=False,
        augmentation="none",
        class_weights="equal",
        num_cue_conflict=1,
    )
    draws = np.random.default_rng(0)
    folders = {each.label: each.wordnet_id for each in members()}
    files = []
    for place in range(num_images):
        found = shapes.drawn(task, np.array([place]))
        label = int(found.labels[0])
        noise = draws.integers(-NOISE, NOISE + 1, (HEIGHT, WIDTH, 3))
        pixels = np.clip(found.images[0, :HEIGHT, :WIDTH].astype(int) + noise, 0, 255).astype(np.uint8)
        file = f"train/{folders[label]}/{folders[label]}_{place}.JPEG"
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tree / file, quality=90)
        files.append((file, label))
    files.sort()
    return Photographs(files=tuple(file for file, _ in files), labels=np.array([label for _, label in files]))


def _cached(folder: Path, drawn: Photographs) -> ImageCache:
    plans = planned(drawn, CacheSettings(shorter_side=SHORTER_SIDE, pooling=None))
    for plan in plans:
        if failures := write_shard(folder / "tree", folder / "cache", plan):
            raise OSError(f"photographs that were just written cannot be read: {failures}")
    finish(folder / "cache", plans)
    return ImageCache.opened(folder / "cache")


def _ours(cache: ImageCache, *, num_images: int, batch_size: int, device: str) -> Batches:
    draws = torch.Generator().manual_seed(0)

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        places = torch.randperm(len(cache.names), generator=draws)[:num_images].numpy()
        order = [places[start : start + batch_size] for start in range(0, num_images, batch_size)]
        cut = batches(cache, order, size=SIZE, generator=draws)
        for each, images in zip(order, cut, strict=True):
            labels = torch.from_numpy(cache.labels[each]).to(device)
            yield normalised(images.to(device, non_blocking=True)), labels

    return epoch


def _plain(tree: Path, *, num_images: int, batch_size: int, device: str) -> Batches:
    transform = v2.Compose(
        [
            v2.Resize(SHORTER_SIDE),
            v2.RandomCrop(SIZE),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    folder = ImageFolder(str(tree / "train"), transform)
    sampler = torch.utils.data.RandomSampler(folder, num_samples=num_images)
    loader = DataLoader(
        folder,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_cores(),
        persistent_workers=True,
        pin_memory=device != "cpu",
    )

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in loader:
            yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    return epoch


def _our_step(device: str) -> Step:
    images_of = Images(image_size=SIZE, num_channels=3)
    network = bound(RESNET_18, Signature(inputs=images_of, num_outputs=RESNET_18.num_classes))
    fresh = network.initial(torch.Generator().manual_seed(0))
    parameters = {name: each[None].to(device).requires_grad_() for name, each in fresh.parameters.items()}
    statistics = {name: each[None].to(device) for name, each in fresh.statistics.items()}
    state = State(parameters=parameters, statistics=statistics)
    optimizer = torch.optim.SGD(parameters.values(), lr=1e-3, momentum=0.9, weight_decay=1e-4)

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        found = network.outputs(state, images[None], draws=None, training=True, precision="float32")
        F.cross_entropy(found[0], labels).backward()
        optimizer.step()

    return step


def _plain_step(device: str) -> Step:
    model = models.resnet18().to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def _nothing(images: Tensor, labels: Tensor) -> None:
    """The step of the input alone."""


def _row(
    case: Literal["input", "input and step"],
    *,
    tree: Path,
    cache: ImageCache,
    work: Work,
    device: str,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    num_images = work.num_images if case == "input" else work.num_step_images
    how: dict[str, Any] = {"num_images": num_images, "batch_size": work.batch_size, "device": device}
    input_only = case == "input"
    ours = (_ours(cache, **how), _nothing if input_only else _our_step(device))
    plain = (_plain(tree, **how), _nothing if input_only else _plain_step(device))
    for side in (ours, plain):
        _epoch_seconds(*side, device=device)
    rates = []
    for number in range(work.num_rounds):
        rates.append([num_images / _epoch_seconds(*side, device=device) for side in (ours, plain)])
        progress(f"{case}, round {number + 1}: {rates[-1][0]:.0f} images a second, plain loop {rates[-1][1]:.0f}")
    return {"case": case, **_medians(rates), "batch_size": work.batch_size, "device": device}


def _medians(rates: Sequence[Sequence[float]]) -> dict[str, float]:
    return {
        "images_per_second": median(ours for ours, _ in rates),
        "plain_images_per_second": median(plain for _, plain in rates),
        "ratio_to_plain_loop": median(ours / plain for ours, plain in rates),
        "num_rounds": len(rates),
    }


def _epoch_seconds(epoch: Batches, step: Step, *, device: str) -> float:
    start = time.perf_counter()
    for images, labels in epoch():
        step(images, labels)
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
