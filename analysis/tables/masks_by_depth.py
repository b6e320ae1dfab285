"""Table 2: density and subtask accuracy of the discovered masks by depth, and how often discovery succeeds.

The paper says of its masks that they compute the subtask and that their densities are below 10%.
"""

from collections.abc import Iterator

import pandas as pd

from analysis.rows import settings
from analysis.rows.load import donors, masks
from analysis.rows.wording import DASH, MISSING, decimal, interval
from analysis.statistics import t_interval, wilson_interval

FOUND = 0.99
"""A mask at or above this accuracy on the subtask counts as found."""

PUBLISHED_DENSITY = "below 0.1"
SOURCE = "arXiv 2310.10899"

KEY = ["donor_kind", "subtask", "penalty", "temperature_schedule", "final_temperature", "num_layers"]

COLUMNS = {
    "donor_kind": pd.StringDtype(),
    "subtask": pd.StringDtype(),
    "penalty": "Float64",
    "temperature_schedule": pd.StringDtype(),
    "final_temperature": "Float64",
    "num_layers": "Int64",
    "num_planned": "Int64",
    "num_finished": "Int64",
    "donor_accuracy": "Float64",
    "density": "Float64",
    "density_low": "Float64",
    "density_high": "Float64",
    "num_empty": "Int64",
    "subtask_accuracy": "Float64",
    "subtask_low": "Float64",
    "subtask_high": "Float64",
    "num_found": "Int64",
    "found_low": "Float64",
    "found_high": "Float64",
    "published_density": pd.StringDtype(),
    "published_source": pd.StringDtype(),
}
"""`donor_accuracy` is on the donor's own task; `num_empty` masks keep no weight.
`*_low` and `*_high` are ends of 95% intervals: t for means, Wilson for
the share of masks that reach FOUND."""


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per kind of mask and depth, means over its finished masks.

    >>> from analysis import load
    >>> found = table(load("results/figure-3-depth-2.parquet"))
    >>> found[["num_layers", "num_found"]].values.tolist()
    [[2, 1]]
    """
    given, of_donors = masks(rows), donors(rows)
    accuracies = of_donors.set_index("run_id")["validation_accuracy"].where(
        (of_donors["status"] == "finished").to_numpy()
    )
    joined = given.assign(donor_accuracy=given["parent_id"].map(accuracies).astype("Float64"))
    made = list(_rows(joined))
    typed = pd.DataFrame(made, columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    return typed.sort_values(KEY, ignore_index=True)


def _rows(given: pd.DataFrame) -> Iterator[dict[str, object]]:
    for key, cell in given.groupby(KEY, dropna=False):
        finished = cell[cell["status"] == "finished"]
        accuracies = finished["subtask_accuracy"].dropna().to_numpy(float)
        densities = finished["density"].dropna().to_numpy(float)
        num_found = int((accuracies >= FOUND).sum())
        share, spread, accuracy = (
            wilson_interval(num_found, len(accuracies)),
            t_interval(densities),
            t_interval(accuracies),
        )
        yield {
            **dict(zip(KEY, key, strict=True)),
            "num_planned": len(cell),
            "num_finished": len(finished),
            "donor_accuracy": finished["donor_accuracy"].mean(),
            "density": densities.mean() if densities.size else None,
            "density_low": spread and spread.low,
            "density_high": spread and spread.high,
            "num_empty": int((densities == 0).sum()),
            "subtask_accuracy": accuracies.mean() if accuracies.size else None,
            "subtask_low": accuracy and accuracy.low,
            "subtask_high": accuracy and accuracy.high,
            "num_found": num_found,
            "found_low": share and share.low,
            "found_high": share and share.high,
            "published_density": PUBLISHED_DENSITY,
            "published_source": SOURCE,
        }


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    words = [MISSING if num == 0 else DASH for num in found["num_finished"]]
    means = {
        name: [decimal(value, absent=word) for value, word in zip(found[name], words, strict=True)]
        for name in ("donor_accuracy", "density", "subtask_accuracy")
    }
    return pd.DataFrame(
        {
            "donor": found["donor_kind"].fillna(DASH),
            "subtask": found["subtask"],
            "penalty": [settings.worded(float(value)) for value in found["penalty"]],
            "τ ends at": [settings.worded(float(value)) for value in found["final_temperature"]],
            "depth": found["num_layers"].astype("string"),
            "n finished / planned": found["num_finished"].astype("string")
            + " / "
            + found["num_planned"].astype("string"),
            "donor's accuracy": means["donor_accuracy"],
            "density": means["density"],
            "its 95% interval": list(map(interval, found["density_low"], found["density_high"])),
            "empty masks": found["num_empty"].astype("string"),
            "published density": found["published_density"],
            "subtask accuracy": means["subtask_accuracy"],
            "its 95% interval (t)": list(map(interval, found["subtask_low"], found["subtask_high"])),
            f"masks ≥ {FOUND}": found["num_found"].astype("string"),
            "success rate's 95% interval": [
                interval(low, high, digits=2) for low, high in zip(found["found_low"], found["found_high"], strict=True)
            ],
        }
    )
