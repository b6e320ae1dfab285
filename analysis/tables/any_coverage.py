"""Coverage of any task: of the planned runs of each stage and start, how many have which status."""

import pandas as pd

from analysis.rows import recipients as any_task
from analysis.rows.recipients import Comparison
from analysis.rows.wording import DASH
from analysis.tables import coverage
from subind.store.results import STATUSES


def table(rows: pd.DataFrame, given: Comparison) -> pd.DataFrame:
    """One row per stage, task and start (absent for donors and masks): planned and the statuses."""
    starts = given.rows["start"].reindex(rows.index)
    marks = pd.DataFrame({status: (rows["status"] == status).astype("int64") for status in STATUSES})
    counted = pd.concat([rows[["stage", "task"]].assign(start=starts), marks], axis=1)
    grouped = counted.groupby(["stage", "task", "start"], dropna=False, as_index=False)
    counts = grouped.agg(planned=("finished", "size"), **{status: (status, "sum") for status in STATUSES})
    order = any_task.in_order(counts["start"].dropna().to_list(), given.reference)
    ranks = counts["start"].map({start: place for place, start in enumerate(order)}).fillna(-1)
    by_stage = counts["stage"].map(coverage.STAGES.index)
    sorted_counts = counts.assign(by_stage=by_stage, rank=ranks).sort_values(["by_stage", "task", "rank"])
    return sorted_counts.drop(columns=["by_stage", "rank"]).reset_index(drop=True)


def sentences(found: pd.DataFrame) -> list[str]:
    """For each stage one sentence that says how many of its runs finished and what became of the others."""
    return coverage.sentences(found)


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    return pd.DataFrame(
        {
            "stage": found["stage"],
            "task": found["task"].fillna(DASH),
            "start": found["start"].fillna(DASH),
            **{name: found[name].astype("string") for name in ("planned", *STATUSES)},
        }
    )
