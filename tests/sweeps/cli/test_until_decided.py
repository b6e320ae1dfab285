"""`--until-decided`: seeds are added until claims are decided, and to no other cells."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.rows.claims import judged, of_rows
from analysis.rows.load import load
from subind.specs.runs import Transfer
from subind.store.store import Store
from sweeps.cli.rows_and_report import Outcome, exported
from sweeps.cli.until_decided import decided
from sweeps.grids import read_grid
from sweeps.planning.plan import Plan
from sweeps.planning.request import Request, accounted
from sweeps.planning.store_checks import opened_store
from tests.sweeps.fabricated_grid import GRID, exportable_record

CLAIMS = 'CLAIMS = ("subnetwork reaches 0.1 in most seeds at n = 4",)\n'
"""Fabricated runs have accuracies from 0.2 on, so that it holds as soon as there are seeds enough."""


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Request]:
    """A request for the tiny grid of two seeds, with claims."""
    monkeypatch.chdir(tmp_path)

    def made(claims: str) -> Request:
        (tmp_path / "tiny.py").write_text(GRID + claims)
        return Request(grid=read_grid("tiny.py"), where=(), store="store")

    return made


class Fabricating:
    """Commits a fabricated run of all that is missing; counts how often that is asked for."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.num_times = 0

    def __call__(self, request: Request) -> Plan:
        self.num_times += 1
        missing = accounted(request, self.store)
        for run in missing.missing:
            self.store.commit(missing.runs[run], exportable_record(missing.runs[run]), {})
        return accounted(request, self.store)


def verdicts(outcome: Outcome, store: Store) -> list[tuple[str, int]]:
    path, _ = exported(outcome.request, outcome.plan, store)
    return [(each.verdict, each.num_seeds) for each in judged(of_rows(path), load(path))]


def test_until_decided_adds_seeds_to_the_claims_cells_until_it_holds(request_of: Callable[[str], Request]):
    request = request_of(CLAIMS)
    store = opened_store(request.store)
    outcome = decided(request, store, Fabricating(store), max_seeds=20)
    added = [(cell.seed, cell.rows[1].num_samples) for cell in outcome.request.added]
    assert added == [(seed, 4) for seed in range(2, 6)]
    assert verdicts(outcome, store) == [("holds", 6)]


def test_until_decided_computes_no_number_of_seeds_that_decides_nothing(request_of: Callable[[str], Request]):
    """Two seeds are the grid's own, six the fewest that decide: four are not looked at."""
    request = request_of(CLAIMS)
    computed = Fabricating(opened_store(request.store))
    decided(request, computed.store, computed, max_seeds=20)
    assert computed.num_times == 2


def test_until_decided_tells_a_claims_hypothesis_and_the_seeds_that_it_needs(
    request_of: Callable[[str], Request], capsys: pytest.CaptureFixture[str]
):
    request = request_of(CLAIMS)
    store = opened_store(request.store)
    decided(request, store, Fabricating(store), max_seeds=20)
    told = " ".join(capsys.readouterr().out.split())
    assert "undecided with 2 seeds, of at least 6: subnetwork reaches 0.1 in most seeds at n = 4" in told
    assert "holds with 6 seeds: subnetwork reaches 0.1 in most seeds" in told
    assert "in more than half of all seeds the accuracy of subnetwork is at least 0.1" in told


def test_until_decided_stops_at_the_most_seeds(request_of: Callable[[str], Request]):
    request = request_of('CLAIMS = ("subnetwork beats random_init in most seeds at n = 4",)\n')
    store = opened_store(request.store)
    outcome = decided(request, store, Fabricating(store), max_seeds=5)
    seeds = {spec.seed for spec in outcome.plan.runs.values() if isinstance(spec, Transfer)}
    assert seeds == {0, 1, 2, 3, 4}
    again = decided(request, store, Fabricating(store), max_seeds=5)
    assert again.request.added == outcome.request.added


def test_until_decided_ends_alike_whether_its_most_seeds_were_raised_or_not(request_of: Callable[[str], Request]):
    """The number of looks is no part of a verdict: to look more often costs nothing."""
    request = request_of(CLAIMS)
    store = opened_store(request.store)
    for most in (3, 4, 5):
        decided(request, store, Fabricating(store), max_seeds=most)
    raised = decided(request, store, Fabricating(store), max_seeds=20)
    other = replace(request, store="other")
    at_once = decided(other, opened_store(other.store), Fabricating(opened_store(other.store)), max_seeds=20)
    assert verdicts(raised, store) == verdicts(at_once, opened_store(other.store)) == [("holds", 6)]


def test_until_decided_fills_the_arm_that_lacks_seeds(request_of: Callable[[str], Request]):
    """Twelve seeds of the one arm and two of the other: the claim is about pairs."""
    request = request_of(
        'CLAIMS = ("subnetwork matches random_init within 0.9 in most seeds at n = 4",)\n'
        "own = grid\n\n\n"
        "def grid():\n"
        '    more = [tiny_transfer("random_init", seed=seed, num_disambiguation=4) for seed in range(2, 12)]\n'
        "    return (*own(), *more)\n"
    )
    store = opened_store(request.store)
    outcome = decided(request, store, Fabricating(store), max_seeds=20)
    assert {(cell.start.name, cell.seed) for cell in outcome.request.added} == {
        ("subnetwork", seed) for seed in range(2, 6)
    }
    assert verdicts(outcome, store) == [("holds", 6)]


def test_until_decided_of_a_grid_with_more_seeds_than_the_most_computes_nothing(request_of: Callable[[str], Request]):
    request = request_of(CLAIMS)
    store = opened_store(request.store)
    with pytest.raises(ValueError, match="--max-seeds is 1 and the grid has 2: give at least as many"):
        decided(request, store, Fabricating(store), max_seeds=1)
    assert store.finished() == frozenset()


def test_until_decided_of_a_grid_without_claims_computes_nothing(request_of: Callable[[str], Request]):
    request = request_of("")
    store = opened_store(request.store)
    with pytest.raises(ValueError, match="has no CLAIMS: write some, or leave --until-decided out"):
        decided(request, store, Fabricating(store), max_seeds=5)
    assert store.finished() == frozenset()


def test_until_decided_of_a_sentence_that_is_no_claim_computes_nothing(request_of: Callable[[str], Request]):
    request = request_of('CLAIMS = ("it works",)\n')
    store = opened_store(request.store)
    with pytest.raises(ValueError, match="claim 'it works' is of no known form"):
        decided(request, store, Fabricating(store), max_seeds=5)
    assert store.finished() == frozenset()
