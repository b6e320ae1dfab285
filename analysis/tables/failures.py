"""The table of failures: each distinct text, how many cells have it, and which."""

import pandas as pd

from analysis import controls

MOST_CELLS = 5
"""How many cells a text names; the count beside them is of all."""


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per text and stage: stage, num_cells, cells (names of the first few), failure; the most frequent first."""
    failed = rows[rows["status"] == "failed"]
    named = failed.assign(
        failure=failed["failure"].fillna("no text was recorded"),
        cell=[_cell(row) for row in failed.itertuples()],
    )
    grouped = named.groupby(["stage", "failure"], as_index=False)["cell"]
    found = (
        grouped.agg(num_cells="size", cells=_first_few)
        if len(named)
        else named.reindex(columns=["stage", "failure"])
    )
    columns = ["stage", "num_cells", "cells", "failure"]
    return found.reindex(columns=columns).sort_values(
        "num_cells", ascending=False, kind="stable", ignore_index=True
    )


def _cell(row) -> str:  # type: ignore[no-untyped-def]
    what = row.stage if pd.isna(row.control) else controls.label(row.control)
    samples = (
        ""
        if pd.isna(row.num_disambiguation)
        else f", {row.num_disambiguation:,} samples"
    )
    return f"{what}, depth {row.num_layers}{samples}, seed {row.seed} ({row.run_id})"


def _first_few(cells: pd.Series) -> str:
    named = list(cells[:MOST_CELLS])
    return "; ".join(named) + ("; …" if len(cells) > len(named) else "")
