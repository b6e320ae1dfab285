"""What finished networks were asked: each measurement's values by start, means over runs."""

from typing import Any

import pandas as pd

from analysis.elements.section import Content, Results, Section
from analysis.rows import controls, recipients, settings
from analysis.rows.wording import DASH, MISSING, decimal, interval
from analysis.statistics import t_interval

DONOR, MASK = "donor", "mask"
"""The start of a network that is no recipient: as it is, or under a mask."""

KEY = ["measurement", "task", "model"]
COLUMNS: dict[str, Any] = {
    "start": pd.StringDtype(),
    "name": pd.StringDtype(),
    "num_planned": "Int64",
    "num_finished": "Int64",
    "mean": "Float64",
    "low": "Float64",
    "high": "Float64",
}


def axes(found: pd.DataFrame) -> list[str]:
    """The columns of measured runs that vary within a measurement, but for the start and the seeds."""
    fixed = {*recipients.RUN, *recipients.MEASURED, "parent_ids", "name", "value", *KEY}
    names = [name for name in found.columns if name not in fixed]
    of_measurement = found.groupby("measurement", dropna=False)
    varied = [name for name in names if (of_measurement[name].nunique() > 1).any()]
    kept: list[str] = []
    for name in varied:
        grouped = found.groupby([*KEY, "control", *kept], dropna=False)
        if (grouped[name].nunique() > 1).any():
            kept.append(name)
    return kept


def table(found: pd.DataFrame) -> pd.DataFrame:
    """One row per measurement, task, network, axis, start and named value, with COLUMNS. `found` is a row per value.

    Mean and Student's t interval are over the finished runs that have the value: a table lacks what does not occur.
    """
    names = axes(found)
    plain = [DONOR if is_donor else MASK for is_donor in found["mask_seed"].isna()]
    controlled = zip(found["control"], plain, strict=True)
    starts = [other if pd.isna(name) else controls.label(str(name)) for name, other in controlled]
    given = found.assign(start=pd.Series(starts, found.index, dtype="string"))
    order = controls.ordered(found["control"].dropna())
    rank = found["control"].map({name: place for place, name in enumerate(order)}).fillna(-1)
    keys = [*KEY, *names, "start", "name"]
    grouped = (
        given.assign(rank=rank)
        .sort_values([*KEY, *names, "rank"], kind="stable")
        .groupby(keys, dropna=False, sort=False)
    )
    cells = [{**dict(zip(keys, of, strict=True)), **_cell(cell)} for of, cell in grouped]
    return pd.DataFrame(cells, columns=[*KEY, *names, *COLUMNS]).astype(COLUMNS)


def _cell(cell: pd.DataFrame) -> dict[str, Any]:
    finished = cell[cell["status"] == "finished"]
    values = finished["value"].dropna().to_numpy(float)
    within = t_interval(values)
    return {
        "num_planned": cell["run_id"].nunique(),
        "num_finished": finished["run_id"].nunique(),
        "mean": values.mean() if len(values) else None,
        "low": within and within.low,
        "high": within and within.high,
    }


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words; entries of tables, such as `accuracy.cat`, only where a measurement has nothing else."""
    is_entry = found["name"].str.contains(".", regex=False).fillna(False).astype(bool)
    has_other = (~is_entry).groupby(found["measurement"]).transform("any")
    given = found[~(is_entry & has_other)]
    names = [name for name in found.columns if name not in {*KEY, *COLUMNS}]
    absent = [MISSING if num == 0 else DASH for num in given["num_finished"]]
    return pd.DataFrame(
        {
            "measurement": given["measurement"].str.replace("_", " "),
            "task": given["task"],
            "network": given["model"],
            **{settings.words(name): list(map(settings.worded, given[name])) for name in names},
            "start": given["start"],
            "what": given["name"].fillna(DASH).str.replace("_", " "),
            "n / planned": given["num_finished"].astype("string") + " / " + given["num_planned"].astype("string"),
            "mean": [decimal(value, absent=word) for value, word in zip(given["mean"], absent, strict=True)],
            "95% interval (t)": list(map(interval, given["low"], given["high"])),
        }
    )


def content(results: Results) -> Content:
    """The table."""
    found = table(results.measured)
    return Content(table=found, shown=shown(found))


SECTION = Section(
    name="measurements",
    title="Measurements",
    place=430,
    of="measured",
    content=content,
    caption="What finished networks were asked, by what they started from: means over runs.",
)
