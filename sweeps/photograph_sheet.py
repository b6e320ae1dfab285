"""A contact sheet of the photographs that a grid is about, beside its rows: made when a sweep on them begins."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from subind.specs.runs import ImageDonor, ImageNet16Task, ImageTransfer
from subind.store.side_results import IMAGE_SCHEMA, picture_table
from subind.tasks import photographs
from subind.tasks.cue_conflict import IMAGENET16, cues
from sweeps.pictures import IMAGES_ACROSS, Picture, Row, sheet
from sweeps.plan import Plan
from sweeps.row_files import write_side_table

SIDE = 112
"""Of a picture on the sheet, in pixels."""


def write_photograph_sheet(found: Plan, images: str, rows: Path) -> None:
    """Write the sheet of the first recipient or donor that is trained on photographs; nothing if there is none.

    Raises ValueError if the folder `images` has not what the grid asks for.
    """
    for spec in found.runs.values():
        if isinstance(spec, ImageDonor | ImageTransfer) and isinstance(spec.task, ImageNet16Task):
            made = photograph_sheet(spec.task, spec.num_evaluation_samples, images)
            rows.parent.mkdir(parents=True, exist_ok=True)
            write_side_table(Path(picture_table(str(rows), "photographs")), made, IMAGE_SCHEMA)
            return


def photograph_sheet(task: ImageNet16Task, num_images: int, images: str) -> list[Row]:
    """Rows of IMAGE_SCHEMA: a test image of each of the first classes, the same mean-pooled, and as many conflicts."""
    original, labels = photographs.evaluation_images(task, "test", "original", num_images, folder=images)
    pooled, _ = photographs.evaluation_images(task, "test", "mean_pooled", num_images, folder=images)
    classes, firsts = np.unique(labels.numpy(), return_index=True)
    chosen, captions = firsts[:IMAGES_ACROSS], [IMAGENET16[each] for each in classes[:IMAGES_ACROSS]]
    conflicts = _conflicts(Path(images) / photographs.CUE_CONFLICT)
    several = (
        ("original", _shown(original, chosen), captions),
        ("mean_pooled", _shown(pooled, chosen), captions),
        ("cue_conflict", [_small(Image.open(path)) for path, _ in conflicts], [words for _, words in conflicts]),
    )
    worded = f"16-class ImageNet; {task.image_size}×{task.image_size} pixels; segments by {task.segmenter}"
    return sheet(worded, several)


def _conflicts(folder: Path) -> list[tuple[Path, str]]:
    """The first image of each of the first shapes whose texture is of another class, with both classes in words."""
    found: dict[str, tuple[Path, str]] = {}
    for path in sorted(folder.glob("*/*.png")):
        shape, texture = cues(path.name)
        if shape != texture:
            found.setdefault(IMAGENET16[shape], (path, f"{IMAGENET16[shape]}\n{IMAGENET16[texture]}"))
    return list(found.values())[:IMAGES_ACROSS]


def _shown(pixels: torch.Tensor, chosen: npt.NDArray[np.int64]) -> list[Picture]:
    return [_small(Image.fromarray(pixels[place].permute(1, 2, 0).numpy())) for place in chosen]


def _small(picture: Image.Image) -> Picture:
    with picture:
        return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
