"""Losses, answers and accuracies against transformers, hand-made networks and hand-made answers."""

import pytest
import torch
from torch import Tensor

from subind.networks import gpt2
from subind.specs.runs import Donor, Mask, Spec, Transfer
from subind.stages.evaluation import accuracies, losses_and_predictions, predictions
from subind.training import tensors
from subind.training.tensors import Parameters
from tests.specs import tiny_donor, tiny_mask, tiny_task, tiny_transfer
from tests.subind.packs import HandMade, finished, perturbed, transfer_method
from tests.subind.reference import packed, reference

DONOR = tiny_donor()
MODEL = DONOR.model


def rows(replicas: int, count: int) -> Tensor:
    return torch.randint(0, 13, (replicas, count, 4), generator=torch.Generator().manual_seed(0))


def test_losses_and_predictions_equal_transformers_beyond_one_part() -> None:
    references, samples = [reference(MODEL, seed=seed, vocabulary=13) for seed in range(2)], rows(2, 600)
    losses, answers = losses_and_predictions(packed(references, MODEL, 13), samples, MODEL)
    for index, each in enumerate(references):
        expected = each(samples[index], labels=samples[index])
        torch.testing.assert_close(losses[index], expected.loss.detach(), atol=1e-5, rtol=0)
        assert torch.equal(answers[index], expected.logits[:, 2].argmax(-1))


def test_predictions_are_those_of_losses_and_predictions() -> None:
    pack, samples = tensors.stacked([perturbed(DONOR, seed=seed) for seed in range(3)]), rows(3, 600)
    assert torch.equal(predictions(pack, samples, MODEL), losses_and_predictions(pack, samples, MODEL)[1])


def test_accuracies_are_shares_per_replica() -> None:
    answers = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4], [0, 0, 0, 0]])
    expected = torch.tensor([[1, 2, 3, 4], [1, 2, 0, 0], [1, 1, 1, 1]])
    assert accuracies(answers, expected) == [1.0, 0.5, 0.0]


def always(answer: int) -> Parameters:
    """A network that answers the same to everything: all its activations are one token's embedding."""
    found = perturbed(DONOR)
    found["wte.weight"] = torch.eye(13, 16)
    found["ln_f.weight"] = torch.zeros(16)
    found["ln_f.bias"] = found["wte.weight"][answer].clone()
    return found


def verdict_of(spec: Transfer, network: Parameters) -> dict[str, float]:
    method = transfer_method([spec], read=HandMade(donors={DONOR: network}, masks={}))
    return dict(method.evaluate(1)[0].measurements)


def test_rival_agreement_of_a_network_that_answers_the_rival_is_one() -> None:
    spec = tiny_transfer("full_transfer", task=tiny_task("a - b"), rivals=("0*a", "a - b + 0*a", "b - a"))
    found = verdict_of(spec, always(0))
    method = transfer_method([spec])
    pairs = [(a, b) for a, b, _, _ in method.constants["validation"][0].tolist()]
    equal = sum((a - b) % 7 == 0 for a, b in pairs) / len(pairs)
    assert equal < 1
    assert found["rival_agreement.0 * a"] == 1.0
    assert found["rival_agreement.b - a"] == found["validation_accuracy"] == equal
    assert found["ambiguous_accuracy"] == 1.0


def test_rival_agreement_of_a_network_that_answers_neither_is_zero() -> None:
    spec = tiny_transfer("full_transfer", task=tiny_task("a - b"), rivals=("0*a",))
    found = verdict_of(spec, always(9))
    assert found["rival_agreement.0 * a"] == found["validation_accuracy"] == found["ambiguous_accuracy"] == 0.0


def test_rival_agreement_in_a_pack_of_other_rules_is_each_replicas_own() -> None:
    first = tiny_transfer("full_transfer", task=tiny_task("a - b"), rivals=("0*a", "b - a"))
    second = tiny_transfer("full_transfer", task=tiny_task("a**2 + a*b"), rivals=("2*a**2",))
    third = tiny_transfer("full_transfer", rivals=())
    method = transfer_method([first, second, third], read=HandMade(donors={DONOR: always(0)}, masks={}))
    found = [verdict.measurements for verdict in method.evaluate(1)]
    for spec, measured in zip((first, second, third), found, strict=True):
        alone = verdict_of(spec, always(0))
        agreements = {name for name in measured if name.startswith("rival_agreement.")}
        assert agreements == {f"rival_agreement.{rival}" for rival in spec.rivals}
        assert {name: measured[name] for name in agreements} == {name: alone[name] for name in agreements}


MATRICES = gpt2.matrices(MODEL)
CURVES = {
    Donor: {"epoch", "train_loss", "validation_loss", "validation_accuracy"},
    Mask: {"epoch", "train_loss", "validation_loss", "subtask_accuracy", "temperature", "density"}
    | {f"density.{name}" for name in MATRICES},
    Transfer: {"epoch", "train_loss", "validation_loss", "validation_accuracy", "ambiguous_accuracy"}
    | {"rival_agreement.2 * a ** 2", "rival_agreement.2 * b ** 2"},
}
MEASURED_ONCE = {
    Donor: {"best_epoch"},
    Mask: {"best_epoch"},
    Transfer: {"best_epoch", "test_accuracy", "seen_share", "kept_fraction", "frozen_fraction"}
    | {f"{kind}_fraction.{name}" for name in MATRICES for kind in ("kept", "frozen")},
}


@pytest.mark.parametrize("spec", [tiny_donor(), tiny_mask(), tiny_transfer()], ids=["donor", "mask", "transfer"])
def test_curves_of_a_stage_have_every_measurement_in_every_epoch(spec: Spec) -> None:
    replica = finished([spec])[spec].replica
    assert set(replica.curves) == CURVES[type(spec)]
    assert replica.curves["epoch"] == list(range(1, spec.num_epochs + 1))
    assert {len(curve) for curve in replica.curves.values()} == {spec.num_epochs}


@pytest.mark.parametrize("spec", [tiny_donor(), tiny_mask(), tiny_transfer()], ids=["donor", "mask", "transfer"])
def test_measurements_of_a_stage_are_the_curves_at_the_best_epoch(spec: Spec) -> None:
    done = finished([spec])[spec]
    curves, best = done.replica.curves, int(done.measurements["best_epoch"])
    assert set(done.measurements) == (CURVES[type(spec)] - {"epoch"}) | MEASURED_ONCE[type(spec)]
    for name in CURVES[type(spec)] - {"epoch"}:
        assert done.measurements[name] == curves[name][best - 1]


def test_best_epoch_of_a_donor_has_the_lowest_validation_loss() -> None:
    spec = tiny_donor(num_epochs=6)
    done = finished([spec])[spec]
    losses = done.replica.curves["validation_loss"]
    assert done.measurements["best_epoch"] == 1 + losses.index(min(losses))


def test_best_epoch_of_a_mask_is_the_last_of_the_highest_accuracy() -> None:
    spec = tiny_mask(num_epochs=6)
    done = finished([spec])[spec]
    right = done.replica.curves["subtask_accuracy"]
    assert done.measurements["best_epoch"] == max(
        epoch for epoch, each in enumerate(right, start=1) if each == max(right)
    )


def test_best_epoch_of_a_transfer_is_the_last_of_the_highest_accuracy() -> None:
    spec = tiny_transfer(num_epochs=6)
    done = finished([spec])[spec]
    right = done.replica.curves["validation_accuracy"]
    assert done.measurements["best_epoch"] == len(right) - right[::-1].index(max(right))


def test_transfer_without_ambiguous_samples_has_no_ambiguous_accuracy() -> None:
    spec = tiny_transfer(num_ambiguous=0, num_disambiguation=12)
    assert "ambiguous_accuracy" not in finished([spec])[spec].replica.curves
