"""The union of subnetworks against sets of hand-made masks."""

from dataclasses import replace

import pytest
import torch

from subind.identity.run_ids import run_id
from subind.masks import hard as masks
from subind.specs.run import lineage
from subind.specs.runs import Discover
from subind.specs.training import Normal
from subind.stages.parents import network_of
from subind.starts.recipient import Given, GivenMasks, inheritance, recipient
from subind.starts.union import Union
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind.packs import finished, hand_mask, perturbed, same_bits

MASKS = (tiny_mask(seed=0), tiny_mask(seed=1))
START = Union(masks=MASKS)


def given(*, seed: int = 0) -> Given:
    donor = perturbed(MASKS[0].donor)
    return Given(
        network=network_of(MASKS[0]),
        states={MASKS[0].donor: donor},
        masks={mask: hand_mask(mask) for mask in MASKS},
        fresh_weights=Normal(std=0.02),
        seed=seed,
    )


def test_union_freezes_the_donors_weights_where_either_mask_is_one() -> None:
    own = given()
    found, donor = recipient(START, own), own.states[MASKS[0].donor].parameters
    for name in own.network.maskable:
        either = torch.zeros(own.network.shapes[name], dtype=torch.bool)
        for mask in MASKS:
            either[own.masks[mask][name]] = True
        assert torch.equal(found.kept[name], either)
        assert torch.equal(found.state.parameters[name] == donor[name], either)
    rest = donor.keys() - set(own.network.maskable)
    assert all(torch.equal(found.state.parameters[name], donor[name]) for name in rest)


def test_union_of_one_mask_twice_freezes_that_mask() -> None:
    start = Union(masks=(MASKS[1], MASKS[1]))
    own = GivenMasks(network=network_of(MASKS[0]), masks={MASKS[1]: hand_mask(MASKS[1])}, seed=0)
    assert same_bits(inheritance(start, own).kept, hand_mask(MASKS[1]))


def test_union_descends_from_both_masks_and_their_donor() -> None:
    assert set(START.parents()) == {*MASKS, MASKS[0].donor}
    transfer = tiny_transfer(START)
    assert set(lineage(transfer)) == {transfer, *MASKS, MASKS[0].donor}
    assert START.name == "union"
    assert START.network == MASKS[0].network


def test_union_of_masks_of_two_donors_is_refused() -> None:
    other: Discover = replace(MASKS[0], donor=tiny_donor(seed=1))
    with pytest.raises(ValueError, match=r"Union\.masks is .*give masks of one donor"):
        Union(masks=(MASKS[0], other))


def test_union_of_one_mask_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Union\.masks is .*give at least two"):
        Union(masks=(MASKS[0],))


def test_run_ids_of_other_unions_differ() -> None:
    third = tiny_mask(seed=2)
    several = [Union(masks=several) for several in (MASKS, (MASKS[0], third), (*MASKS, third))]
    assert len({run_id(tiny_transfer(start)) for start in several}) == 3


def test_recipient_of_a_union_trains_and_reports_the_share_that_it_keeps() -> None:
    transfer = tiny_transfer(START)
    measured = finished([transfer])[transfer].measurements
    bits = masks.union(*(hand_mask(mask) for mask in MASKS))
    assert measured["kept_fraction"] == measured["frozen_fraction"] == masks.density(bits)
