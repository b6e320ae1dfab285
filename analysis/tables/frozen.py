"""Frozen against trainable: what it costs, or gains, to leave the transplanted weights free.

The difference is `subnetwork_trainable` minus `subnetwork`, paired by seed. Published are the paper's figure 3 (frozen)
and the figure of its appendix B.3 (trainable), both means over depths of one run each.
"""

import pandas as pd

from analysis.rows import published, settings
from analysis.rows.load import transfers
from analysis.rows.seeds import MEAN_OVER_DEPTHS, seed_accuracies
from analysis.rows.wording import DASH, MISSING, decimal, signed
from analysis.statistics import paired_difference
from analysis.tables import paired

FROZEN, TRAINABLE = "subnetwork", "subnetwork_trainable"
CELL = ["depths", "num_disambiguation"]

COLUMNS = {
    "scope": pd.StringDtype(),
    "depths": pd.StringDtype(),
    "num_disambiguation": "Int64",
    "num_planned": "Int64",
    "num_pairs": "Int64",
    "frozen_mean": "Float64",
    "trainable_mean": "Float64",
    **paired.COLUMNS,
    "published_frozen": "Float64",
    "published_trainable": "Float64",
    "published_difference": "Float64",
    "published_source": pd.StringDtype(),
}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per scope and number of samples for which both are planned, after the varying settings.

    Means are over the seeds that have both; without such a seed they are absent. `num_planned` counts the seeds that
    are to have both.

    >>> from analysis import load
    >>> found = table(load("results/figure-3-depth-2.parquet"))
    >>> found["num_disambiguation"].to_list()
    [10, 100, 250, 1000, 2500]
    """
    found = settings.combinations(transfers(rows))
    return pd.concat([each.labelled(_table(each.rows)) for each in found], ignore_index=True)


def _table(given: pd.DataFrame) -> pd.DataFrame:
    accuracies = seed_accuracies(given[given["control"].isin([FROZEN, TRAINABLE])])
    key = [*CELL, "seed"]
    frozen, trainable = (
        accuracies.loc[accuracies["control"] == name, [*key, "test_accuracy"]] for name in (FROZEN, TRAINABLE)
    )
    pairs = frozen.merge(trainable, on=key, suffixes=("_frozen", "_trainable"))
    cells = [{**dict(zip(CELL, of, strict=True)), **_cell(cell)} for of, cell in pairs.groupby(CELL)]
    made = pd.DataFrame(
        cells, columns=[name for name in COLUMNS if not name.startswith("published") and name != "scope"]
    )
    points = _published() if published.is_comparable(given) else _published().iloc[:0]
    made = made.merge(points, on=CELL, how="left")
    made["scope"] = [MEAN_OVER_DEPTHS if "," in depths else f"depth {depths}" for depths in made["depths"]]
    typed = made.reindex(columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]
    order = [-1 if "," in depths else int(depths) for depths in typed["depths"]]
    return (
        typed.assign(order=order).sort_values(["order", "num_disambiguation"], ignore_index=True).drop(columns="order")
    )


def _cell(cell: pd.DataFrame) -> dict[str, object]:
    both = cell.dropna()
    found = paired_difference((both["test_accuracy_trainable"] - both["test_accuracy_frozen"]).to_numpy(float))
    if found is None:
        return {"num_planned": len(cell), "num_pairs": 0}
    return {
        "num_planned": len(cell),
        "num_pairs": found.num_pairs,
        "frozen_mean": both["test_accuracy_frozen"].mean(),
        "trainable_mean": both["test_accuracy_trainable"].mean(),
        **paired.cells(found),
    }


def _published() -> pd.DataFrame:
    points = published.accuracies()
    frozen, trainable = (
        points.loc[points["control"] == name, [*CELL, "published_accuracy", "published_source"]]
        for name in (FROZEN, TRAINABLE)
    )
    both = frozen.merge(trainable, on=CELL, suffixes=("_frozen", "_trainable"))
    return pd.DataFrame(
        {
            **{name: both[name] for name in CELL},
            "published_frozen": both["published_accuracy_frozen"],
            "published_trainable": both["published_accuracy_trainable"],
            "published_difference": both["published_accuracy_trainable"] - both["published_accuracy_frozen"],
            "published_source": both["published_source_frozen"] + " and " + both["published_source_trainable"],
        }
    )


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    absent = [MISSING if num == 0 else DASH for num in found["num_pairs"]]
    means = {
        heading: [decimal(value, absent=word) for value, word in zip(found[name], absent, strict=True)]
        for heading, name in (("frozen", "frozen_mean"), ("trainable", "trainable_mean"))
    }
    return pd.DataFrame(
        {
            **settings.shown(found),
            "scope": found["scope"],
            "samples": found["num_disambiguation"].astype("string"),
            "pairs / planned": found["num_pairs"].astype("string") + " / " + found["num_planned"].astype("string"),
            **means,
            "trainable − frozen": list(map(signed, found["difference"])),
            **paired.certainty(found),
            "published frozen": list(map(decimal, found["published_frozen"])),
            "published trainable": list(map(decimal, found["published_trainable"])),
            "published difference": list(map(signed, found["published_difference"])),
        }
    )
