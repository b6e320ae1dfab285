"""Mask anatomy: where the ones of the discovered masks are, by layer and part of a layer, and by head."""

import pandas as pd

from analysis.rows import settings
from analysis.rows.load import masks
from analysis.rows.wording import DASH

PARTS = ("query", "key", "value", "output", "mlp.c_fc", "mlp.c_proj")
"""In the order of the forward pass. The first three are columns of attn.c_attn, the fourth rows of attn.c_proj."""

KEY = ["num_layers", "subtask", "penalty", "donor_kind"]

COLUMNS = {
    "num_layers": "Int64",
    "subtask": pd.StringDtype(),
    "penalty": "Float64",
    "donor_kind": pd.StringDtype(),
    "layer": "Int64",
    "part": pd.StringDtype(),
    "head": "Int64",
    "num_masks": "Int64",
    "num_finished": "Int64",
    "num_weights": "Int64",
    "density": "Float64",
    "lowest": "Float64",
    "highest": "Float64",
}
"""`head` is absent for a whole part. `density` is the mean over masks, `lowest` and `highest` are those of a single
mask; `num_masks` of `num_finished` masks are counted. `num_weights` is that of one mask."""


def table(rows: pd.DataFrame, parts: pd.DataFrame) -> pd.DataFrame:
    """One row per kind of mask, layer, part and head, and one per part as a whole.

    `parts` is `load.mask_counts(path, "parts")`.

    >>> from analysis.rows.load import load, mask_counts
    >>> path = "results/figure-3-depth-2.parquet"
    >>> found = table(load(path), mask_counts(path, "parts"))
    >>> found.query("layer == 1 and part == 'mlp.c_fc'")["density"].round(3).to_list()
    [0.083]
    """
    of_masks = masks(rows)[["run_id", "status", *KEY]]
    joined = parts.merge(of_masks, left_on="mask_id", right_on="run_id")
    whole = joined.groupby(["mask_id", *KEY, "layer", "part"], dropna=False, as_index=False)[
        ["num_weights", "num_kept"]
    ]
    each = pd.concat([joined[joined["head"].notna()], whole.sum()], ignore_index=True)
    each["density"] = each["num_kept"] / each["num_weights"]
    found = each.groupby([*KEY, "layer", "part", "head"], dropna=False, as_index=False).agg(
        num_masks=("mask_id", "nunique"),
        num_weights=("num_weights", "first"),
        density=("density", "mean"),
        lowest=("density", "min"),
        highest=("density", "max"),
    )
    finished = of_masks[of_masks["status"] == "finished"].groupby(KEY, dropna=False, as_index=False)
    found = found.merge(finished.agg(num_finished=("run_id", "size")), on=KEY, how="left")
    typed = found.reindex(columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    ranks = typed.assign(place=[PARTS.index(part) if part in PARTS else len(PARTS) for part in typed["part"]])
    ordered = ranks.sort_values([*KEY, "layer", "place", "part", "head"], na_position="first", ignore_index=True)
    return ordered[list(COLUMNS)]


def heading(kind: pd.DataFrame) -> str:
    """What tells one kind of mask, given by its rows, from another."""
    first = kind.iloc[0]
    donor = "" if pd.isna(first["donor_kind"]) else f", {first['donor_kind']} donor"
    counted, finished = int(kind["num_masks"].max()), int(first["num_finished"])
    count = f"n = {counted}" if counted == finished else f"n = {counted} of {finished}"
    return f"depth {first['num_layers']}, {first['subtask']}, penalty {first['penalty']:g}{donor} ({count})"


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    return pd.DataFrame(
        {
            "depth": found["num_layers"].astype("string"),
            "subtask": found["subtask"],
            "penalty": [settings.worded(float(value)) for value in found["penalty"]],
            "layer": found["layer"].astype("string"),
            "part": found["part"],
            "head": found["head"].astype("string").fillna("all" if len(found) else DASH),
            "masks counted / finished": found["num_masks"].astype("string")
            + " / "
            + found["num_finished"].astype("string"),
            "density": [f"{value:.2%}" for value in found["density"]],
            "lowest, highest": [
                f"{low:.2%}, {high:.2%}" for low, high in zip(found["lowest"], found["highest"], strict=True)
            ],
        }
    )
