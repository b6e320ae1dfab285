"""`subind run GRID --until-decided`: seeds are added to the cells of undecided claims until all are decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from subind.specs.quoting import quoted
from subind.specs.run import Run
from subind.store.store import Store
from sweeps.cli.options import out
from sweeps.cli.rows_and_report import Outcome, exported
from sweeps.planning import further_seeds
from sweeps.planning.further_seeds import Need
from sweeps.planning.plan import Plan
from sweeps.planning.request import Request, accounted

if TYPE_CHECKING:
    from analysis.rows.claims import Claim, Judgement


def decided(request: Request, store: Store, computed: Callable[[Request], Plan], *, max_seeds: int) -> Outcome:
    """Compute the grid, then further seeds where a claim needs them.

    It ends early where runs are missing or have failed. Raises ValueError before anything is computed if the grid has
    no claims, one of them is no claim, or the grid has more than `max_seeds` seeds.
    """
    from analysis.rows.claims import parsed

    claims = request.grid.claims
    if not claims:
        raise ValueError(f"grid {quoted(request.grid.name)} has no CLAIMS: write some, or leave --until-decided out")
    for text in claims:
        parsed(text)
    cells = _cells(request, store)
    num_seeds = further_seeds.fewest_seeds(cells)
    if num_seeds > max_seeds:
        raise ValueError(f"--max-seeds is {max_seeds} and the grid has {num_seeds}: give at least as many")
    found = computed(request)
    while not (found.missing or found.failed or found.blocked):
        added = _added(cells, _undecided(request, found, store), max_seeds=max_seeds)
        if not set(added) - set(request.added):
            break
        request = replace(request, added=tuple(dict.fromkeys((*request.added, *added))))
        found = computed(request)
    return Outcome(request=request, plan=found)


def _added(cells: tuple[Run, ...], undecided: list[Judgement], *, max_seeds: int) -> tuple[Run, ...]:
    """The cells that undecided claims need for the next look at them."""
    from analysis.rows.claims import fewest_seeds

    open_ones = [each for each in undecided if each.num_seeds < max_seeds]
    if not open_ones:
        return ()
    fewest = min(fewest_seeds(each.claim, num_claims=each.num_claims) for each in open_ones)
    num_seeds = further_seeds.next_look(min(each.num_seeds for each in open_ones), fewest=fewest, most_seeds=max_seeds)
    return further_seeds.added_cells(cells, [_need(each.claim) for each in open_ones], num_seeds=num_seeds)


def _need(claim: Claim) -> Need:
    controls = frozenset(filter(None, (claim.control, claim.other)))
    return Need(
        controls=controls,
        num_disambiguation=claim.num_disambiguation,
        depth=claim.depth,
        settings=claim.settings,
    )


def _cells(request: Request, store: Store) -> tuple[Run, ...]:
    runs = accounted(request, store).runs.values()
    return tuple(spec for spec in runs if spec.stage == "transfer")


def _undecided(request: Request, found: Plan, store: Store) -> list[Judgement]:
    """The undecided claims, after saying how every claim stands."""
    from analysis.rows.claims import fewest_seeds, hypothesis, judged, of_rows, planned
    from analysis.rows.load import load

    path, _ = exported(request, found, store)
    rows, claims = load(path), of_rows(path)
    kept, reasons = planned(claims, rows)
    for reason in reasons:
        out.print(f"not judged: {reason}")
    judgements = judged(kept, rows, num_claims=len(claims))
    for each in judgements:
        fewest = fewest_seeds(each.claim, num_claims=each.num_claims)
        needed = f", of at least {fewest}" if each.num_seeds < fewest else ""
        out.print(f"{each.verdict} with {each.num_seeds} seeds{needed}: {each.claim.text} ({hypothesis(each.claim)})")
    return [each for each in judgements if each.verdict == "undecided"]
