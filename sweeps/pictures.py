"""Pictures beside the rows of a grid of image classifiers, for reports that read no store.

Contact sheets of the tasks that it draws its images from, and the first layers of its masks. A grid without image
classifiers has neither.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

import numpy as np
import numpy.typing as npt

from subind.identity.run_ids import run_id
from subind.specs.runs import Donor, ImageMask, Mask, Spec, Transfer
from subind.specs.vision import ResNet, ShapesTask, ViT
from subind.store.side_results import FIRST_LAYER_SCHEMA, IMAGE_SCHEMA, picture_table
from subind.store.store import Store
from subind.tasks import shapes
from subind.tasks.outlines import SHAPES
from subind.tasks.textures import TEXTURES
from sweeps.cells import planned_columns
from sweeps.mask_counts import MASK_FILE
from sweeps.plan import Plan
from sweeps.row_files import write_side_table

if TYPE_CHECKING:
    from subind.masks.hard import HardMask

MOST_TASKS = 8
MOST_MASKS = 12
MOST_FILTERS = 64
IMAGES_ACROSS = 10
NUM_DRAWN = 256
"""Images of which the sheet shows the first of every label."""

Row = dict[str, Any]
Picture = npt.NDArray[np.uint8]
SCHEMAS = {"images": IMAGE_SCHEMA, "first_layers": FIRST_LAYER_SCHEMA}


def write_pictures(plan: Plan, store: Store, rows: Path) -> None:
    """Write both files beside the rows; there is none where there is nothing to show."""
    tasks = drawn_tasks(plan.runs.values())[:MOST_TASKS]
    _write(rows, "images", [row for task in tasks for row in contact_sheet(task)])
    finished = [spec for run, spec in plan.runs.items() if run in plan.finished]
    _write(rows, "first_layers", [row for spec in shown_masks(finished) for row in _first_layers(spec, store)])


def shown_masks(runs: Iterable[Spec]) -> list[ImageMask]:
    """At most MOST_MASKS of the image classifiers' masks, of each kind of donor as many."""
    of_kind: dict[str, list[ImageMask]] = {}
    for run in runs:
        if isinstance(run, ImageMask):
            of_kind.setdefault(_donor_worded(run), []).append(run)
    share = MOST_MASKS // max(1, len(of_kind))
    return [mask for several in of_kind.values() for mask in several[: max(1, share)]][:MOST_MASKS]


def drawn_tasks(runs: Iterable[object]) -> tuple[ShapesTask, ...]:
    """The tasks of drawn images among the fields of the specs, in their order; of those of other seeds the first."""
    found: dict[ShapesTask, ShapesTask] = {}
    for run in runs:
        if isinstance(run, Donor | Mask | Transfer):
            continue
        for each in fields(run):  # type: ignore[arg-type]  # every spec is a dataclass
            value = getattr(run, each.name)
            if isinstance(value, ShapesTask):
                found.setdefault(replace(value, data_seed=0), value)
    return tuple(found.values())


def contact_sheet(task: ShapesTask) -> list[Row]:
    """Rows of IMAGE_SCHEMA: an image of each of the first labels, the same mean-pooled, and as many conflicts."""
    made = shapes.drawn(task, np.arange(NUM_DRAWN))
    _, firsts = np.unique(made.labels, return_index=True)
    chosen = firsts[:IMAGES_ACROSS]
    pooled = shapes.mean_pooled(made.images[chosen], made.segments[chosen])
    pairs_of_a_shape = shapes.NUM_CLASSES - 1
    conflicts = shapes.cue_conflict(task, np.arange(IMAGES_ACROSS) * (pairs_of_a_shape + 2))
    captions = _captions(made.shapes[chosen], made.textures[chosen])
    several = (
        ("original", made.images[chosen], captions),
        ("mean_pooled", pooled, captions),
        ("cue_conflict", conflicts.images, _captions(conflicts.shapes, conflicts.textures)),
    )
    return sheet(_worded(task), several)


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


def _captions(shape_numbers: Iterable[int], texture_numbers: Iterable[int]) -> list[str]:
    of_shape, of_texture = ([name.replace("_", " ") for name in each] for each in (SHAPES, TEXTURES))
    pairs = zip(shape_numbers, texture_numbers, strict=True)
    return [f"{of_shape[shape]}\n{of_texture[texture]}" for shape, texture in pairs]


def _worded(task: ShapesTask) -> str:
    return (
        f"{task.image_size}×{task.image_size} pixels; predictivity of shape {task.shape_predictivity:g}, of texture "
        f"{task.texture_predictivity:g}; contrast of shape {task.shape_contrast:g}, of texture "
        f"{task.texture_contrast:g}; data seed {task.data_seed}"
    )


def _first_layers(spec: ImageMask, store: Store) -> list[Row]:
    """The row of a mask; none if the store has not its bits, or has damaged ones."""
    try:
        from subind.masks.hard import unpacked_bits

        bits = unpacked_bits(store.artifact(spec, MASK_FILE))
    except (ValueError, OSError):
        return []
    name = "conv1.weight" if isinstance(spec.donor.model, ResNet) else "conv_proj.weight"
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


def _donor_worded(mask: ImageMask) -> str:
    untrained = ", untrained" if planned_columns(mask)["donor_kind"] == "untrained" else ""
    match mask.donor.model:
        case ResNet() as model:
            return f"ResNet of {sum(model.num_blocks)} blocks{untrained}"
        case ViT() as model:
            return f"ViT of {model.num_layers} layers{untrained}"
        case _:
            assert_never(mask.donor.model)


def _write(rows: Path, name: Literal["images", "first_layers"], found: list[Row]) -> None:
    """Write one of the files, whole or not at all; none for no rows."""
    path = Path(picture_table(str(rows), name))
    write_side_table(path, found, SCHEMAS[name])
