"""The table of coverage: of the planned cells of each stage, control and depth, how many have which status.

A setting that varies among the transfers has a column, absent for the runs that do not have it. Every run counts once.
"""

import pandas as pd

from analysis.rows import controls, settings
from analysis.rows.load import transfers
from analysis.rows.wording import DASH
from subind.store.results import STATUSES

STAGES = ("donor", "mask", "transfer")


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per stage, control (absent for donors and masks) and depth, with the counts of its planned cells.

    Columns: stage, the varying settings, control, num_layers, planned and the statuses. The statuses are those of
    `subind.store.results.STATUSES` and sum to `planned`.
    """
    key = ["stage", *settings.varying(transfers(rows)), "control", "num_layers"]
    marks = pd.DataFrame({status: (rows["status"] == status).astype("int64") for status in STATUSES})
    counted = pd.concat([rows[key], marks], axis=1).groupby(key, dropna=False, as_index=False)
    counts = counted.agg(planned=("finished", "size"), **{status: (status, "sum") for status in STATUSES})
    return counts.sort_values(key, key=_rank, kind="stable", ignore_index=True)


def shown(coverage: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    counts = {name: coverage[name].astype("string") for name in ("planned", *STATUSES)}
    return pd.DataFrame(
        {
            "stage": coverage["stage"],
            **settings.shown(coverage),
            "control": [DASH if pd.isna(name) else controls.label(name) for name in coverage["control"]],
            "depth": coverage["num_layers"].astype("string"),
            **counts,
        }
    )


def sentences(coverage: pd.DataFrame) -> list[str]:
    """For each stage one sentence that says how many of its cells finished and what became of the others."""
    stages = [stage for stage in STAGES if (coverage["stage"] == stage).any()]
    return [_sentence(stage, coverage[coverage["stage"] == stage]) for stage in stages]


def _sentence(stage: str, of_stage: pd.DataFrame) -> str:
    planned, finished = int(of_stage["planned"].sum()), int(of_stage["finished"].sum())
    if finished == planned:
        return f"All {planned:,} planned {stage}s finished." if planned > 1 else f"The one planned {stage} finished."
    others = {status: int(of_stage[status].sum()) for status in STATUSES if status != "finished"}
    rest = ", ".join(f"{num:,} {status}" for status, num in others.items() if num)
    return f"{finished:,} of {planned:,} planned {stage}s finished; the others: {rest}."


def _rank(column: pd.Series) -> pd.Series:
    match column.name:
        case "stage":
            return column.map(STAGES.index)
        case "control":
            order = controls.ordered(column.dropna())
            return pd.Series([-1 if pd.isna(name) else order.index(name) for name in column], index=column.index)
        case _:
            return column
