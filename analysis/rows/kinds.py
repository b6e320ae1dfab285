"""Which part of a report a result row belongs to: arithmetic, image classifiers, any other task, or measurements.

Arithmetic is compared over numbers of disambiguation samples, image classifiers over shape bias; every other task, also
those that users write, over what its rows say (`analysis.rows.recipients`).
"""

from os import PathLike
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

Kind = Literal["arithmetic", "images", "any_task", "measurement"]

_COLUMNS = ("model", "task", "modulus", "num_layers", "d_model", "num_disambiguation", "num_training_images")

Rows = npt.NDArray[np.bool_]


def chosen(path: str | PathLike[str], kind: Kind) -> Rows:
    """Which rows of a file are of the kind, in the order of the file.

    Files of before there was a column `task` hold arithmetic, where a row has no model, and image classifiers.
    """
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    table = file.read(columns=["stage", *(name for name in _COLUMNS if name in names)])
    given = table.to_pandas().reindex(columns=["stage", *_COLUMNS])
    return _by_kind(given)[kind]


def filtered(table: pa.Table, path: str | PathLike[str], kind: Kind) -> pa.Table:
    """The rows of the kind of a table that holds all rows of the file in their order."""
    rows = chosen(path, kind)
    return table if rows.all() else table.filter(pa.array(rows))


def _by_kind(given: pd.DataFrame) -> dict[Kind, Rows]:
    has = {name: given[name].notna().to_numpy() for name in _COLUMNS}
    stage = given["stage"].to_numpy()
    is_measured, is_transfer = stage == "measurement", stage == "transfer"
    images = ~is_measured & has["model"] & (~has["task"] | has["num_training_images"])
    numbers = has["modulus"] & has["num_layers"] & has["d_model"]
    rule = ~is_measured & ~images & has["task"] & numbers & (~is_transfer | has["num_disambiguation"])
    others = ~is_measured & ~images & has["task"] & ~rule
    if not (rule & is_transfer).any() and (others & is_transfer).any():
        rule, others = np.zeros_like(rule), rule | others
    return {
        "arithmetic": rule | (~is_measured & ~images & ~has["task"]),
        "images": images,
        "any_task": others,
        "measurement": is_measured,
    }
