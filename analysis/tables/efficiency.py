"""Data efficiency: how many disambiguation samples a control needs to reach an accuracy.

Isotonic regression of the mean over seeds, crossed with the accuracy (`analysis.statistics.isotonic`). The published
curves are crossed in the same way.
"""

from itertools import zip_longest
from math import inf, isinf

import numpy as np
import pandas as pd

from analysis.rows import controls, published, settings
from analysis.rows.load import transfers
from analysis.rows.seeds import MEAN_OVER_DEPTHS, seed_accuracies
from analysis.rows.wording import DASH
from analysis.statistics import samples_to_reach
from analysis.statistics.isotonic import Crossing
from analysis.statistics.values import Array

THRESHOLDS = (0.5, 0.7, 0.9)
SEED = 0
"""Of the draws of seeds: the same rows give the same table."""

COLUMNS = {
    "scope": pd.StringDtype(),
    "depths": pd.StringDtype(),
    "control": pd.StringDtype(),
    "accuracy": "Float64",
    "num_seeds": "Int64",
    "fewest_samples": "Int64",
    "most_samples": "Int64",
    "samples": "Float64",
    "is_reached": "boolean",
    "samples_low": "Float64",
    "samples_high": "Float64",
    "is_low_reached": "boolean",
    "is_high_reached": "boolean",
    "published_samples": "Float64",
}
"""`samples` is absent where the curve does not reach the accuracy (`is_reached` is false) or no run has finished; the
same holds of either end of the interval, which is absent for one seed too. `fewest_samples` and `most_samples` are the
ends of the counts with a finished run."""


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per scope, control and accuracy of THRESHOLDS, after the varying settings.

    >>> from analysis import load
    >>> found = table(load("results/figure-3-depth-2.parquet"))
    >>> found.query("control == 'full_transfer' and accuracy == 0.7")["samples"].round().to_list()
    [179.0]
    """
    found = settings.combinations(transfers(rows))
    return pd.concat([each.labelled(_table(each.rows)) for each in found], ignore_index=True)


def _table(given: pd.DataFrame) -> pd.DataFrame:
    accuracies = seed_accuracies(given)
    points = published.accuracies() if published.is_comparable(given) else published.accuracies().iloc[:0]
    made = [
        row
        for (depths, control), cells in accuracies.groupby(["depths", "control"])
        for row in _rows(str(depths), str(control), cells, points)
    ]
    typed = pd.DataFrame(made, columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    order = controls.ordered(typed["control"])
    ranks = pd.DataFrame(
        {
            "depth": [-1 if "," in depths else int(depths) for depths in typed["depths"]],
            "accuracy": typed["accuracy"],
            "control": typed["control"].map(order.index),
        }
    )
    return typed.loc[ranks.sort_values(["depth", "accuracy", "control"]).index].reset_index(drop=True)


def _rows(depths: str, control: str, cells: pd.DataFrame, points: pd.DataFrame) -> list[dict[str, object]]:
    wide = cells.pivot_table(index="seed", columns="num_disambiguation", values="test_accuracy", dropna=False)
    finished = wide.notna().any(axis=0)
    counts = [int(num) for num in wide.columns[finished]]
    values, places = wide.to_numpy(float, na_value=np.nan), np.array([float(num) for num in wide.columns])
    curve = points[(points["depths"] == depths) & (points["control"] == control)].sort_values("num_disambiguation")
    found, told = _crossings(values, places), _published_crossings(curve)
    return [
        {
            "scope": MEAN_OVER_DEPTHS if "," in depths else f"depth {depths}",
            "depths": depths,
            "control": control,
            "accuracy": threshold,
            "fewest_samples": min(counts, default=None),
            "most_samples": max(counts, default=None),
            **({"num_seeds": 0} if crossing is None else _crossing(crossing)),
            "published_samples": None if theirs is None else _finite(theirs.samples),
        }
        for threshold, crossing, theirs in zip_longest(THRESHOLDS, found, told)
    ]


def _crossing(found: Crossing) -> dict[str, object]:
    return {
        "num_seeds": found.num_seeds,
        "samples": _finite(found.samples),
        "is_reached": not isinf(found.samples),
        "samples_low": _finite(found.low),
        "samples_high": _finite(found.high),
        "is_low_reached": None if found.low is None else not isinf(found.low),
        "is_high_reached": None if found.high is None else not isinf(found.high),
    }


def _published_crossings(curve: pd.DataFrame) -> list[Crossing]:
    values: Array = curve["published_accuracy"].to_numpy(float)[None]
    return _crossings(values, curve["num_disambiguation"].to_numpy(float))


def _crossings(accuracies: Array, counts: Array) -> list[Crossing]:
    return samples_to_reach(accuracies, counts, thresholds=THRESHOLDS, generator=np.random.default_rng(SEED))


def _finite(value: float | None) -> float | None:
    return None if value is None or value == inf else value


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    ends = found[["samples_low", "samples_high", "is_low_reached", "is_high_reached", "most_samples"]]
    return pd.DataFrame(
        {
            **settings.shown(found),
            "scope": found["scope"],
            "accuracy": [f"{value:g}" for value in found["accuracy"]],
            "control": found["control"].map(controls.label),
            "seeds": found["num_seeds"].astype("string"),
            "samples needed": [
                _samples(*each)
                for each in found[["samples", "is_reached", "fewest_samples", "most_samples"]].to_numpy()
            ],
            "95% interval": [_interval(*each) for each in ends.to_numpy()],
            "published": [DASH if pd.isna(value) else f"{value:,.0f}" for value in found["published_samples"]],
        }
    )


def _samples(samples: object, is_reached: object, fewest: int, most: int) -> str:
    if pd.isna(is_reached):  # type: ignore[call-overload]
        return "missing"
    if not is_reached:
        return f"> {most:,}"
    assert isinstance(samples, float)
    return f"≤ {fewest:,}" if samples <= fewest else f"{samples:,.0f}"


def _interval(*given: object) -> str:
    low, high, is_low_reached, is_high_reached, most = given
    if pd.isna(is_low_reached):  # type: ignore[call-overload]
        return DASH
    ends = [
        f"{end:,.0f}" if reached else f"> {most:,}" for end, reached in ((low, is_low_reached), (high, is_high_reached))
    ]
    return f"[{ends[0]}, {ends[1]}]"
