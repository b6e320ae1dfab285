"""Result rows as a file and as a frame."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.rows.load import load
from subind.store.schemas import ROW_SCHEMA
from tests.analysis.rows import Row


@pytest.fixture
def rows_file(tmp_path: Path) -> Callable[[list[Row]], Path]:
    """Writes rows as Parquet with the schema of result rows and gives the path."""

    def write(rows: list[Row]) -> Path:
        path = tmp_path / "rows.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), path)
        return path

    return write


@pytest.fixture
def rows_frame(rows_file: Callable[[list[Row]], Path]) -> Callable[[list[Row]], pd.DataFrame]:
    """The rows as `analysis.load` reads them."""
    return lambda rows: load(rows_file(rows))
