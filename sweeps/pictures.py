"""Pictures beside the rows of a grid of image classifiers, for reports that read no store.

Contact sheets of the tasks that it draws its images from, and the first layers of its masks. A grid without image
classifiers has neither.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

import numpy as np

from subind.fingerprint import run_id
from subind.side_results import FIRST_LAYER_SCHEMA, IMAGE_SCHEMA, picture_table
from subind.spec import Donor, Mask, Spec, Transfer
from subind.store import Store
from subind.tasks import shapes
from subind.tasks.outlines import SHAPES
from subind.tasks.textures import TEXTURES
from subind.vision_spec import ResNet, ShapesTask, ViT
from sweeps.mask_counts import MASK_FILE
from sweeps.plan import Plan
from sweeps.row_files import write_side_table

if TYPE_CHECKING:
    from subind.masks import HardMask

MOST_TASKS = 4
MOST_MASKS = 12
MOST_FILTERS = 64
IMAGES_ACROSS = 10
NUM_DRAWN = 256
"""Images of which the sheet shows the first of every label."""

Row = dict[str, Any]
SCHEMAS = {"images": IMAGE_SCHEMA, "first_layers": FIRST_LAYER_SCHEMA}


def write_pictures(plan: Plan, store: Store, rows: Path) -> None:
    """Write both files beside the rows; there is none where there is nothing to show."""
    tasks = drawn_tasks(plan.runs.values())[:MOST_TASKS]
    _write(rows, "images", [row for task in tasks for row in contact_sheet(task)])
    masks = [spec for run, spec in plan.runs.items() if run in plan.finished and _first_matrix(spec)][:MOST_MASKS]
    _write(rows, "first_layers", [row for spec in masks for row in _first_layers(spec, store)])


def drawn_tasks(runs: Iterable[object]) -> tuple[ShapesTask, ...]:
    """The distinct tasks of drawn images among the fields of the specs, in their order."""
    found: dict[ShapesTask, None] = {}
    for run in runs:
        if isinstance(run, Donor | Mask | Transfer):
            continue
        for each in fields(run):  # type: ignore[arg-type]  # every spec is a dataclass
            value = getattr(run, each.name)
            if isinstance(value, ShapesTask):
                found[value] = None
    return tuple(found)


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
    return [
        {
            "task": _worded(task),
            "kind": kind,
            "caption": caption,
            "place": place,
            "height": image.shape[0],
            "width": image.shape[1],
            "pixels": image.tobytes(),
        }
        for kind, images, words in several
        for place, (image, caption) in enumerate(zip(images, words, strict=True))
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


def _first_matrix(run: object) -> tuple[str, ResNet | ViT] | None:
    """The first convolution of a mask of an image classifier, and that classifier; None for any other run."""
    match run:
        case object(donor=object(model=ResNet() as model)):
            return "conv1.weight", model
        case object(donor=object(model=ViT() as model)):
            return "conv_proj.weight", model
        case _:
            return None


def _first_layers(spec: Spec, store: Store) -> list[Row]:
    """The row of a mask; none for another run, and if the store has not its bits, or has damaged ones."""
    found = _first_matrix(spec)
    if found is None:
        return []
    try:
        from subind.masks import unpacked_bits

        bits = unpacked_bits(store.artifact(spec, MASK_FILE))
    except (ValueError, OSError):
        return []
    name, model = found
    return [{"mask_id": run_id(spec), "seed": spec.seed, **first_layer(bits, name, model=model)}]


def first_layer(bits: "Mapping[str, Any] | HardMask", name: str, *, model: ResNet | ViT) -> Row:
    """What FIRST_LAYER_SCHEMA says of a matrix [filter channel row column], but for the mask and its seed."""
    whole = np.asarray(bits[name]).astype(np.uint8)
    some = whole[:MOST_FILTERS]
    return {
        "model": _model_worded(model),
        "matrix": name,
        "num_filters": len(whole),
        "num_kept": int(whole.sum()),
        "num_weights": whole.size,
        "num_shown": len(some),
        "height": whole.shape[2],
        "width": whole.shape[3],
        "bits": some.tobytes(),
    }


def _model_worded(model: ResNet | ViT) -> str:
    match model:
        case ResNet():
            return f"ResNet of {sum(model.num_blocks)} blocks"
        case ViT():
            return f"ViT of {model.num_layers} layers"
        case _:
            assert_never(model)


def _write(rows: Path, name: Literal["images", "first_layers"], found: list[Row]) -> None:
    """Write one of the files, whole or not at all; none for no rows."""
    path = Path(picture_table(str(rows), name))
    write_side_table(path, found, SCHEMAS[name])
