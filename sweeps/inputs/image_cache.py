"""Decode a tree of 16-class ImageNet into a cache with Ray, one shard per task; existing shards stay."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subind.tasks.photographs.image_cache import CacheSettings, finish, is_written, planned, write_shard
from subind.tasks.photographs.imagenet16 import balanced, photographs, pooled_photographs
from sweeps.inputs.fan_out import fanned_out
from sweeps.inputs.mean_pooling import SETTINGS

USUAL_ASPECT = 4 / 3
"""The ratio of the longer side to the shorter one, in photographs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """The result for a tree: new and existing shards, and by file why images could not be read.

    The fingerprint is empty if an image could not be read; the cache is unfinished then.
    """

    num_images: int
    num_made: int
    num_there: int
    failures: dict[str, str]
    fingerprint: str
    is_pooled: bool


def cache_tree(
    source: Path,
    target: Path,
    *,
    shorter_side: int,
    num_cpus: int,
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> Cached:
    """Decode the images of 16-class ImageNet below `source` into a cache; `progress` is told of shards, of how many.

    A tree with `pooling.json` has mean-pooled images, of which any part will do. `say` is told what will be done.
    Raises ValueError if the tree lacks folders, one folder lies in the other, or the disk has too little room; OSError
    if `target` cannot be written.
    """
    pooling = _pooling(source)
    found = photographs(source) if pooling is None else pooled_photographs(source)
    _check_apart(source, target)
    plans = planned(found, CacheSettings(shorter_side=shorter_side, pooling=pooling))
    waiting = [plan for plan in plans if not is_written(target, plan)]
    there, made, failures = len(plans) - len(waiting), 0, dict[str, str]()
    _check_room(sum(len(plan.photographs.files) for plan in waiting), shorter_side, target, say)
    progress(there, len(plans))
    for failed in fanned_out(write_shard, [(source, target, plan) for plan in waiting], num_cpus=num_cpus):
        failures |= failed
        made += not failed
        progress(there + made, len(plans))
    return Cached(
        num_images=len(found.files),
        num_made=made,
        num_there=there,
        failures=failures,
        fingerprint="" if failures else finish(target, plans),
        is_pooled=pooling is not None,
    )


def _check_room(num_images: int, shorter_side: int, target: Path, say: Callable[[str], None]) -> None:
    needed = num_images * 3 * shorter_side**2 * USUAL_ASPECT
    say(f"{num_images:,} images to decode, about {needed / 1e9:,.1f} GB in {target}")
    there = next(each for each in (target.absolute(), *target.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise ValueError(
            f"DST {str(target)!r} needs about {needed / 1e9:,.1f} GB and its disk has {free / 1e9:,.1f} GB free: give "
            "a folder on another disk, or a smaller --shorter-side"
        )


def _pooling(source: Path) -> dict[str, Any] | None:
    """How the images of a tree were mean-pooled, except on which device; None for photographs."""
    path = source / SETTINGS
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return {name: value for name, value in found.items() if name not in ("weights", "device")}


def _check_apart(source: Path, target: Path) -> None:
    inner, outer = target.resolve(), source.resolve()
    if inner == outer or inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ValueError(f"DST {str(target)!r} and SRC {str(source)!r} are inside each other: give another folder")


def link_balanced(source: Path, target: Path, *, num_per_class: int, seed: int) -> int:
    """Make a tree of links to the photographs of the balanced subset, for mean-pooling; return their number.

    What is there already stays. Raises ValueError if the tree lacks folders, one folder lies in the other, or the
    target holds links to other photographs than these.
    """
    found = photographs(source)
    _check_apart(source, target)
    chosen = balanced(found.names, found.labels, num_per_class=num_per_class, seed=seed)
    files = {found.files[place] for part in chosen for place in part}
    there = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_symlink()}
    if not there <= files:
        raise ValueError(
            f"DST {str(target)!r} links to {len(there - files):,} photographs of another subset: give another folder"
        )
    for file in sorted(files - there):
        link = target / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((source / file).resolve())
    return len(files)
