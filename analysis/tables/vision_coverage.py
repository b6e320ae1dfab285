"""Coverage of image classifiers: of the planned cells of each stage, model and start, how many have which status."""

import pandas as pd

from analysis.rows import images as vision
from analysis.rows.wording import DASH
from analysis.tables import coverage
from analysis.tables.table_1 import settings_shown
from subind.store.results import STATUSES


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per stage, model and start (absent for masks), after the varying settings: planned and the statuses."""
    key = ["stage", *vision.varying(rows), "model", "start"]
    marks = pd.DataFrame({status: (rows["status"] == status).astype("int64") for status in STATUSES})
    counted = pd.concat([rows[key], marks], axis=1).groupby(key, dropna=False, as_index=False)
    counts = counted.agg(planned=("finished", "size"), **{status: (status, "sum") for status in STATUSES})
    return counts.sort_values(key, key=_rank, kind="stable", ignore_index=True)


def _rank(column: pd.Series) -> pd.Series:
    match column.name:
        case "stage":
            return column.map(coverage.STAGES.index)
        case "start":
            order = vision.in_order(column.dropna().to_list())
            return pd.Series([-1 if pd.isna(name) else order.index(name) for name in column], index=column.index)
        case _:
            return column


def sentences(rows: pd.DataFrame) -> list[str]:
    """For each stage one sentence that says how many of its cells finished and what became of the others."""
    return coverage.sentences(table(rows))


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    return pd.DataFrame(
        {
            "stage": found["stage"],
            **settings_shown(found),
            "model": found["model"],
            "start": found["start"].fillna(DASH),
            **{name: found[name].astype("string") for name in ("planned", *STATUSES)},
        }
    )
