"""Mean-pool a folder of images with Ray; existing images are not made again.

The folder of pooled images has the names of the originals, as PNG files, and `pooling.json`, which says how they were
made. A file appears whole or not at all.
"""

import contextlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from subind.specs.quoting import quoted, quoted_path
from subind.tasks.photographs.mean_pool import mean_pooled
from subind.tasks.photographs.segmenters import Segmenter
from sweeps.inputs.fan_out import fanned_out

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
SETTINGS = "pooling.json"
IMAGES_PER_TASK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """The result for a folder: new and existing images, and by name why others could not be read."""

    num_made: int
    num_there: int
    failures: dict[str, str]


def pool_folder(
    source: Path, target: Path, segmenter: Segmenter, *, num_cpus: int, progress: Callable[[int, int], None]
) -> Pooled:
    """Mean-pool all images below `source` into `target`; `progress` is told how many are done, of how many.

    Raises ValueError if `source` holds no images, one folder lies in the other, or `target` was made with other
    settings; OSError if it cannot be written.
    """
    names = _image_names(source, target)
    _keep_settings(target, segmenter)
    waiting = [name for name in names if not _pooled_path(target, name).exists()]
    there = len(names) - len(waiting)
    made, failures = 0, dict[str, str]()
    several = [waiting[start : start + IMAGES_PER_TASK] for start in range(0, len(waiting), IMAGES_PER_TASK)]
    tasks = [(source, target, each, segmenter) for each in several]
    for done, failed in fanned_out(pool_images, tasks, num_cpus=num_cpus):
        made += done
        failures |= failed
        progress(there + made + len(failures), len(names))
    return Pooled(num_made=made, num_there=there, failures=failures)


def _image_names(source: Path, target: Path) -> list[str]:
    if not source.is_dir():
        raise ValueError(f"SRC is {quoted_path(source)}, which is not a folder: give the folder of the images")
    inner, outer = target.resolve(), source.resolve()
    if inner == outer or inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ValueError(
            f"DST {quoted_path(target)} and SRC {quoted_path(source)} are inside each other: give another folder"
        )
    names = sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not names:
        raise ValueError(
            f"SRC {quoted_path(source)} holds no image ({', '.join(sorted(SUFFIXES))}): give another folder"
        )
    ours = [str(Path(name).with_suffix("")) for name in names]
    if len(set(ours)) < len(ours):
        twice, _ = Counter(ours).most_common(1)[0]
        raise ValueError(
            f"SRC {quoted_path(source)} holds {quoted(twice)} with two endings: pooled images would have one name"
        )
    return names


def _pooled_path(target: Path, name: str) -> Path:
    return (target / name).with_suffix(".png")


def _keep_settings(target: Path, segmenter: Segmenter) -> None:
    """Write how the images are made, or check that the existing ones were made in this way."""
    wanted = {"segmenter": type(segmenter).__name__, **asdict(segmenter)}  # type: ignore[call-overload]  # a dataclass
    path = target / SETTINGS
    if path.is_file():
        found = json.loads(path.read_text())
        if found != wanted:
            raise ValueError(f"DST {quoted_path(target)} was made with {found}, not with {wanted}: give another folder")
        return
    target.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(wanted, indent=2) + "\n")


def pool_images(source: Path, target: Path, names: Sequence[str], segmenter: Segmenter) -> tuple[int, dict[str, str]]:
    """Pool the named images; how many were made, and why others could not be read."""
    failures: dict[str, str] = {}
    for name in names:
        try:
            with Image.open(source / name) as opened:
                image = np.asarray(opened.convert("RGB"))
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
            failures[name] = f"{type(error).__name__}: {error}"
            continue
        _write(_pooled_path(target, name), mean_pooled(image, segmenter.segments(image)))
    return len(names) - len(failures), failures


def _write(path: Path, image: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        Image.fromarray(image).save(temporary, format="PNG")
        Path(temporary).replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
