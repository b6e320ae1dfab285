"""Full transfer of a rescaled donor against the donor's own numbers."""

import pytest
import torch

from subind.identity.run_ids import run_id
from subind.specs.training import Normal
from subind.stages.parents import network_of
from subind.starts.recipient import Given, recipient
from subind.starts.rescaled import RescaledTransfer
from tests.specs import tiny_donor, tiny_transfer
from tests.subind.packs import finished, perturbed, same_bits

DONOR = tiny_donor()


def start(scale: float = 0.25) -> RescaledTransfer:
    return RescaledTransfer(donor=DONOR, scale=scale)


def given() -> Given:
    return Given(
        network=network_of(DONOR),
        states={DONOR: perturbed(DONOR)},
        masks={},
        fresh_weights=Normal(std=0.02),
        seed=0,
    )


@pytest.mark.parametrize("scale", [0.25, 4.0])
def test_rescaled_recipient_has_every_parameter_of_the_donor_times_the_scale(scale: float) -> None:
    found, donor = recipient(start(scale), given()).state.parameters, perturbed(DONOR).parameters
    assert found.keys() == donor.keys()
    assert all(torch.equal(found[name] / scale, tensor) for name, tensor in donor.items())


def test_rescaled_recipient_freezes_nothing_and_inherits_everything() -> None:
    found = recipient(start(), given())
    assert not any(bool(bits.any()) for bits in found.kept.values())
    assert all(bool(bits.all()) for bits in found.inherited.values())


def test_rescaled_recipient_of_scale_one_is_the_donor_and_leaves_the_donor_as_it_was() -> None:
    own = given()
    assert same_bits(recipient(start(1.0), own).state.parameters, perturbed(DONOR).parameters)
    recipient(start(0.5), own)
    assert same_bits(own.states[DONOR].parameters, perturbed(DONOR).parameters)


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e7])
def test_scale_that_leaves_no_network_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=r"RescaledTransfer\.scale is"):
        start(scale)


def test_rescaled_transfer_descends_from_the_donor_and_reports_its_scale() -> None:
    transfer = tiny_transfer(start())
    assert transfer.parents() == (DONOR,)
    assert start().name == "rescaled_transfer_0.25"
    assert start().columns() == {"scale": 0.25}
    assert len({run_id(tiny_transfer(start(scale))) for scale in (0.25, 0.5)}) == 2


def test_rescaled_recipient_trains_alone_as_it_does_beside_one_of_another_scale() -> None:
    pack = [tiny_transfer(start(scale)) for scale in (0.25, 4.0)]
    together = finished(pack)
    for transfer in pack:
        assert together[transfer].measurements == finished([transfer])[transfer].measurements
