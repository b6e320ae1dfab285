"""The table of failures: each distinct text, how many cells have it, and which.

Texts that differ only in a closing parenthesis, where an export names the file of the traceback, count as one.
"""

from typing import Any

import pandas as pd

from analysis.rows import controls

MOST_CELLS = 5
"""How many cells a text names; the count beside them is of all."""

COLUMNS = ["stage", "num_cells", "cells", "failure"]


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per text and stage: stage, num_cells, cells (the first few, named), failure; most frequent first.

    `failure` is the whole text of the first of the cells.
    """
    failed = rows[rows["status"] == "failed"]
    texts = failed["failure"].fillna("no text was recorded")
    kinds = texts.str.replace(r" \([^()]*\)$", "", regex=True)
    found = [
        (stage, len(cells), _first_few(cells), texts[cells.index[0]])
        for (stage, _), cells in failed.groupby([failed["stage"], kinds])
    ]
    table = pd.DataFrame(found, columns=COLUMNS)
    return table.sort_values("num_cells", ascending=False, kind="stable", ignore_index=True)


def _first_few(cells: pd.DataFrame) -> str:
    columns = ["stage", "control", "num_layers", "num_disambiguation", "seed", "run_id"]
    cells = cells.reindex(columns=columns)
    named = [_cell(*each) for each in cells[columns].head(MOST_CELLS).itertuples(index=False, name=None)]
    return "; ".join(named) + ("; …" if len(cells) > len(named) else "")


def _cell(stage: str, control: Any, num_layers: Any, *others: Any) -> str:
    samples, seed, run_id = others
    what = stage if pd.isna(control) else controls.label(control)
    trained_on = "" if pd.isna(samples) else f", {samples:,} samples"
    depth = "" if pd.isna(num_layers) else f", depth {num_layers}"
    return f"{what}{depth}{trained_on}, seed {seed} ({run_id})"
