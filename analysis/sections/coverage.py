"""Coverage: of the planned runs of each stage and start, how many have which status; every run counts once."""

from collections.abc import Sequence

import pandas as pd

from analysis.elements.columns import INTEGER, TEXT, Column, typed
from analysis.elements.section import Content, Results, Section
from analysis.rows import controls, images, settings
from analysis.rows.load import transfers
from analysis.rows.wording import DASH
from subind.store.results import STATUSES

STAGES = ("donor", "mask", "transfer")


def _named(control: object) -> str:
    return controls.label(control) if isinstance(control, str) else DASH


COLUMNS = (
    Column("stage", TEXT, "stage"),
    Column("task", TEXT, "task"),
    Column("model", TEXT, "model"),
    Column("control", TEXT, "control", _named),
    Column("start", TEXT, "start"),
    Column("num_layers", INTEGER, "depth"),
    *(Column(name, INTEGER, name) for name in ("planned", *STATUSES)),
)


def table(rows: pd.DataFrame, key: Sequence[str] = ("control", "num_layers")) -> pd.DataFrame:
    """One row per stage and value of the key, absent for the runs that have none, with the counts of its planned runs.

    The statuses are those of `subind.store.results.STATUSES` and sum to `planned`.
    """
    by = ["stage", *key]
    marks = pd.DataFrame({status: (rows["status"] == status).astype("int64") for status in STATUSES})
    grouped = pd.concat([rows[by], marks], axis=1).groupby(by, dropna=False, as_index=False)
    counts = grouped.agg(planned=("finished", "size"), **{status: (status, "sum") for status in STATUSES})
    return counts.sort_values(by, key=_rank, kind="stable", ignore_index=True)


def of_arithmetic(rows: pd.DataFrame) -> pd.DataFrame:
    """The table by the columns that vary among the transfers, control and depth."""
    return table(rows, [*settings.varying(transfers(rows)), "control", "num_layers"])


def _rank(column: pd.Series) -> pd.Series:
    match column.name:
        case "stage":
            return column.map(STAGES.index)
        case "control" | "start":
            order = controls.ordered(column.dropna())
            return pd.Series([-1 if pd.isna(name) else order.index(name) for name in column], index=column.index)
        case _:
            return column


def sentences(coverage: pd.DataFrame) -> list[str]:
    """For each stage one sentence that says how many of its runs finished and what became of the others."""
    stages = [stage for stage in STAGES if (coverage["stage"] == stage).any()]
    return [_sentence(stage, coverage[coverage["stage"] == stage]) for stage in stages]


def _sentence(stage: str, of_stage: pd.DataFrame) -> str:
    planned, finished = int(of_stage["planned"].sum()), int(of_stage["finished"].sum())
    if finished == planned:
        return f"All {planned:,} planned {stage}s finished." if planned > 1 else f"The one planned {stage} finished."
    others = {status: int(of_stage[status].sum()) for status in STATUSES if status != "finished"}
    rest = ", ".join(f"{num:,} {status}" for status, num in others.items() if num)
    return f"{finished:,} of {planned:,} planned {stage}s finished; the others: {rest}."


def content(results: Results) -> Content | None:
    """One table of the rows of all kinds."""
    others = results.others.assign(start=results.compared.rows["start"].reindex(results.others.index))
    several = [
        of_arithmetic(results.arithmetic),
        table(results.images, [*images.varying(results.images), "model", "start"]),
        table(others, ["task", "start"]),
    ]
    kept = [each for each in several if len(each)]
    if not kept:
        return None
    whole = pd.concat(kept, ignore_index=True)
    declared = [each for each in COLUMNS if each.name in whole.columns]
    names = {each.name for each in declared}
    found = typed(whole, declared, before=[name for name in whole.columns if name not in names])
    return Content(table=found, sentences=sentences(found))


SECTION = Section(
    name="coverage",
    title="Coverage",
    place=100,
    of="any",
    content=content,
    columns=COLUMNS,
    caption="Planned runs by status.",
)
