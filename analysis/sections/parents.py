"""Donors and masks of any task: what the donors test at, and the masks' accuracy on their subtask and density."""

from typing import Any

import pandas as pd

from analysis.elements.section import Content, Results, Section
from analysis.rows.recipients import MEASURES
from analysis.rows.wording import DASH, MISSING, decimal, density, interval
from analysis.statistics import t_interval

KEY = ["stage", "task", "model", "donor_kind"]
VALUES = {"donor": ("measured",), "mask": ("subtask_accuracy", "density")}

COLUMNS: dict[str, Any] = {
    "measure": pd.StringDtype(),
    "num_planned": "Int64",
    "num_finished": "Int64",
    "mean": "Float64",
    "low": "Float64",
    "high": "Float64",
}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per stage, task, network, kind of donor and measure, with COLUMNS; intervals are over runs."""
    found = []
    for of, cell in rows[rows["stage"].isin(list(VALUES))].groupby(KEY, dropna=False):
        for name in VALUES[str(of[0])]:
            measure = str(cell["measure"].iloc[0]) if name == "measured" else name
            found.append({**dict(zip(KEY, of, strict=True)), "measure": measure, **_cell(cell, name)})
    return pd.DataFrame(found, columns=[*KEY, *COLUMNS]).astype(COLUMNS)


def _cell(cell: pd.DataFrame, name: str) -> dict[str, Any]:
    finished = cell[cell["status"] == "finished"]
    values = finished[name].dropna().to_numpy(float)
    within = t_interval(values)
    return {
        "num_planned": len(cell),
        "num_finished": len(finished),
        "mean": values.mean() if len(values) else None,
        "low": within and within.low,
        "high": within and within.high,
    }


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    return pd.DataFrame(
        {
            "stage": found["stage"],
            "task": found["task"].fillna(DASH),
            "network": found["model"].fillna(DASH),
            "donor": found["donor_kind"].fillna(DASH),
            "what": [MEASURES.get(name, name.replace("_", " ")) for name in found["measure"]],
            "n / planned": found["num_finished"].astype("string") + " / " + found["num_planned"].astype("string"),
            "mean": [_worded(row) for row in found.to_dict("records")],
            "95% interval (t)": list(map(interval, found["low"], found["high"])),
        }
    )


def _worded(row: dict[Any, Any]) -> str:
    absent = MISSING if row["num_finished"] == 0 else DASH
    return (density if row["measure"] == "density" else decimal)(row["mean"], absent=absent)


def content(results: Results) -> Content | None:
    """The table; nothing without a donor and a mask."""
    found = table(results.others)
    return None if found.empty else Content(table=found, shown=shown(found))


SECTION = Section(
    name="parents",
    title="Donors and masks",
    place=420,
    of="others",
    content=content,
    caption="What recipients descend from: means over finished runs, with intervals.",
)
