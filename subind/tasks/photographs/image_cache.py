"""Photographs decoded once: shards of uint8 pixels that are mapped into memory.

A cache is a folder of shards, `shard-00000.bin` with the pixels of its images one after the other, each [row column
channel], and `shard-00000.json` with what is in it; `index.parquet` with a line an image; and `cache.json`, written
last, with the settings and the fingerprint. A shard is written whole or not at all, and is made again where it does not
hold the images that it is to hold.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from subind.tasks.cue_conflict import Classes
from subind.tasks.photographs.imagenet16 import Digests, Indices, Photographs

IMAGES_PER_SHARD = 512
"""About 130 MB at a shorter side of 256 pixels."""

FORMAT = 1
MANIFEST = "cache.json"
INDEX = "index.parquet"
REMEDY = "make it with `subind data imagenet16 SRC DST`"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """What the pixels of a cache depend on: the shorter side in pixels, and how the images were mean-pooled, if so.

    `pooling` is what `pooling.json` next to mean-pooled images says; photographs as they are have none.
    """

    shorter_side: int
    pooling: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One shard's images: names, classes, sizes in pixels, digests of the pixels, and the digest of the whole file."""

    names: list[str]
    labels: list[int]
    heights: list[int]
    widths: list[int]
    digests: list[int]
    sha256: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPlan:
    """Which images a shard is to hold, and how they are to be made."""

    number: int
    photographs: Photographs
    settings: CacheSettings


def planned(photographs: Photographs, settings: CacheSettings) -> tuple[ShardPlan, ...]:
    """The shards of the photographs, in their order."""
    starts = range(0, len(photographs.files), IMAGES_PER_SHARD)
    parts = [slice(start, start + IMAGES_PER_SHARD) for start in starts]
    several = [Photographs(files=photographs.files[part], labels=photographs.labels[part]) for part in parts]
    return tuple(ShardPlan(number=number, photographs=each, settings=settings) for number, each in enumerate(several))


def resized(image: Image.Image, shorter_side: int) -> npt.NDArray[np.uint8]:
    """The image in RGB [row column channel] with its shorter side so long, as torchvision's Resize does it."""
    short = min(image.size)
    width, height = (int(shorter_side * side / short) if side > short else shorter_side for side in image.size)
    return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))


def is_written(folder: Path, plan: ShardPlan) -> bool:
    """Whether a shard is there with the images that it is to hold."""
    described, pixels = _shard_paths(folder, plan.number)
    try:
        shard = Shard(**json.loads(described.read_text()))
        size = pixels.stat().st_size
    except (OSError, ValueError, TypeError):
        return False
    found = (shard.names, shard.labels, shard.settings)
    wanted = ([*plan.photographs.names], plan.photographs.labels.tolist(), asdict(plan.settings))
    return found == wanted and size == sum(_num_bytes(shard))


def write_shard(source: Path, folder: Path, plan: ShardPlan) -> dict[str, str]:
    """Decode a shard's images; why images could not be read, by file. With any of these the shard is not written."""
    failures = dict[str, str]()
    pictures: list[npt.NDArray[np.uint8]] = []
    for file in plan.photographs.files:
        try:
            with Image.open(source / file) as opened:
                pictures.append(resized(opened, plan.settings.shorter_side))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            failures[file] = f"{type(error).__name__}: {error}"
    if failures:
        return failures
    whole = hashlib.sha256()
    for picture in pictures:
        whole.update(picture.data)
    shard = Shard(
        names=[*plan.photographs.names],
        labels=plan.photographs.labels.tolist(),
        heights=[picture.shape[0] for picture in pictures],
        widths=[picture.shape[1] for picture in pictures],
        digests=[_digest(picture) for picture in pictures],
        sha256=whole.hexdigest(),
        settings=asdict(plan.settings),
    )
    described, pixels = _shard_paths(folder, plan.number)
    described.unlink(missing_ok=True)
    _write(pixels, pictures)
    _write(described, [json.dumps(asdict(shard)).encode()])
    return {}


def finish(folder: Path, plans: Sequence[ShardPlan]) -> str:
    """Write the index and the manifest of a cache whose shards are all there; its fingerprint.

    Shards beyond them, of an earlier and longer listing, are removed.
    """
    shards = [Shard(**json.loads(_shard_paths(folder, each.number)[0].read_text())) for each in plans]
    offsets = [np.concatenate([[0], np.cumsum(_num_bytes(each))[:-1]]) for each in shards]
    columns = {name: [item for each in shards for item in getattr(each, name)] for name in _COLUMNS}
    table = pa.table(
        {
            **{name: pa.array(columns[name], kind) for name, kind in _COLUMNS.items()},
            "shard": pa.array(np.repeat(np.arange(len(shards)), [len(each.names) for each in shards]), pa.int64()),
            "offset": pa.array(np.concatenate(offsets), pa.int64()),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    _write(folder / INDEX, [sink.getvalue()])
    settings = asdict(plans[0].settings)
    fingerprint = _fingerprint(settings, shards)
    manifest = {"format": FORMAT, **settings, "num_images": table.num_rows, "fingerprint": fingerprint}
    _write(folder / MANIFEST, [(json.dumps(manifest, indent=2) + "\n").encode()])
    _remove_shards(folder, after=len(shards))
    return fingerprint


_COLUMNS = {
    "names": pa.string(),
    "labels": pa.int64(),
    "heights": pa.int64(),
    "widths": pa.int64(),
    "digests": pa.uint64(),
}


def _fingerprint(settings: dict[str, Any], shards: Sequence[Shard]) -> str:
    listed = [[each.names, each.labels, each.heights, each.widths, each.sha256] for each in shards]
    text = json.dumps([FORMAT, settings, listed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cache_fingerprint(folder: Path) -> str:
    """The fingerprint of every pixel that a cache says it has. Raises ValueError if it is not finished."""
    try:
        found = json.loads((folder / MANIFEST).read_text())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is no finished cache of images ({error}): {REMEDY}") from None
    return str(found)


def _shard_paths(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"shard-{number:05d}.json", folder / f"shard-{number:05d}.bin"


def _num_bytes(shard: Shard) -> list[int]:
    return [3 * height * width for height, width in zip(shard.heights, shard.widths, strict=True)]


def _digest(picture: npt.NDArray[np.uint8]) -> int:
    """What tells the pixels of one image from those of another."""
    found = hashlib.blake2b(picture.data, digest_size=8, key=str(picture.shape).encode())
    return int.from_bytes(found.digest(), "big")


def _remove_shards(folder: Path, *, after: int) -> None:
    for path in folder.glob("shard-*.*"):
        if int(path.stem.removeprefix("shard-")) >= after:
            path.unlink()


def _write(path: Path, parts: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCache:
    """A finished cache. Arrays have one value an image; `offsets` are places in the image's shard, in bytes."""

    folder: Path
    settings: CacheSettings
    fingerprint: str
    names: tuple[str, ...]
    labels: Classes
    digests: Digests
    heights: Indices
    widths: Indices
    shards: tuple[npt.NDArray[np.uint8], ...]
    shard_of: Indices
    offsets: Indices

    @staticmethod
    def opened(folder: Path) -> "ImageCache":
        """The cache in a folder. Raises ValueError if there is none, it is not finished, or files of it are damaged."""
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            table = pq.read_table(folder / INDEX)
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder} is no finished cache of images ({error}): {REMEDY}") from None
        if manifest.get("format") != FORMAT or manifest.get("num_images") != table.num_rows:
            raise ValueError(f"{folder} is a cache of another format or of other images than it says: {REMEDY}")
        settings = CacheSettings(shorter_side=manifest["shorter_side"], pooling=manifest["pooling"])
        _check_described(folder, manifest["fingerprint"], settings, num_shards=_num_shards(table))
        arrays = {
            name: table[name].to_numpy() for name in ("labels", "digests", "heights", "widths", "shard", "offset")
        }
        return ImageCache(
            folder=folder,
            settings=settings,
            fingerprint=manifest["fingerprint"],
            names=tuple(table["names"].to_pylist()),
            labels=arrays["labels"],
            digests=arrays["digests"],
            heights=arrays["heights"],
            widths=arrays["widths"],
            shards=_mapped(folder, arrays),
            shard_of=arrays["shard"],
            offsets=arrays["offset"],
        )

    def places(self, names: Sequence[str]) -> Indices:
        """Where the named images are. Raises ValueError, naming some, for images that the cache lacks."""
        known = {name: place for place, name in enumerate(self.names)}
        if absent := [name for name in names if name not in known]:
            raise ValueError(f"{self.folder} lacks {len(absent):,} images, first {absent[:3]}: {REMEDY} from all")
        return np.array([known[name] for name in names], dtype=np.int64)

    def check_pixels(self) -> None:
        """Look at one image of every shard. Raises ValueError if its pixels are not those that were cached."""
        _, places = np.unique(self.shard_of, return_index=True)
        for place in places:
            if _digest(self.image(place)) != self.digests[place]:
                path = _shard_paths(self.folder, int(self.shard_of[place]))[1]
                raise ValueError(f"{path} has other pixels than were cached: remove it, and {REMEDY} once more")

    def image(self, place: int | np.int64) -> npt.NDArray[np.uint8]:
        """One image whole, [row column channel]."""
        height, width, start = (int(each[place]) for each in (self.heights, self.widths, self.offsets))
        pixels: npt.NDArray[np.uint8] = self.shards[self.shard_of[place]][start : start + 3 * height * width]
        return pixels.reshape(height, width, 3)


def _num_shards(table: pa.Table) -> int:
    return 1 + int(table["shard"].to_numpy().max(initial=-1))


def _check_described(folder: Path, fingerprint: str, settings: CacheSettings, *, num_shards: int) -> None:
    """Raise ValueError if the shards' descriptions have another fingerprint than the cache states."""
    try:
        paths = [_shard_paths(folder, number)[0] for number in range(num_shards)]
        shards = [Shard(**json.loads(path.read_text())) for path in paths]
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{folder} lacks the description of a shard ({error}): {REMEDY} once more") from None
    if _fingerprint(asdict(settings), shards) != fingerprint:
        raise ValueError(f"{folder} has shards of other images than it says: {REMEDY} once more")


def _mapped(folder: Path, arrays: dict[str, Any]) -> tuple[npt.NDArray[np.uint8], ...]:
    """The shards' pixels. Raises ValueError if a file is absent or has another length than its images."""
    sizes = np.bincount(arrays["shard"], weights=3.0 * arrays["heights"] * arrays["widths"]).astype(np.int64)
    paths = [_shard_paths(folder, number)[1] for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        found = path.stat().st_size if path.is_file() else 0
        if found != size:
            raise ValueError(f"{path} has {found:,} bytes and not {size:,}: {REMEDY} once more, which makes it again")
    return tuple(np.memmap(path, np.uint8, mode="r") for path in paths)
