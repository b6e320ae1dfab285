"""16-class ImageNet: which photographs of an ImageNet-1k tree are of which class, and which are for what.

The 16 classes of R. Geirhos et al., "Generalisation in humans and deep neural networks", NeurIPS 2018, are made of 207
of the 1,000 classes of ImageNet-1k. The table `imagenet16.csv` has a line for each of these: its class, its WordNet
id, which names its folder, its logit in classifiers of 1,000 classes (the rank of its id), and its name. Source of the
facts: github.com/rgeirhos/texture-vs-shape, whose list of WordNet ids and list of logits agree.

Which part a photograph is in depends only on the data's seed and its own name, never on the order of a listing.
"""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from subind.specs.images import ImageNet16Task
from subind.specs.quoting import quoted, quoted_path
from subind.tasks.cue_conflict import IMAGENET16, Classes

TABLE = Path(__file__).with_suffix(".csv")
NUM_IMAGES = 213_555
"""Photographs that ImageNet-1k's training set has in the 207 folders."""

SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})
MOST_NAMED = 8
"""Folders that a message names."""

Indices = npt.NDArray[np.int64]
Digests = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of ImageNet-1k's classes: the one of the 16 that it belongs to, its folder, and its logit."""

    label: int
    wordnet_id: str
    logit: int
    name: str


@cache
def members() -> tuple[Member, ...]:
    """The 207 classes of ImageNet-1k, by class and logit."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(
            Member(
                label=IMAGENET16.index(row["class"]),
                wordnet_id=row["wordnet_id"],
                logit=int(row["logit"]),
                name=row["name"],
            )
            for row in csv.DictReader(file)
        )


def logits_of_classes() -> tuple[tuple[int, ...], ...]:
    """Of each of the 16 classes its logits in a classifier of 1,000 classes, as `cue_conflict.sixteen_way` takes them.

    >>> logits_of_classes()[:2]
    ((404,), (294, 295, 296, 297))
    """
    return tuple(tuple(each.logit for each in members() if each.label == label) for label in range(len(IMAGENET16)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Photographs:
    """Image files of 16-class ImageNet, sorted by name: their paths below the tree and their classes [image]."""

    files: tuple[str, ...]
    labels: Classes

    @property
    def names(self) -> tuple[str, ...]:
        """What tells photographs apart, such as n02690373/n02690373_17: the same for a photograph mean-pooled."""
        return tuple(file.removeprefix("train/").rpartition(".")[0] for file in self.files)


def photographs(tree: Path) -> Photographs:
    """All photographs of the 16 classes in an ImageNet-1k tree, TREE/train/nXXXXXXXX/*.JPEG or TREE/nXXXXXXXX/*.JPEG.

    Raises ValueError, naming folders, if the tree or one of the 207 folders is absent or empty, or if a name comes with
    two endings.
    """
    found = dict(_folders(tree))
    absent = [each.wordnet_id for each in members() if each.wordnet_id not in found]
    empty = [each.wordnet_id for each in members() if found.get(each.wordnet_id) == []]
    for wrong, what in ((absent, "lacks"), (empty, "has no image in")):
        if wrong:
            raise ValueError(
                f"SRC {quoted_path(tree)} {what} {len(wrong)} of the {len(members())} folders of 16-class ImageNet "
                f"({_several(wrong)}): unpack nXXXXXXXX.tar of ILSVRC2012_img_train.tar into train/nXXXXXXXX for each"
            )
    return _photographs(found, tree)


def pooled_photographs(tree: Path) -> Photographs:
    """The images of the 16 classes that are in a tree of mean-pooled ones, whichever these are.

    Raises ValueError if there are none, or if a name comes with two endings.
    """
    return _photographs(dict(_folders(tree)), tree)


def _photographs(folders: dict[str, list[str]], tree: Path) -> Photographs:
    pairs = sorted((file, each.label) for each in members() for file in folders.get(each.wordnet_id, []))
    if not pairs:
        raise ValueError(
            f"SRC {quoted_path(tree)} has no image of 16-class ImageNet: give a tree of train/nXXXXXXXX/*.JPEG"
        )
    made = Photographs(files=tuple(file for file, _ in pairs), labels=np.array([label for _, label in pairs]))
    twice = [one for one, two in zip(made.names, made.names[1:], strict=False) if one == two]
    if twice:
        raise ValueError(f"SRC {quoted_path(tree)} has {quoted(twice[0])} with two endings: remove one of the files")
    return made


def _folders(tree: Path) -> Iterator[tuple[str, list[str]]]:
    """The folders of the 207 classes that are there, and the paths of their images below the tree."""
    if not tree.is_dir():
        raise ValueError(
            f"SRC is {quoted_path(tree)}, which is not a folder: give the one that holds train/nXXXXXXXX/*.JPEG"
        )
    inner = "train/" if (tree / "train").is_dir() else ""
    for each in members():
        folder = tree / inner / each.wordnet_id
        if folder.is_dir():
            names = (path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
            yield each.wordnet_id, [f"{inner}{each.wordnet_id}/{name}" for name in names if name[0] != "."]


def _several(items: Sequence[str]) -> str:
    more = len(items) - MOST_NAMED
    return ", ".join(items[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Which photographs train and which evaluate, by their place in the listing, each in ascending order."""

    train: Indices
    evaluation: Indices


def split(task: ImageNet16Task, *, names: Sequence[str], labels: Classes, digests: Digests) -> Split:
    """The parts of all photographs of a tree.

    `digests` tell images of other content apart: what looks just like an evaluation image is left out of the training
    images, under whatever name. Raises ValueError if there are not as many photographs as the task says.
    """
    if len(names) != task.num_images:
        raise ValueError(
            f"ImageNet16Task.num_images is {task.num_images:,} and the tree has {len(names):,} photographs of the 16 "
            f"classes: complete the tree, or give num_images={len(names)}, which is another experiment"
        )
    chosen = balanced(names, labels, num_per_class=task.num_per_class, seed=task.data_seed)
    held = [part[: ceil(task.evaluation_share * len(part))] for part in chosen]
    evaluation = np.sort(np.concatenate(held))
    candidates = np.concatenate(chosen) if task.part == "balanced" else np.arange(len(names))
    is_held = np.isin(candidates, evaluation) | np.isin(digests[candidates], digests[evaluation])
    return Split(train=np.sort(candidates[~is_held]), evaluation=evaluation)


def balanced(names: Sequence[str], labels: Classes, *, num_per_class: int, seed: int) -> tuple[Indices, ...]:
    """The places of at most `num_per_class` photographs of each class, in an order drawn by name and seed."""
    ranks = _ranks(names, seed)
    of_class = (np.flatnonzero(labels == label) for label in range(len(IMAGENET16)))
    return tuple(part[np.argsort(ranks[part], kind="stable")][:num_per_class] for part in of_class)


def drawn_order(names: Sequence[str], *, seed: int, purpose: Literal["train", "evaluation"]) -> Indices:
    """The places of the names in the order of a draw by name and seed, which no draw of another purpose repeats."""
    found: Indices = np.argsort(_ranks(names, seed, purpose.encode()), kind="stable")
    return found


def _ranks(names: Iterable[str], seed: int, purpose: bytes = b"") -> npt.NDArray[np.uint64]:
    """A number a name, uniform on 64 bits."""
    key = seed.to_bytes(8, "big")
    digests = (hashlib.blake2b(name.encode(), digest_size=8, key=key, person=purpose).digest() for name in names)
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)
