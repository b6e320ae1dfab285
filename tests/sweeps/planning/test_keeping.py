"""Recipients that leave their weights: which these are, and that a finished one without weights is computed again."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.specs.starts import FullTransfer
from subind.store.store import Store
from sweeps.grids import read_grid
from sweeps.planning.keeping import is_done, kept_bytes, with_kept
from sweeps.planning.plan import Plan, accounts
from sweeps.planning.store_checks import opened_store
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.records import small_record

STARTS = ("subnetwork", "full_transfer", "random_init")
WEIGHTS = {"weights.safetensors": b"weights"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def commit(store: Store, run: Run, files: dict[str, bytes] | None = None) -> None:
    store.commit(run, small_record(run), files or {})


def planned(cells: Sequence[Run], store: Store, *keep: str) -> Plan:
    return with_kept(accounts("grid", cells, finished=store.finished(), failed=()), store, keep)


def ids(*runs: Run) -> set[str]:
    return set(map(run_id, runs))


def test_recipients_are_not_kept_unless_somebody_asks(store: Store) -> None:
    assert planned([tiny_transfer(name) for name in STARTS], store).kept == frozenset()


def test_all_recipients_or_those_of_some_starts_are_kept(store: Store) -> None:
    cells = [tiny_transfer(name) for name in STARTS]
    assert planned(cells, store, "all").kept == ids(*cells)
    assert planned(cells, store, "subnetwork", "random_init").kept == ids(cells[0], cells[2])


def test_start_that_no_recipient_has_is_refused_with_those_that_there_are(store: Store) -> None:
    with pytest.raises(
        ValueError, match="--keep is 'sub': give all, or a start of the grid, full_transfer, subnetwork"
    ):
        planned([tiny_transfer("subnetwork"), tiny_transfer("full_transfer")], store, "sub")


def test_recipient_that_another_run_reads_is_kept(store: Store) -> None:
    recipient = tiny_transfer("full_transfer")
    assert planned([tiny_mask(donor=recipient)], store).kept == ids(recipient)


def test_weights_of_a_kept_recipient_have_the_size_of_its_parameters(store: Store) -> None:
    found = planned([tiny_transfer("random_init")], store, "all")
    num_parameters = 12 * 2 * 16**2 + (13 * 2 + 13 + 3 + 3) * 16
    assert kept_bytes(found) == 4 * num_parameters


def test_finished_recipient_without_weights_is_computed_again_if_they_are_asked_for(store: Store) -> None:
    with_weights, without = tiny_transfer("random_init", seed=0), tiny_transfer("random_init", seed=1)
    commit(store, with_weights, WEIGHTS)
    commit(store, without)
    found = planned([with_weights, without], store, "all")
    assert (found.unkept, set(found.missing)) == (ids(without), ids(without))
    assert planned([with_weights, without], store).missing == ()


def test_finished_recipient_without_weights_is_computed_again_for_a_missing_run_that_reads_it(store: Store) -> None:
    first = tiny_transfer("full_transfer")
    second = tiny_transfer(FullTransfer(donor=first))
    third = tiny_transfer(FullTransfer(donor=second))
    for run in (tiny_donor(), first, second):
        commit(store, run, WEIGHTS if run.stage == "donor" else {})
    found = planned([third], store)
    assert (found.unkept, found.finished) == (ids(first, second), ids(tiny_donor()))


def test_nothing_is_computed_again_for_a_run_that_is_finished(store: Store) -> None:
    recipient = tiny_transfer("full_transfer")
    mask = tiny_mask(donor=recipient)
    for run in (tiny_donor(), recipient, mask):
        commit(store, run)
    assert planned([mask], store).missing == ()


def test_record_with_weights_replaces_one_without_and_is_not_replaced(store: Store) -> None:
    run = tiny_transfer("random_init")
    commit(store, run)
    assert (is_done(run, store, is_kept=False), is_done(run, store, is_kept=True)) == (True, False)
    commit(store, run, WEIGHTS)
    assert is_done(run, store, is_kept=True)
    commit(store, run)
    assert store.artifact(run, "weights.safetensors") == b"weights"


@pytest.mark.parametrize(("written", "kept"), [("True", 2), ("False", 0), ("('random_init',)", 1)])
def test_grid_file_says_which_recipients_it_keeps(tmp_path: Path, written: str, kept: int) -> None:
    from sweeps.planning.request import Request, accounted

    (tmp_path / "own.py").write_text(
        f"from tests.specs import tiny_transfer\nKEEP = {written}\n"
        "def grid():\n    return tiny_transfer('random_init'), tiny_transfer('full_transfer')\n"
    )
    request = Request(grid=read_grid(str(tmp_path / "own.py")), where=(), store=str(tmp_path / "store"))
    assert len(accounted(request, opened_store(request.store)).kept) == kept
