"""Which epoch a run keeps where several are equally good: the one that its field names, in every stage."""

from dataclasses import replace

import pytest

from subind.identity.run_ids import run_id
from subind.specs.runs import ImageSpec, KeptEpoch, Spec
from sweeps.cells import planned_columns
from sweeps.grids import protocol
from tests.specs import tiny_donor, tiny_mask, tiny_optimizer, tiny_transfer
from tests.subind.image_packs import parents
from tests.subind.packs import PARENTS, finished
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


def best_epoch(spec: Spec) -> float:
    read = parents if isinstance(spec, ImageSpec) else PARENTS
    (done,) = finished([spec], read=read).values()  # type: ignore[arg-type]
    assert done.replica.failure == ""
    return done.measurements["best_epoch"]


@pytest.mark.parametrize(("rule", "expected"), [("first_best", 1), ("last_best", 4)])
@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_of_equally_good_epochs_the_one_that_the_field_names_is_kept(
    spec: Spec, rule: KeptEpoch, expected: int
) -> None:
    assert best_epoch(replace(spec, kept_epoch=rule)) == expected


@pytest.mark.parametrize("rule", ["first_best", "last_best"])
def test_donor_waits_for_a_lower_loss_and_not_for_an_equal_one(rule: KeptEpoch) -> None:
    spec = tiny_donor(optimizer=STILL, num_epochs=9, patience=2, kept_epoch=rule)
    (done,) = finished([spec]).values()
    assert done.replica.curves["epoch"] == [1, 2, 3]


@pytest.mark.parametrize("spec", SPECS, ids=IDS)
def test_rule_is_part_of_the_id_and_of_the_row(spec: Spec) -> None:
    first, last = (replace(spec, kept_epoch=rule) for rule in ("first_best", "last_best"))
    assert run_id(first) != run_id(last)
    assert [planned_columns(each)["kept_epoch"] for each in (first, last)] == ["first_best", "last_best"]


def test_protocol_keeps_the_last_of_the_best_epochs_of_masks_and_recipients() -> None:
    mask = protocol.mask(2, seed=0)
    transfer = protocol.transfer(protocol.controls(mask)[0], num_disambiguation=10, seed=0)
    assert (mask.kept_epoch, transfer.kept_epoch) == ("last_best", "last_best")


def test_spec_without_the_rule_cannot_be_made() -> None:
    made = tiny_transfer()
    given = {name: getattr(made, name) for name in made.__dataclass_fields__ if name != "kept_epoch"}
    with pytest.raises(TypeError, match="kept_epoch"):
        type(made)(**given)
