"""The section of claims, where a grid has any."""

from analysis.rows.claims import ALPHA, judged, of_rows, planned
from analysis.sections.parts import Results, Section, Sheet
from analysis.tables import claims, figure_3


def sections(results: Results) -> list[Section]:
    """One section, or none for rows of a grid that claims nothing."""
    several = of_rows(results.path)
    if not several:
        return []
    kept, reasons = planned(several, results.rows)
    found = claims.table(judged(kept, results.rows, num_claims=len(several)))
    return [
        Section(
            name="claims",
            title="Claims",
            sentences=(
                *_rules(len(several)),
                figure_3.replication(results.rows),
                *(f"Not judged: {reason}." for reason in reasons),
            ),
            sheet=Sheet(
                numbers=found, shown=claims.shown(found), caption="What the grid expects, and what came of it."
            ),
        )
    ]


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
