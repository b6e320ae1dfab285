"""The section of claims, where a grid has any."""

from analysis.claims import ALPHA, judged, num_looks, of_rows, planned
from analysis.sections.parts import Results, Section, Sheet
from analysis.tables import claims


def sections(results: Results) -> list[Section]:
    """One section, or none for rows of a grid that claims nothing."""
    several = of_rows(results.path)
    if not several:
        return []
    looks = num_looks(results.path)
    kept, reasons = planned(several, results.rows)
    found = claims.table(judged(kept, results.rows, num_looks=looks))
    rule = (
        f"Exact sign-flip tests over seeds, adjusted by Holm: the chance of any false verdict is at most {ALPHA:.0%}."
    )
    spent = f"Seeds were added until claims were decided: the level is shared by {looks} looks." if looks > 1 else ""
    return [
        Section(
            name="claims",
            title="Claims",
            sentences=tuple(filter(None, (rule, spent, *(f"Not judged: {reason}." for reason in reasons)))),
            sheet=Sheet(
                numbers=found, shown=claims.shown(found), caption="What the grid expects, and what came of it."
            ),
        )
    ]
