"""Which epoch a run keeps where several are equally good: the one that its field names, in every stage."""

from dataclasses import fields, replace
from typing import Any, Literal

import pytest

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.specs.training import BestEpoch
from sweeps.grids import protocol
from sweeps.grids.cells import planned_columns
from tests.specs import tiny_donor, tiny_mask, tiny_optimizer, tiny_transfer
from tests.subind.packs import finished
from tests.vision_specs import VIT, image_donor, image_mask

STILL = tiny_optimizer(learning_rate=1e-30)
"""Every epoch is as good as the first."""
SPECS = [
    tiny_donor(optimizer=STILL, num_epochs=4, patience=4),
    tiny_mask(optimizer=STILL, num_epochs=4),
    tiny_transfer(optimizer=STILL, num_epochs=4),
    image_donor(VIT, optimizer=STILL, num_epochs=4, patience=4),
    image_mask(optimizer=STILL, num_epochs=4),
]
IDS = [type(spec).__name__ for spec in SPECS]


def kept_by(spec: Any, ties: Literal["first", "last"]) -> Any:
    """The run by the rule of ties."""
    assert isinstance(spec.kept_epoch, BestEpoch)
    return replace(spec, kept_epoch=replace(spec.kept_epoch, ties=ties))


def best_epoch(spec: Run) -> float:
    (done,) = finished([spec]).values()
    assert done.replica.failure == ""
    return done.measurements["best_epoch"]


@pytest.mark.parametrize(("rule", "expected"), [("first", 1), ("last", 4)])
@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_of_equally_good_epochs_the_one_that_the_field_names_is_kept(
    spec: Run, rule: Literal["first", "last"], expected: int
) -> None:
    assert best_epoch(kept_by(spec, rule)) == expected


@pytest.mark.parametrize("rule", ["first", "last"])
def test_donor_waits_for_a_lower_loss_and_not_for_an_equal_one(rule: Literal["first", "last"]) -> None:
    spec = kept_by(tiny_donor(optimizer=STILL, num_epochs=9, patience=2), rule)
    (done,) = finished([spec]).values()
    assert done.replica.curves["epoch"] == [1, 2, 3]


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_rule_is_part_of_the_id_and_of_the_row(spec: Run) -> None:
    first, last = kept_by(spec, "first"), kept_by(spec, "last")
    assert run_id(first) != run_id(last)
    assert [planned_columns(each)["kept_epoch"] for each in (first, last)] == ["first_best", "last_best"]


def test_protocol_keeps_the_last_of_the_best_epochs_of_masks_and_recipients() -> None:
    mask = protocol.mask(2, seed=0)
    transfer = protocol.transfer(protocol.starts(mask)[0], num_disambiguation=10, seed=0)
    assert [(each.kept_epoch.best, each.kept_epoch.ties) for each in (mask, transfer)] == [("highest", "last")] * 2


def test_spec_without_the_rule_cannot_be_made() -> None:
    made = tiny_transfer()
    given = {field.name: getattr(made, field.name) for field in fields(made) if field.name != "kept_epoch"}
    with pytest.raises(TypeError, match="kept_epoch"):
        type(made)(**given)
