"""Coverage of image classifiers: of the planned cells of each stage, model and start, how many have which status."""

import pandas as pd

from analysis import vision
from analysis.tables import coverage
from analysis.tables.table_1 import settings_shown
from analysis.tables.wording import DASH
from subind.results import STATUSES


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per stage, model and start (absent for masks), after the varying settings: planned and the statuses."""
    key = ["stage", *vision.varying(rows), "model", "start"]
    marks = pd.DataFrame({status: (rows["status"] == status).astype("int64") for status in STATUSES})
    counted = pd.concat([rows[key], marks], axis=1).groupby(key, dropna=False, as_index=False)
    return counted.agg(planned=("finished", "size"), **{status: (status, "sum") for status in STATUSES})


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
