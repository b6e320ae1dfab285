"""`--until-decided`: seeds are added until claims are decided, and to no other cells."""

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.claims import judged, num_looks, of_rows
from analysis.load import load
from subind.spec import Transfer
from subind.store import Store
from sweeps import commands
from sweeps.cli.deciding import decided
from sweeps.cli.reading import exported
from sweeps.commands import Request
from sweeps.plan import Plan
from tests.sweeps.fabricated_grid import GRID, exportable_record

CLAIMS = 'CLAIMS = ("subnetwork reaches 0.1 at n = 4",)\n'
"""Fabricated runs have accuracies from 0.2 on, so that it holds as soon as there are seeds enough."""

Computed = Callable[[Request], Plan]


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Request]:
    """A request for the tiny grid of two seeds, with claims."""
    monkeypatch.chdir(tmp_path)

    def made(claims: str) -> Request:
        (tmp_path / "tiny.py").write_text(GRID + claims)
        return Request(grid="tiny.py", where=(), store="store")

    return made


def fabricating(store: Store) -> Computed:
    """Commits a fabricated run of all that is missing."""

    def computed(request: Request) -> Plan:
        missing = commands.accounted(request, store)
        for run in missing.missing:
            store.commit(missing.runs[run], exportable_record(missing.runs[run]), {})
        return commands.accounted(request, store)

    return computed


def test_until_decided_adds_seeds_to_the_claims_cells_until_it_holds(request_of: Callable[[str], Request]):
    request = request_of(CLAIMS)
    store = request.opened()
    outcome = decided(request, store, fabricating(store), max_seeds=20)
    added = [(cell.seed, cell.num_disambiguation) for cell in outcome.request.added]
    assert added == [(seed, 4) for seed in range(2, 8)]
    assert outcome.num_looks == 5
    path = exported(outcome.request, outcome.plan, store, num_looks=outcome.num_looks)
    (found,) = judged(of_rows(path), load(path), num_looks=num_looks(path))
    assert (found.verdict, found.num_seeds, found.level) == ("holds", 8, pytest.approx(0.01))


def test_until_decided_stops_at_the_most_seeds(request_of: Callable[[str], Request]):
    request = request_of('CLAIMS = ("subnetwork beats random_init at n = 4",)\n')
    store = request.opened()
    outcome = decided(request, store, fabricating(store), max_seeds=5)
    seeds = {spec.seed for spec in outcome.plan.runs.values() if isinstance(spec, Transfer)}
    assert seeds == {0, 1, 2, 3, 4}
    again = decided(request, store, fabricating(store), max_seeds=5)
    assert again.request.added == outcome.request.added


def test_until_decided_of_a_grid_without_claims_computes_nothing(request_of: Callable[[str], Request]):
    request = request_of("")
    store = request.opened()
    with pytest.raises(ValueError, match="has no CLAIMS: write some, or leave --until-decided out"):
        decided(request, store, fabricating(store), max_seeds=5)
    assert store.finished() == frozenset()


def test_until_decided_of_a_sentence_that_is_no_claim_computes_nothing(request_of: Callable[[str], Request]):
    request = request_of('CLAIMS = ("it works",)\n')
    store = request.opened()
    with pytest.raises(ValueError, match="claim 'it works' is of no known form"):
        decided(request, store, fabricating(store), max_seeds=5)
    assert store.finished() == frozenset()
