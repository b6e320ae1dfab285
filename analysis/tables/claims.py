"""The table of claims: what the grid expects, and whether its rows bear it out at this number of seeds."""

from collections.abc import Sequence

import pandas as pd

from analysis.claims import Judgement
from analysis.statistics import smallest_sign_flip_p
from analysis.tables.wording import DASH, probability, signed

COLUMNS = {
    "claim": pd.StringDtype(),
    "verdict": pd.StringDtype(),
    "num_seeds": "Int64",
    "num_planned": "Int64",
    "mean": "Float64",
    "margin": "Float64",
    "p": "Float64",
    "smallest_p": "Float64",
    "holm_p": "Float64",
    "level": "Float64",
    "num_more_seeds": "Int64",
}
"""`mean` is the mean difference, or the mean accuracy of a claim that one is reached; `holm_p` is p adjusted over the
claims of the grid and decides at `level`; `num_more_seeds` would settle an undecided claim in 80% of cases, if the
effect is as found. It is absent where nothing can be said."""


def table(judgements: Sequence[Judgement]) -> pd.DataFrame:
    """One row per claim, with the columns and types of COLUMNS."""
    rows = [
        {
            "claim": each.claim.text,
            "verdict": each.verdict,
            "num_seeds": each.num_seeds,
            "num_planned": each.num_planned,
            "mean": each.mean,
            "margin": each.claim.margin,
            "p": each.p,
            "smallest_p": smallest_sign_flip_p(each.num_seeds) if each.num_seeds else None,
            "holm_p": each.adjusted_p,
            "level": each.level,
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
            "verdict": found["verdict"],
            "seeds / planned": found["num_seeds"].astype("string") + " / " + found["num_planned"].astype("string"),
            "mean": list(map(signed, found["mean"])),
            "p": list(map(probability, found["p"])),
            "smallest possible p": list(map(probability, found["smallest_p"])),
            "p by Holm": list(map(probability, found["holm_p"])),
            "decides at": list(map(probability, found["level"])),
            "seeds to settle it": more,
        }
    )
