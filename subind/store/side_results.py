"""Pictures that stand beside result rows, for reports that read no store: images of a task, and first layers of masks.

`sweeps.exporting.contact_sheets` writes them when rows are exported. No torch.
"""

from typing import Literal

import pyarrow as pa

IMAGE_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("task", "kind", "caption")),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("place", "height", "width")),
        pa.field("pixels", pa.binary(), nullable=False),
    ],
    metadata={
        "task": "the task in words",
        "kind": "original, mean_pooled or cue_conflict",
        "place": "the column of the contact sheet; an original and the same mean-pooled have the same",
        "pixels": "uint8 [row column channel]",
    },
)
"""One row per image of a contact sheet."""

FIRST_LAYER_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("mask_id", "model", "matrix")),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("seed", "num_filters", "num_kept", "num_weights")),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("num_shown", "height", "width")),
        pa.field("bits", pa.binary(), nullable=False),
    ],
    metadata={
        "num_shown": "filters that `bits` holds, the first of num_filters; the other counts are of all filters",
        "bits": "one byte a weight, 1 where it is kept, [filter channel row column]",
    },
)
"""One row per mask of an image classifier: which weights of its first convolution it keeps."""


def picture_table(rows: str, name: Literal["images", "photographs", "first_layers"]) -> str:
    """The path of a table of pictures that stands beside a file of result rows."""
    return f"{rows.removesuffix('.parquet')}.{name}.parquet"
