from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from subind.computing import compute
from subind.masks.hard import HardMask
from subind.measurements.masked_accuracy import MaskedAccuracy
from subind.specs.base import behaviour
from subind.specs.digits import DigitsTask
from subind.specs.networks import MLP
from subind.specs.rows import Part
from subind.specs.training import LastEpoch, NoEarlyStop
from subind.tasks.arithmetic import Arithmetic
from subind.tasks.task import key
from tests.specs import tiny_donor, tiny_mask, tiny_model, tiny_optimizer, tiny_task
from tests.subind.measures import answer, asked, asking, measurements, transformers_network
from tests.vision_specs import image_mask, shapes_task

MASK = tiny_mask(donor=tiny_donor(num_epochs=20), initial_logit=0.01)
DIGITS = DigitsTask(label_of="digit", num_outputs=10, evaluation_share=0.2, data_seed=0)
VARIANTS = ("unmasked", "mask", "inverse", "random", "random_inverse")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store, which the tests fill."""
    path: Path = tmp_path_factory.mktemp("store")
    return str(path)


def masked_accuracy(**changes: Any) -> MaskedAccuracy:
    return MaskedAccuracy(**{"task": tiny_task(), "num_evaluation_samples": 40, "outer": "masked", **changes})


def masks(measurement: MaskedAccuracy, *, store: str, of: Any = MASK, seed: int = 0) -> dict[str, HardMask]:
    compute(of, store=store)
    return measurement.masks(asked(asking(of, measurement, seed=seed), store=store))


@pytest.mark.parametrize("outer", ["masked", "whole"])
def test_accuracy_and_loss_under_each_mask_are_those_of_transformers(outer: str, finished: str) -> None:
    asks = masked_accuracy(outer=outer)
    measured = measurements(MASK, asks, store=finished)
    weights = compute(MASK.donor, store=finished).weights
    rows = Arithmetic(tiny_task()).rows("test", num_rows=40, key=key(MASK, "test"))["tokens"]
    for variant, mask in masks(asks, store=finished).items():
        network = transformers_network(tiny_model(), weights, mask)
        right = sum(int(answer(network, row[:3]).argmax()) == (row[0] + row[0] * row[1]) % 7 for row in rows.tolist())
        assert measured[f"{variant}_accuracy"] == right / 40
        loss = network(rows, labels=rows).loss.item()
        assert measured[f"{variant}_loss"] == pytest.approx(loss, abs=1e-5)
    assert len(measured) == 2 * len(VARIANTS) + 1


def test_mask_is_the_stored_one_and_its_inverse_shares_no_weight_and_covers_all(finished: str) -> None:
    several = masks(masked_accuracy(), store=finished)
    stored = compute(MASK, store=finished).mask
    assert several["mask"].keys() == stored.keys()
    for name, bits in stored.items():
        assert torch.equal(several["mask"][name], bits)
        assert torch.equal(several["inverse"][name], ~bits)
        assert torch.equal(several["random_inverse"][name], ~several["random"][name])


def test_random_mask_keeps_as_many_weights_of_every_tensor_and_is_drawn_by_the_seed(finished: str) -> None:
    first, again, other = (masks(masked_accuracy(), store=finished, seed=seed) for seed in (0, 0, 1))
    for name, bits in first["mask"].items():
        assert int(first["random"][name].sum()) == int(bits.sum())
        assert torch.equal(first["random"][name], again["random"][name])
        assert not torch.equal(first["random"][name], bits)
        assert not torch.equal(first["random"][name], other["random"][name])


def test_first_and_last_tensor_are_in_no_mask_where_the_outer_ones_are_whole(finished: str) -> None:
    names = list(masks(masked_accuracy(), store=finished)["mask"])
    inner = masks(masked_accuracy(outer="whole"), store=finished)
    assert names[0] == "h.0.attn.c_attn.weight"
    assert names[-1] == "h.1.mlp.c_proj.weight"
    assert [list(inner[variant]) for variant in VARIANTS[1:]] == [names[1:-1]] * 4


def test_density_is_the_share_of_weights_kept_of_what_is_masked(finished: str) -> None:
    measured = measurements(MASK, masked_accuracy(outer="whole"), store=finished)
    inner = list(compute(MASK, store=finished).mask.values())[1:-1]
    kept, total = (sum(sizes) for sizes in zip(*[(int(bits.sum()), bits.numel()) for bits in inner], strict=True))
    assert measured["mask_density"] == kept / total


def digits_mask(**changes: Any) -> Any:
    """Of the parity of digits, over an MLP that tells the digits."""
    training = {"batch_size": 64, "num_evaluation_samples": 60, "kept_epoch": LastEpoch()}
    digits = {"rows": (Part(name="digits", num_samples=320),), **training}
    donor = tiny_donor(
        task=DIGITS,
        model=MLP(widths=(12, 12)),
        num_epochs=6,
        optimizer=tiny_optimizer(learning_rate=1e-2),
        stopping=NoEarlyStop(),
        **digits,
    )
    parity = DigitsTask(label_of="parity", num_outputs=10, evaluation_share=0.2, data_seed=0)
    return tiny_mask(**{"donor": donor, "task": parity, "initial_logit": 0.01, **digits, **changes})


def test_accuracy_of_an_mlp_on_digits_is_that_of_a_plain_sequential_network(finished: str) -> None:
    mask, asks = digits_mask(), masked_accuracy(task=DIGITS, num_evaluation_samples=100)
    measured = measurements(mask, asks, store=finished)
    weights = compute(mask.donor, store=finished).weights
    rows = behaviour(DIGITS).rows("test", num_rows=100, key=key(mask, "test"))
    plain = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 10))
    for variant, bits in masks(asks, store=finished, of=mask).items():
        plain.load_state_dict({name: each * bits.get(name, torch.tensor(1)) for name, each in weights.items()})
        right = int((plain(rows["inputs"]).argmax(1) == rows["labels"]).sum())
        assert measured[f"{variant}_accuracy"] == right / 100
    assert measured["unmasked_accuracy"] > 0.5 > measured["random_accuracy"]


def test_weights_trained_along_with_the_mask_are_in_every_variant(finished: str) -> None:
    mask = digits_mask(beside=("4.bias",), optimizer=tiny_optimizer(learning_rate=1.0))
    asks = masked_accuracy(task=mask.task, num_evaluation_samples=100)
    compute(mask, store=finished)
    network = asked(asking(mask, asks), store=finished)
    assert not torch.equal(network.state.parameters["4.bias"], compute(mask.donor, store=finished).weights["4.bias"])
    measured = measurements(mask, asks, store=finished)
    rows = behaviour(mask.task).rows("test", num_rows=100, key=key(mask, "test"))
    plain = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 10))
    plain.load_state_dict(network.state.parameters)
    assert measured["unmasked_accuracy"] == int((plain(rows["inputs"]).argmax(1) == rows["labels"]).sum()) / 100


def test_image_network_is_tested_on_the_images_of_the_task_that_is_given(finished: str) -> None:
    mask = image_mask()
    pooled = masked_accuracy(task=mask.task, num_evaluation_samples=mask.num_evaluation_samples)
    measured = measurements(mask, pooled, store=finished)
    recorded = compute(mask, store=finished).measurements
    assert measured["mask_accuracy"] == recorded["subtask_accuracy"]
    original = masked_accuracy(task=shapes_task(), num_evaluation_samples=50)
    assert measurements(mask, original, store=finished)["mask_loss"] != measured["mask_loss"]


def test_masked_accuracy_of_a_network_without_a_mask_is_refused_when_it_is_planned() -> None:
    with pytest.raises(ValueError, match=r"Measure\.of is a donor, which has no mask: give a Discover"):
        asking(MASK.donor, masked_accuracy())


def test_masked_accuracy_on_a_task_of_other_inputs_is_refused_when_it_is_planned() -> None:
    with pytest.raises(ValueError, match=r"DigitsTask gives Signature"):
        asking(MASK, masked_accuracy(task=DIGITS, num_evaluation_samples=50))


def test_whole_outer_tensors_of_a_network_of_two_masked_ones_fail_with_the_reason(finished: str) -> None:
    donor = replace(digits_mask().donor, model=MLP(widths=(12,)))
    asks = masked_accuracy(task=DIGITS, num_evaluation_samples=50, outer="whole")
    with pytest.raises(RuntimeError, match=r"outer is 'whole', and 2 tensors are masked: give 'masked'"):
        measurements(digits_mask(donor=donor), asks, store=finished)
