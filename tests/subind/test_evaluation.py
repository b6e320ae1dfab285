"""Losses, answers and accuracies against transformers, hand-made networks and hand-made answers."""

import pytest
import torch

from subind.networks.network import State
from subind.specs.run import Run
from subind.specs.runs import Discover, Train, Transfer
from subind.stages.parents import network_of
from subind.tasks.arithmetic import Arithmetic
from subind.tasks.task import key
from subind.training.tensors import replica
from tests.specs import tiny_donor, tiny_mask, tiny_task, tiny_transfer
from tests.subind.packs import HandMade, finished, perturbed, training
from tests.subind.reference import reference

DONOR = tiny_donor()


def test_evaluation_equals_transformers_beyond_one_part() -> None:
    spec = tiny_donor(num_evaluation_samples=600)
    method = training([spec])
    state = State(parameters=replica(method.trainable, 0), statistics={})
    theirs = reference(spec.network, seed=0, vocabulary=13)
    theirs.load_state_dict(method.network.to_library(state))
    rows = Arithmetic(spec.task).rows("validation", num_rows=600, key=key(spec, "validation"))["tokens"]
    expected = theirs(rows, labels=rows)
    (found,) = method.evaluate()
    assert found["validation_loss"] == pytest.approx(expected.loss.item(), abs=1e-5)
    right = (expected.logits[:, 2].argmax(-1) == rows[:, 3]).double().mean().item()
    assert found["validation_accuracy"] == right


def always(answer: int) -> State:
    """A network that answers the same to everything: all its activations are one token's embedding."""
    found = dict(perturbed(DONOR).parameters)
    found["wte.weight"] = torch.eye(13, 16)
    found["ln_f.weight"] = torch.zeros(16)
    found["ln_f.bias"] = found["wte.weight"][answer].clone()
    return State(parameters=found, statistics={})


def verdict_of(spec: Transfer, network: State) -> dict[str, float]:
    (measured,) = training([spec], read=HandMade(donors={DONOR: network})).evaluate()
    return measured


def test_rival_agreement_of_a_network_that_answers_the_rival_is_one() -> None:
    spec = tiny_transfer("full_transfer", task=tiny_task("a - b"), rivals=("0*a", "a - b + 0*a", "b - a"))
    found = verdict_of(spec, always(0))
    rows = Arithmetic(spec.task).rows("validation", num_rows=12, key=key(spec, "validation"))["tokens"]
    pairs = [(a, b) for a, b, _, _ in rows.tolist()]
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
    found = training([first, second, third], read=HandMade(donors={DONOR: always(0)})).evaluate()
    for spec, measured in zip((first, second, third), found, strict=True):
        alone = verdict_of(spec, always(0))
        agreements = {name for name in measured if name.startswith("rival_agreement.")}
        assert agreements == {f"rival_agreement.{rival}" for rival in spec.task.rivals}
        assert {name: measured[name] for name in agreements} == {name: alone[name] for name in agreements}


MATRICES = network_of(DONOR).maskable
CURVES = {
    Train: {"epoch", "train_loss", "validation_loss", "validation_accuracy"},
    Discover: {"epoch", "train_loss", "validation_loss", "subtask_accuracy", "temperature", "density", "penalty"}
    | {f"density.{name}" for name in MATRICES},
    Transfer: {"epoch", "train_loss", "validation_loss", "validation_accuracy", "ambiguous_accuracy"}
    | {"rival_agreement.2 * a ** 2", "rival_agreement.2 * b ** 2"},
}
MEASURED_ONCE = {
    Train: {"best_epoch"},
    Discover: {"best_epoch"},
    Transfer: {"best_epoch", "test_accuracy", "seen_share", "kept_fraction", "frozen_fraction"}
    | {f"{kind}_fraction.{name}" for name in MATRICES for kind in ("kept", "frozen")},
}


@pytest.mark.parametrize("spec", [tiny_donor(), tiny_mask(), tiny_transfer()], ids=["donor", "mask", "transfer"])
def test_curves_of_a_stage_have_every_measurement_in_every_epoch(spec: Run) -> None:
    replica = finished([spec])[spec].replica
    assert set(replica.curves) == CURVES[type(spec)]
    assert replica.curves["epoch"] == list(range(1, spec.num_epochs + 1))
    assert {len(curve) for curve in replica.curves.values()} == {spec.num_epochs}


@pytest.mark.parametrize("spec", [tiny_donor(), tiny_mask(), tiny_transfer()], ids=["donor", "mask", "transfer"])
def test_measurements_of_a_stage_are_the_curves_at_the_best_epoch(spec: Run) -> None:
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
