"""The plan: parents closed, finished runs subtracted, the rest in packs. The oracle is counting by hand."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from subind.identity import run_ids as fingerprint
from subind.identity.run_ids import run_id
from subind.specs.run import STAGES, Run, Stage, lineage
from subind.specs.runs import Discover, Distillation, Train, Transfer
from subind.specs.starts import FullTransfer
from subind.store.store import Checkpoint
from sweeps import grids
from sweeps.planning.plan import Crew, Pack, Plan, accounts, packed, with_parents
from sweeps.planning.run_states import descendants
from tests.specs import tiny_donor, tiny_mask, tiny_transfer

MASKED = ("subnetwork", "random_subnetwork")


def _mask(seed: int) -> Discover:
    return tiny_mask(donor=tiny_donor(seed=seed), seed=seed)


def _cells(*, seeds: Sequence[int] = (0, 1), counts: Sequence[int] = (4, 8)) -> tuple[Transfer, ...]:
    """Per seed and count: two masked controls, full transfer and a fresh network."""
    return tuple(
        tiny_transfer(name, mask=_mask(seed), seed=seed, num_disambiguation=count)
        for seed in seeds
        for count in counts
        for name in (*MASKED, "full_transfer", "random_init")
    )


def _plan(cells: Sequence[Run], **changes: Any) -> Plan:
    given: dict[str, Any] = {"finished": (), "failed": (), "checkpoints": (), "num_workers": 1, "pack_size": 100}
    now = {**given, **changes}
    crew = Crew(num_workers=now["num_workers"], pack_size=now["pack_size"])
    found = accounts("grid", cells, finished=now["finished"], failed=now["failed"])
    return packed(found, checkpoints=now["checkpoints"], crew=crew)


def _ids(several: Sequence[Run]) -> set[str]:
    return set(map(run_id, several))


def _sizes(found: Plan, stage: str) -> list[int]:
    return [len(pack.specs) for pack in found.packs if pack.stage == stage]


# ---- parents


def test_plan_of_cells_adds_each_parent_once() -> None:
    found = _plan(_cells())
    assert [found.num_runs(stage) for stage in STAGES] == [2, 2, 16, 0]


def test_plan_of_cells_has_parents_before_their_children() -> None:
    runs = list(with_parents(_cells()))
    for run, spec in with_parents(_cells()).items():
        assert all(runs.index(run_id(parent)) < runs.index(run) for parent in spec.parents())


def test_plan_of_cells_keeps_their_order_within_a_stage() -> None:
    transfers = [spec for spec in with_parents(_cells()).values() if isinstance(spec, Transfer)]
    assert tuple(transfers) == _cells()


def test_cell_given_twice_is_planned_once() -> None:
    assert _plan([*_cells(), *_cells()]).runs == _plan(_cells()).runs


def test_plan_of_paper_arithmetic_is_30_donors_30_masks_and_4590_transfers() -> None:
    found = _plan(grids.read_grid("paper-arithmetic").cells, num_workers=2, pack_size=10)
    counts = {stage: found.num_runs(stage) for stage in STAGES}
    assert (len(found.runs), counts) == (4650, {"donor": 30, "mask": 30, "transfer": 4590, "measurement": 0})


def test_packs_of_paper_arithmetic_hold_every_run_once() -> None:
    found = _plan(grids.read_grid("paper-arithmetic").cells, num_workers=2, pack_size=10)
    packed = [run for pack in found.packs for run in pack.runs]
    assert sorted(packed) == sorted(found.runs)


def test_transfer_packs_of_paper_arithmetic_each_need_one_seed_only() -> None:
    found = _plan(grids.read_grid("paper-arithmetic").cells, num_workers=2, pack_size=10)
    assert all(len({spec.seed for spec in pack.specs}) == 1 for pack in found.packs if pack.stage == "transfer")


# ---- accounts


def test_finished_runs_are_not_missing() -> None:
    cells = _cells()
    done = _ids([tiny_donor(seed=0), cells[0]])
    found = _plan(cells, finished=done)
    assert found.finished == done
    assert set(found.missing) == set(found.runs) - done


def test_finished_runs_of_other_grids_are_not_counted() -> None:
    found = _plan(_cells(), finished={"0" * 16, run_id(tiny_donor(seed=7))})
    assert found.finished == frozenset()


def test_failed_donor_blocks_its_mask_and_transfers_but_not_the_other_seed() -> None:
    donor = tiny_donor(seed=0)
    found = _plan(_cells(), failed=_ids([donor]))
    blocked = {run for run, spec in found.runs.items() if donor in lineage(spec)} - {run_id(donor)}
    assert found.failed == _ids([donor])
    assert found.blocked == blocked
    assert len(blocked) == 1 + 2 * 3


def test_failed_mask_leaves_its_donor_and_the_controls_that_need_only_the_donor() -> None:
    cells = _cells(seeds=[0], counts=[4])
    found = _plan(cells, failed=_ids([_mask(0)]))
    assert found.blocked == _ids(cells[:2])
    assert set(found.missing) == _ids([tiny_donor(), *cells[2:]])


def test_descendant_that_is_finished_is_not_blocked() -> None:
    cells = _cells(seeds=[0], counts=[4])
    found = _plan(cells, finished=_ids(cells[:1]), failed=_ids([_mask(0)]))
    assert found.blocked == _ids(cells[1:2])


def test_run_that_failed_and_is_finished_counts_as_finished() -> None:
    donor = _ids([tiny_donor(seed=0)])
    found = _plan(_cells(), finished=donor, failed=donor)
    assert (found.finished, found.failed, found.blocked) == (donor, frozenset(), frozenset())


def test_every_run_of_a_plan_is_in_one_account() -> None:
    cells = _cells()
    found = _plan(cells, finished=_ids([tiny_donor(seed=0)]), failed=_ids([_mask(0)]))
    accounts = [*found.finished, *found.failed, *found.blocked, *found.missing]
    assert sorted(accounts) == sorted(found.runs)


def test_descendants_of_nothing_are_none() -> None:
    assert descendants(with_parents(_cells()), frozenset()) == set()


# ---- packs


def test_packs_are_of_one_shape() -> None:
    for pack in _plan(_cells()).packs:
        assert len({spec.pack_shape() for spec in pack.specs}) == 1


def test_packs_hold_the_missing_runs_once_each() -> None:
    found = _plan(_cells(), finished=_ids([tiny_donor(seed=0)]), pack_size=3)
    assert sorted(run for pack in found.packs for run in pack.runs) == sorted(found.missing)


@pytest.mark.parametrize(
    ("pack_size", "sizes"),
    [(100, [8, 8]), (8, [8, 8]), (7, [4, 4, 4, 4]), (3, [3, 3, 2, 3, 3, 2]), (1, [1] * 16)],
)
def test_packs_are_even_and_within_their_size(pack_size: int, sizes: list[int]) -> None:
    assert sorted(_sizes(_plan(_cells(), pack_size=pack_size), "transfer")) == sorted(sizes)


@pytest.mark.parametrize(("num_workers", "sizes"), [(1, [4]), (2, [2, 2]), (3, [2, 2]), (4, [1, 1, 1, 1])])
def test_workers_share_long_runs(num_workers: int, sizes: list[int]) -> None:
    donors = [tiny_donor(seed=seed, num_epochs=10**5) for seed in range(4)]
    assert _sizes(_plan(donors, num_workers=num_workers), "donor") == sizes


def test_packs_come_stage_by_stage() -> None:
    stages = [pack.stage for pack in _plan(_cells(), pack_size=2).packs]
    assert stages == sorted(stages, key=STAGES.index)


def test_long_packs_come_before_short_ones_of_their_stage() -> None:
    transfers = [pack for pack in _plan(_cells(counts=[4, 400, 8, 40])).packs if pack.stage == "transfer"]
    assert [pack.specs[0].num_training_samples for pack in transfers] == [412, 52, 20, 16]


def test_packs_of_the_same_plan_have_the_same_names() -> None:
    assert [pack.name for pack in _plan(_cells()).packs] == [pack.name for pack in _plan(_cells()).packs]


def test_packs_of_other_runs_have_other_names() -> None:
    names = [pack.name for size in (1, 2, 3) for pack in _plan(_cells(), pack_size=size).packs]
    members = [pack.runs for size in (1, 2, 3) for pack in _plan(_cells(), pack_size=size).packs]
    assert len(set(names)) == len(set(members))


def test_plan_without_missing_runs_has_no_pack() -> None:
    assert _plan(_cells(), finished=set(with_parents(_cells()))).packs == ()


# ---- graphs of any form


def _chained(length: int) -> Run:
    """A recipient of a recipient of … a donor; all of one shape, but for the donor."""
    run: Train | Transfer = tiny_donor()
    for _ in range(length):
        run = tiny_transfer(FullTransfer(donor=run))
    return run


def test_chain_of_recipients_is_planned_parents_first() -> None:
    chain = list(with_parents([_chained(5)]).values())
    assert [each.stage for each in chain] == ["donor", *["transfer"] * 5]
    assert all(parent in chain[:place] for place, run in enumerate(chain) for parent in run.parents())


def test_pack_holds_no_run_and_its_ancestor_though_they_are_of_one_shape() -> None:
    found = _plan([_chained(4)])
    assert len(found.packs) == 5
    starts = {run: found.schedule.starts[place] for place, pack in enumerate(found.packs) for run in pack.runs}
    for run, spec in found.runs.items():
        assert all(starts[run_id(parent)] < starts[run] for parent in spec.parents())


def test_mask_in_a_recipient_waits_for_it_and_is_blocked_with_it() -> None:
    recipient = tiny_transfer("full_transfer")
    mask = tiny_mask(donor=recipient)
    found = _plan([mask], failed=_ids([recipient]))
    assert found.blocked == _ids([mask])
    assert list(_plan([mask]).runs) == [run_id(each) for each in (tiny_donor(), recipient, mask)]


def test_run_of_two_parents_is_blocked_by_either() -> None:
    teacher = tiny_donor(seed=7)
    taught = Distillation(network=teacher, masks=(), temperature=2.0, weight=0.5)
    recipient = tiny_transfer("full_transfer", teacher=taught)
    for failed in (teacher, tiny_donor()):
        assert _plan([recipient], failed=_ids([failed])).blocked == _ids([recipient])


def test_donor_alone_may_be_a_cell() -> None:
    assert list(_plan([tiny_donor()]).runs) == [run_id(tiny_donor())]


# ---- checkpoints


def _checkpointed(members: Sequence[Run], name: str = "left-off") -> Checkpoint:
    return Checkpoint(pack=name, runs=tuple(map(run_id, members)))


def _by_name(found: Plan, name: str) -> Pack:
    (pack,) = (pack for pack in found.packs if pack.name == name)
    return pack


def test_pack_with_a_checkpoint_is_put_together_again_in_its_order() -> None:
    cells = _cells()
    members = (cells[9], cells[0], cells[8])
    assert _by_name(_plan(cells, checkpoints=[_checkpointed(members)]), "left-off").specs == members


def test_pack_with_a_checkpoint_leaves_out_what_has_been_finished_since() -> None:
    cells = _cells()
    found = _plan(cells, checkpoints=[_checkpointed(cells[:3])], finished=_ids(cells[1:2]))
    assert _by_name(found, "left-off").specs == (cells[0], cells[2])


def test_pack_with_a_checkpoint_is_not_cut_to_the_pack_size() -> None:
    cells = _cells()
    found = _plan(cells, checkpoints=[_checkpointed(cells[:4])], pack_size=2)
    assert len(_by_name(found, "left-off").specs) == 4


def test_runs_of_a_checkpoint_are_in_no_other_pack() -> None:
    cells = _cells()
    found = _plan(cells, checkpoints=[_checkpointed(cells[:3]), _checkpointed(cells[2:5], "second")])
    assert sorted(run for pack in found.packs for run in pack.runs) == sorted(found.missing)


def test_checkpoint_of_which_nothing_is_missing_makes_no_pack() -> None:
    cells = _cells()
    found = _plan(cells, checkpoints=[_checkpointed(cells[:2])], finished=_ids(cells[:2]))
    assert "left-off" not in {pack.name for pack in found.packs}


def test_checkpoint_of_another_grid_makes_no_pack() -> None:
    found = _plan(_cells(), checkpoints=[_checkpointed([tiny_donor(seed=9)])])
    assert "left-off" not in {pack.name for pack in found.packs}


# ---- stale runs

Bump = Callable[..., None]


@pytest.fixture
def bump(monkeypatch: pytest.MonkeyPatch) -> Bump:
    """Gives a stage another version, for the time of the test."""

    def bumped(stage: Stage, reason: str) -> None:
        monkeypatch.setitem(fingerprint.STAGE_VERSIONS, stage, (*fingerprint.STAGE_VERSIONS[stage], reason))

    return bumped


def test_runs_of_the_current_version_are_not_stale() -> None:
    assert _plan(_cells(), finished=set(list(with_parents(_cells()))[:4])).stale == {}


def test_new_version_of_a_stage_makes_its_runs_and_their_descendants_missing(bump: Bump) -> None:
    finished = set(with_parents(_cells()))
    bump("mask", "dropout is off")
    found = _plan(_cells(), finished=finished)
    again = {spec for spec in found.runs.values() if any(isinstance(each, Discover) for each in lineage(spec))}
    assert set(found.missing) == _ids(list(again))


def test_new_version_of_a_stage_is_told_as_the_reason_for_running_again(bump: Bump) -> None:
    finished = set(with_parents(_cells()))
    bump("mask", "dropout is off")
    found = _plan(_cells(), finished=finished)
    assert set(found.stale) == set(found.missing)
    assert set(found.stale.values()) == {"mask: dropout is off"}


def test_several_new_versions_are_all_told(bump: Bump) -> None:
    cells = _cells(seeds=[0], counts=[4])[:1]
    finished = set(with_parents(cells))
    bump("transfer", "one rounding less")
    bump("donor", "clipped")
    bump("transfer", "one rounding more")
    found = _plan(cells, finished=finished)
    assert found.stale[run_id(cells[0])] == "transfer: one rounding less; transfer: one rounding more; donor: clipped"


def test_runs_that_were_never_finished_are_not_stale(bump: Bump) -> None:
    donors = {run_id(tiny_donor(seed=0))}
    bump("donor", "clipped")
    found = _plan(_cells(), finished=donors)
    assert set(found.stale) == {run_id(tiny_donor(seed=0))}


def test_version_of_transfers_leaves_donors_and_masks_finished(bump: Bump) -> None:
    finished = set(with_parents(_cells()))
    bump("transfer", "one rounding less")
    found = _plan(_cells(), finished=finished)
    assert {found.runs[run].stage for run in found.finished} == {"donor", "mask"}


def test_changed_field_of_a_spec_is_a_new_run_and_not_a_stale_one() -> None:
    cells = _cells()
    changed = [replace(cell, num_epochs=cell.num_epochs + 1) for cell in cells]
    found = _plan(changed, finished=_ids(cells))
    assert (found.stale, found.finished) == ({}, frozenset())
