"""What a cell's accuracies say together: mean, median, their intervals, and how many runs have succeeded."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.rows.wording import DASH, decimal, interval
from analysis.statistics import Interval, bca_intervals, t_interval, wilson_interval
from analysis.statistics.values import Array

SUCCESS = 0.9
"""An accuracy at or above this has learned the rule."""

FEW = 10
"""Under so many values the bootstrap interval stands beside the t interval."""

NUM_RESAMPLES = 4_000
SEED = 0
"""Of the bootstrap's draws: the same rows give the same table."""

COLUMNS = {
    "mean": "Float64",
    "interval_low": "Float64",
    "interval_high": "Float64",
    "interval_method": pd.StringDtype(),
    "median": "Float64",
    "bootstrap_low": "Float64",
    "bootstrap_high": "Float64",
    "bootstrap_method": pd.StringDtype(),
    "num_successes": "Int64",
    "success_low": "Float64",
    "success_high": "Float64",
}
"""`interval_*` is that of the mean; `bootstrap_*` is absent from FEW values on; `success_*` is of the share of
successes."""


def table(cells: Sequence[Array]) -> pd.DataFrame:
    """A row per cell of accuracies, with the columns and types of COLUMNS; all absent where a cell is empty."""
    bootstrapped = _bootstrapped(cells)
    rows = [_row(values, found) for values, found in zip(cells, bootstrapped, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]


def shown(cells: pd.DataFrame) -> dict[str, list[str]]:
    """What stands beside the mean and its t interval, in words, by heading."""
    return {
        "median": list(map(decimal, cells["median"])),
        "95% interval (BCa)": list(map(interval, cells["bootstrap_low"], cells["bootstrap_high"])),
        f"runs ≥ {SUCCESS}": [DASH if pd.isna(num) else str(num) for num in cells["num_successes"]],
        "success rate's 95% interval": [
            interval(low, high, digits=2) for low, high in zip(cells["success_low"], cells["success_high"], strict=True)
        ],
    }


def _row(values: Array, bootstrapped: Interval | None) -> dict[str, object]:
    if not values.size:
        return {}
    found, num_successes = t_interval(values), int((values >= SUCCESS).sum())
    share = wilson_interval(num_successes, values.size)
    return {
        "mean": float(values.mean()),
        "interval_low": found and found.low,
        "interval_high": found and found.high,
        "interval_method": found and found.method,
        "median": float(np.median(values)),
        "bootstrap_low": bootstrapped and bootstrapped.low,
        "bootstrap_high": bootstrapped and bootstrapped.high,
        "bootstrap_method": bootstrapped and bootstrapped.method,
        "num_successes": num_successes,
        "success_low": share and share.low,
        "success_high": share and share.high,
    }


def _bootstrapped(cells: Sequence[Array]) -> list[Interval | None]:
    """The BCa interval of every cell of few values; those of one size are resampled together."""
    found: list[Interval | None] = [None] * len(cells)
    for size in range(2, FEW):
        places = [place for place, values in enumerate(cells) if values.size == size]
        if places:
            draws = np.random.default_rng([SEED, size])
            samples = np.stack([cells[place] for place in places])
            several = bca_intervals(samples, generator=draws, num_resamples=NUM_RESAMPLES)
            for place, each in zip(places, several, strict=True):
                found[place] = each
    return found
