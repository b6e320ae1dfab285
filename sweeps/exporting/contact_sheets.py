"""Pictures next to the rows of a grid of image classifiers, for reports that read no store.

Contact sheets of the tasks with images, and the first layers of masks. Every export writes drawn images. Photographs
are written once, when a sweep on them begins, because an export knows no folder of images.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from subind.identity.run_ids import run_id
from subind.specs.base import behaviour
from subind.specs.run import MaskRun, Run
from subind.store.schemas import FIRST_LAYER_SCHEMA, IMAGE_SCHEMA, picture_table
from subind.store.store import Store
from sweeps.exporting.mask_counts import MASK_FILE
from sweeps.exporting.row_files import write_side_table
from sweeps.grids.cells import planned_columns
from sweeps.planning.plan import Plan

if TYPE_CHECKING:
    from torch import Tensor

    from subind.masks.hard import HardMask

MOST_TASKS = 8
MOST_MASKS = 12
MOST_FILTERS = 64
IMAGES_ACROSS = 10
LARGEST_SIDE = 112
"""Pixels; larger pictures are scaled down."""
NUM_DRAWN = 256
"""The number of drawn images from which the sheet takes the first of every label; among the cue-conflict images
every shape occurs."""

Row = dict[str, Any]
Picture = npt.NDArray[np.uint8]
Name = Literal["images", "photographs", "first_layers"]
SCHEMAS = {"images": IMAGE_SCHEMA, "photographs": IMAGE_SCHEMA, "first_layers": FIRST_LAYER_SCHEMA}


def write_pictures(plan: Plan, store: Store, rows: Path) -> None:
    """Write both files next to the rows; no file if there is nothing to show."""
    tasks = shown_tasks(plan.runs.values(), of_folder=False)[:MOST_TASKS]
    _write(rows, "images", [row for task in tasks for row in contact_sheet(task, num_images=NUM_DRAWN)])
    finished = [spec for run, spec in plan.runs.items() if run in plan.finished]
    _write(rows, "first_layers", [row for spec in shown_masks(finished) for row in _first_layers(spec, store)])


def write_photograph_sheet(plan: Plan, images: str, rows: Path) -> None:
    """Write the sheet of the first run on photographs of the folder `images`; nothing if there is none.

    Raises ValueError if the folder lacks what the grid asks for.
    """
    wanted = shown_tasks(plan.runs.values(), of_folder=True)
    if wanted:
        number = next(run.num_evaluation_samples for run in plan.runs.values() if run.task == wanted[0])  # type: ignore[attr-defined]
        rows.parent.mkdir(parents=True, exist_ok=True)
        _write(rows, "photographs", contact_sheet(wanted[0], num_images=number, folder=images))


def shown_masks(runs: Iterable[Run]) -> list[MaskRun]:
    """At most MOST_MASKS masks of networks with a first layer to show, equally many for each kind of donor."""
    of_kind: dict[str, list[MaskRun]] = {}
    for run in runs:
        if isinstance(run, MaskRun) and run.network.first_layer():
            of_kind.setdefault(_donor_worded(run), []).append(run)
    share = MOST_MASKS // max(1, len(of_kind))
    return [mask for several in of_kind.values() for mask in several[: max(1, share)]][:MOST_MASKS]


def shown_tasks(runs: Iterable[Run], *, of_folder: bool) -> list[Any]:
    """The tasks with images, in the order of the runs; of tasks that differ only in their seed the first.

    They are those whose images are made from a folder, or those that need none.
    """
    tasks = dict.fromkeys(run.task for run in runs)
    found: dict[str, Any] = {}
    for task in tasks:
        if task.sheet_title() and task.needs_images() == of_folder:
            found.setdefault(task.sheet_title(), task)
    return list(found.values())


def contact_sheet(task: Any, *, num_images: int, folder: str = "") -> list[Row]:
    """Rows of IMAGE_SCHEMA: a test image of each of the first classes, the same mean-pooled, and as many conflicts.

    They are chosen from the first `num_images` test images. Raises ValueError if the folder has fewer.
    """
    shown = behaviour(task)
    original, pooled = (shown.images("test", kind, num_images, folder=folder) for kind in ("original", "mean_pooled"))
    chosen = _firsts(original.labels.numpy())
    captions = _at(shown.captions("test", original.labels), chosen)
    number = task.num_cue_conflict if task.needs_images() else NUM_DRAWN
    conflicts = shown.conflict_images(number, folder=folder)
    differ = np.flatnonzero(conflicts.shapes != conflicts.textures)
    of_shapes = differ[_firsts(conflicts.shapes[differ])]
    several = (
        ("original", _pictures(original.pixels, chosen), captions),
        ("mean_pooled", _pictures(pooled.pixels, chosen), captions),
        ("cue_conflict", _pictures(conflicts.pixels, of_shapes), _at(shown.conflict_captions(conflicts), of_shapes)),
    )
    return sheet(task.sheet_title(), several)


def _firsts(classes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The places of the first image of each of the first classes."""
    _, firsts = np.unique(classes, return_index=True)
    return firsts[:IMAGES_ACROSS]


def _at(captions: Sequence[str], chosen: npt.NDArray[np.int64]) -> list[str]:
    return [captions[place] for place in chosen]


def _pictures(pixels: "Tensor", chosen: npt.NDArray[np.int64]) -> list[Picture]:
    """Pixels [image 3 row column] at the places, each [row column 3] and no larger than LARGEST_SIDE."""
    return [_small(pixels[int(place)].permute(1, 2, 0).numpy()) for place in chosen]


def _small(picture: Picture) -> Picture:
    if max(picture.shape) <= LARGEST_SIDE:
        return picture
    smaller = Image.fromarray(picture).resize((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(smaller)


def sheet(task: str, several: Iterable[tuple[str, Iterable[Picture], Iterable[str]]]) -> list[Row]:
    """Rows of IMAGE_SCHEMA: of each kind its pictures, uint8 [row column channel], and their captions."""
    return [
        {
            "task": task,
            "kind": kind,
            "caption": caption,
            "place": place,
            "height": picture.shape[0],
            "width": picture.shape[1],
            "pixels": picture.tobytes(),
        }
        for kind, pictures, captions in several
        for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True))
    ]


def _first_layers(spec: MaskRun, store: Store) -> list[Row]:
    """The row of a mask; none if its bits in the store are missing or damaged."""
    try:
        from subind.masks.hard import unpacked_bits

        bits = unpacked_bits(store.artifact(spec, MASK_FILE))
    except (ValueError, OSError):
        return []
    name = spec.network.first_layer()
    if name not in bits:
        return []
    return [{"mask_id": run_id(spec), "model": _donor_worded(spec), "seed": spec.seed, **first_layer(bits, name)}]


def first_layer(bits: "Mapping[str, Any] | HardMask", name: str) -> Row:
    """What FIRST_LAYER_SCHEMA says of a matrix [filter channel row column], but for whose it is."""
    whole = np.asarray(bits[name]).astype(np.uint8)
    some = whole[:MOST_FILTERS]
    return {
        "matrix": name,
        "num_filters": len(whole),
        "num_kept": int(whole.sum()),
        "num_weights": whole.size,
        "num_shown": len(some),
        "height": whole.shape[2],
        "width": whole.shape[3],
        "bits": some.tobytes(),
    }


def _donor_worded(mask: MaskRun) -> str:
    untrained = ", untrained" if planned_columns(mask)["donor_kind"] == "untrained" else ""
    return f"{mask.network.name}{untrained}"


def _write(rows: Path, name: Name, found: list[Row]) -> None:
    """Write one of the files, whole or not at all; no file for no rows."""
    path = Path(picture_table(str(rows), name))
    write_side_table(path, found, SCHEMAS[name])
