"""The table of claims: what the grid expects, and whether its rows bear it out at this number of seeds."""

from collections.abc import Sequence

import pandas as pd

from analysis.rows.claims import Judgement, hypothesis
from analysis.rows.wording import DASH, decimal, interval, probability

COLUMNS = {
    "claim": pd.StringDtype(),
    "hypothesis": pd.StringDtype(),
    "verdict": pd.StringDtype(),
    "num_seeds": "Int64",
    "num_planned": "Int64",
    "estimate": "Float64",
    "low": "Float64",
    "high": "Float64",
    "p": "Float64",
    "smallest_p": "Float64",
    "adjusted_p": "Float64",
    "num_more_seeds": "Int64",
}
"""`estimate` is the share of seeds, the mean difference or the mean accuracy that the hypothesis is about, `low` and
`high` its interval; `adjusted_p` is p times the number of claims (Bonferroni) and decides; `num_more_seeds` like those
found would settle an undecided claim. It is absent where nothing can be said."""


def table(judgements: Sequence[Judgement]) -> pd.DataFrame:
    """One row per claim, with the columns and types of COLUMNS."""
    rows = [
        {
            "claim": each.claim.text,
            "hypothesis": hypothesis(each.claim),
            "verdict": each.verdict,
            "num_seeds": each.num_seeds,
            "num_planned": each.num_planned,
            "estimate": each.estimate,
            "low": each.low,
            "high": each.high,
            "p": each.p,
            "smallest_p": each.smallest_p,
            "adjusted_p": each.adjusted_p,
            "num_more_seeds": each.num_more_seeds,
        }
        for each in judgements
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)  # type: ignore[arg-type]


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The table in words, one text column per heading."""
    open_ones = found["verdict"] == "undecided"
    more = [
        (f"about {num} more" if not pd.isna(num) else "not in sight") if is_open else DASH
        for num, is_open in zip(found["num_more_seeds"], open_ones, strict=True)
    ]
    return pd.DataFrame(
        {
            "claim": found["claim"],
            "what it says": found["hypothesis"],
            "verdict": found["verdict"],
            "seeds / planned": found["num_seeds"].astype("string") + " / " + found["num_planned"].astype("string"),
            "share or mean": [decimal(value).replace("-", "−") for value in found["estimate"]],
            "its interval": list(map(interval, found["low"], found["high"])),
            "p": list(map(probability, found["p"])),
            "smallest possible p": list(map(probability, found["smallest_p"])),
            "p × claims": list(map(probability, found["adjusted_p"])),
            "seeds to settle it": more,
        }
    )
