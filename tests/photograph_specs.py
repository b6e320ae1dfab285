"""A folder of tiny photographs as runs on images want it, and tiny specs of such runs."""

import colorsys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from subind.specs.images import ImageNet16Task
from subind.specs.runs import Discover, Train, Transfer
from subind.tasks.cue_conflict import IMAGENET16, cues
from subind.tasks.photographs.image_cache import CacheSettings, finish, planned, write_shard
from subind.tasks.photographs.imagenet16 import members, photographs, pooled_photographs
from subind.tasks.photographs.imagenet16_images import SEGMENTERS
from sweeps.inputs.image_cache import link_balanced
from tests.photographs import photograph, write_tree
from tests.vision_specs import image_donor, image_mask, image_transfer

NUM_OF_EACH = 2
NUM_CONFLICT = 32
"""Two of each shape, the texture being that of the next class or of the one after that."""

TASK = ImageNet16Task(
    part="transfer",
    num_images=207 * NUM_OF_EACH,
    num_per_class=8,
    evaluation_share=0.25,
    segmenter="slic",
    shorter_side=20,
    image_size=16,
    data_seed=0,
    pooled=False,
    augmentation="crop_and_flip",
    class_weights="equal",
    num_cue_conflict=NUM_CONFLICT,
)
BALANCED = replace(TASK, part="balanced")
MEAN_POOLED = replace(BALANCED, pooled=True, augmentation="none")
NUM_BALANCED, NUM_EVALUATION = 50, 12
"""Of the 98 balanced images each class has at most eight, of which at most two are for evaluation."""

NUM_TRANSFER = 300


def coloured(label: int, seed: int) -> Image.Image:
    """Noise about the colour of a class: nothing else of the picture tells the class."""
    red, green, blue = colorsys.hsv_to_rgb(label / 16, 0.4 + 0.6 * (label % 2), 1.0)
    noise = np.asarray(photograph(seed, height=20, width=22)).astype(np.float64)
    pixels = 0.8 * 255 * np.array([red, green, blue]) + 0.2 * noise
    return Image.fromarray(pixels.astype(np.uint8))


def write_coloured_folder(folder: Path) -> Path:
    """As `write_folder`, but of pictures in the colours of their classes; of two cues the colour is the texture's."""
    write_tree(folder / "tree", num_of_each=NUM_OF_EACH)
    label_of = {each.wordnet_id: each.label for each in members()}
    for seed, path in enumerate(sorted((folder / "tree").rglob("*.JPEG"))):
        coloured(label_of[path.parent.name], seed).save(path)
    images = _write_parts(folder)
    for seed, path in enumerate(sorted((images / "cue-conflict").rglob("*.png"))):
        _, texture = cues(path.name)
        coloured(texture, 9000 + seed).resize((16, 16)).save(path)
    return images


def write_folder(folder: Path) -> Path:
    """Write both caches, of photographs and of the balanced subset in few colours, and the images of two cues."""
    write_tree(folder / "tree", num_of_each=NUM_OF_EACH)
    return _write_parts(folder)


def _write_parts(folder: Path) -> Path:
    tree = folder / "tree"
    link_balanced(tree, folder / "subset", num_per_class=TASK.num_per_class, seed=TASK.data_seed)
    _write_few_colours(folder / "subset", folder / "pooled")
    images = folder / "images"
    _write_cache(tree, images / "photographs", pooling=None)
    _write_cache(folder / "pooled", images / "mean-pooled", pooling=SEGMENTERS[TASK.segmenter])
    for number, shape in enumerate(IMAGENET16):
        for place, texture in enumerate(IMAGENET16[(number + step) % 16] for step in (0, 1, 2)):
            path = images / "cue-conflict" / shape / f"{shape}{place + 1}-{texture}1.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            photograph(5000 + 10 * number + place, height=16, width=16).save(path)
    return images


def _write_few_colours(source: Path, target: Path) -> None:
    """What stands for segments here are quarters of the picture; the pooled files are PNG, as those of the command."""
    for path in source.rglob("*.JPEG"):
        with Image.open(path) as opened:
            pixels = np.asarray(opened.convert("RGB")).copy()
        height, width = (side // 2 for side in pixels.shape[:2])
        for rows in (slice(0, height), slice(height, None)):
            for columns in (slice(0, width), slice(width, None)):
                pixels[rows, columns] = pixels[rows, columns].mean((0, 1)).astype(np.uint8)
        out = (target / path.relative_to(source)).with_suffix(".png")
        out.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(out)


def _write_cache(tree: Path, folder: Path, *, pooling: dict[str, Any] | None) -> None:
    found = photographs(tree) if pooling is None else pooled_photographs(tree)
    plans = planned(found, CacheSettings(shorter_side=TASK.shorter_side, pooling=pooling))
    for plan in plans:
        assert write_shard(tree, folder, plan) == {}
    finish(folder, plans)


def photograph_donor(*model: Any, **changes: Any) -> Train:
    """A donor of two epochs of seven steps."""
    fields: dict[str, Any] = {
        "task": BALANCED, "num_samples": NUM_BALANCED, "num_evaluation_samples": NUM_EVALUATION,
    }  # fmt: skip
    return image_donor(*model, **{**fields, **changes})


def photograph_mask(donor: Train | None = None, **changes: Any) -> Discover:
    """A mask of such a donor."""
    fields: dict[str, Any] = {
        "task": MEAN_POOLED, "num_samples": NUM_BALANCED, "num_evaluation_samples": NUM_EVALUATION,
    }  # fmt: skip
    return image_mask(donor or photograph_donor(), **{**fields, **changes})


def photograph_transfer(start: Any = "subnetwork", mask: Discover | None = None, **changes: Any) -> Transfer:
    """A recipient of two epochs."""
    fields: dict[str, Any] = {
        "task": replace(TASK, class_weights="inverse_frequency"), "num_samples": NUM_TRANSFER,
        "num_evaluation_samples": NUM_EVALUATION, "batch_size": 64,
    }  # fmt: skip
    return image_transfer(start, mask or photograph_mask(), **{**fields, **changes})
