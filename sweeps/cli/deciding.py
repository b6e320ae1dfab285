"""`subind run GRID --until-decided`: seeds are added to the cells of undecided claims until all are decided."""

from collections.abc import Callable
from dataclasses import replace

from subind.quoting import quoted
from subind.spec import Transfer
from subind.store import Store
from sweeps import commands, deciding, grids
from sweeps.cli.app import out
from sweeps.cli.reading import Outcome, exported
from sweeps.commands import Request
from sweeps.deciding import Need
from sweeps.plan import Plan


def decided(request: Request, store: Store, computed: Callable[[Request], Plan], *, max_seeds: int) -> Outcome:
    """Compute the grid, then further seeds where a claim needs them.

    It ends early where runs are missing or have failed. Raises ValueError before anything is computed if the grid has
    no claims, one of them is no claim, or the grid has more than `max_seeds` seeds.
    """
    from analysis.claims import parsed

    claims = grids.claims(request.grid)
    if not claims:
        raise ValueError(f"grid {quoted(request.grid)} has no CLAIMS: write some, or leave --until-decided out")
    for text in claims:
        parsed(text)
    cells = _cells(request, store)
    looks = deciding.looks(deciding.fewest_seeds(cells), most_seeds=max_seeds)
    found = computed(request)
    for num_seeds in looks[1:]:
        needs = _undecided(request, found, store, num_looks=len(looks))
        if not needs or found.missing or found.failed or found.blocked:
            break
        added = deciding.added_cells(cells, needs, num_seeds=num_seeds)
        request = replace(request, added=tuple(dict.fromkeys((*request.added, *added))))
        found = computed(request)
    return Outcome(request=request, plan=found, num_looks=len(looks))


def _cells(request: Request, store: Store) -> tuple[Transfer, ...]:
    runs = commands.accounted(request, store).runs.values()
    return tuple(spec for spec in runs if isinstance(spec, Transfer))


def _undecided(request: Request, found: Plan, store: Store, *, num_looks: int) -> list[Need]:
    """What the undecided claims compare, after saying how every claim stands."""
    from analysis.claims import judged, of_rows, planned
    from analysis.load import load

    path, found = exported(request, found, store, num_looks=num_looks)
    rows = load(path)
    claims, reasons = planned(of_rows(path), rows)
    for reason in reasons:
        out.print(f"not judged: {reason}")
    needs = []
    for each in judged(claims, rows, num_looks=num_looks):
        out.print(f"{each.verdict} with {each.num_seeds} seeds: {each.claim.text}")
        if each.verdict == "undecided":
            controls = frozenset(filter(None, (each.claim.control, each.claim.other)))
            samples, depth = each.claim.num_disambiguation, each.claim.depth
            needs.append(Need(controls=controls, num_disambiguation=samples, depth=depth))
    return needs
