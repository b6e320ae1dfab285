"""The table of claims: what the grid expects, and whether its rows bear it out at this number of seeds."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.elements.columns import INTEGER, NUMBER, TEXT, Column, of_planned, typed
from analysis.elements.section import Content, Results, Section
from analysis.rows.claims import ALPHA, Judgement, hypothesis, judged, of_rows, planned
from analysis.rows.wording import DASH, decimal, interval, probability
from analysis.sections import figure_3


def _more(num: Any, verdict: str) -> str:
    """How many more seeds like those found would settle an undecided claim."""
    if verdict != "undecided":
        return DASH
    return "not in sight" if pd.isna(num) else f"about {num} more"


COLUMNS = (
    Column("claim", TEXT, "claim"),
    Column("hypothesis", TEXT, "what it says"),
    Column("verdict", TEXT, "verdict"),
    Column("num_seeds", INTEGER, "seeds / planned", of_planned, ("num_planned",)),
    Column("num_planned", INTEGER),
    Column("estimate", NUMBER, "share or mean", lambda value: decimal(value).replace("-", "−")),
    Column("low", NUMBER, "its interval", interval, ("high",)),
    Column("high", NUMBER),
    Column("p", NUMBER, "p", probability),
    Column("smallest_p", NUMBER, "smallest possible p", probability),
    Column("adjusted_p", NUMBER, "p × claims", probability),
    Column("num_more_seeds", INTEGER, "seeds to settle it", _more, ("verdict",)),
)
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
    return typed(rows, COLUMNS)


def content(results: Results) -> Content | None:
    """The verdicts; nothing for rows of a grid that claims nothing."""
    several = of_rows(results.path)
    if not several:
        return None
    kept, reasons = planned(several, results.arithmetic)
    found = table(judged(kept, results.arithmetic, num_claims=len(several)))
    said = [*_rules(len(several)), figure_3.replication(results.arithmetic)]
    return Content(sentences=[*said, *(f"Not judged: {reason}." for reason in reasons)], table=found)


def _rules(num_claims: int) -> tuple[str, ...]:
    each = 1 - ALPHA / num_claims
    tests = (
        "A claim holds where its hypothesis is borne out, and fails where the contrary is. Each is decided by betting, "
        "which takes seeds as independent and assumes nothing about the shape of their accuracies."
    )
    error = (
        f"The chance of any false verdict is at most {ALPHA:.0%}, at all numbers of seeds together: seeds may be added "
        f"until a claim is decided. {num_claims} claim(s) of the grid share it evenly (Bonferroni); each interval is "
        f"at {each:.1%}."
    )
    return tests, error, "Only finished seeds count: a run that failed or is missing tells nothing here."


SECTION = Section(
    name="claims",
    title="Claims",
    place=110,
    of="arithmetic",
    content=content,
    columns=COLUMNS,
    caption="What the grid expects, and what came of it.",
)
