"""Loss and measurements of packs of tasks on integers, against Python's integers and torch's cross-entropy."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from subind.specs.arithmetic import ArithmeticTask, Operation, SeveralOperations
from subind.specs.base import behaviour
from subind.specs.rows import Part
from subind.specs.tuning import TuningValidation
from subind.tasks.arithmetic import tuning_tokens
from subind.tasks.task import Ask, Judged, PackOrder, StackedPack, TaskPack, key, packed
from subind.training.tensors import Tokens
from tests.specs import tiny_donor, tiny_mask, tiny_task, tiny_transfer, unambiguous
from tests.subind.packs import finished

VOCABULARY = 13


def order_of(runs: Sequence[Any], *, judged: Judged = "validation") -> PackOrder:
    return PackOrder(
        runs=runs,
        tasks=[run.task for run in runs],
        parts=[run.rows for run in runs],
        num_evaluation_samples=runs[0].num_evaluation_samples,
        device="cpu",
        images="",
        judged=judged,
    )


def pack_of(*runs: Any, judged: Judged = "validation") -> TaskPack:
    return packed(order_of(runs, judged=judged))


def scores_of(tokens: Tensor, seed: int) -> Tensor:
    """Scores [row position vocabulary] of a made-up network: they depend on the token and the one before it."""
    table = torch.randn(VOCABULARY, VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(seed))
    return table[tokens, tokens.roll(1, dims=1)]


def ask_of(*seeds: int) -> Ask:
    """Made-up networks of those seeds."""

    def ask(inputs: Any) -> Tensor:
        assert isinstance(inputs, Tokens)
        outputs = torch.stack([scores_of(own, seed) for own, seed in zip(inputs.tokens, seeds, strict=True)])
        return outputs if inputs.read == "all" else outputs[:, :, -1:]

    return ask


def always(answer: int, *, replicas: int = 1) -> Ask:
    """Networks that give everything the same answer."""

    def ask(inputs: Any) -> Tensor:
        num_positions = inputs.tokens.shape[2] if inputs.read == "all" else 1
        outputs = torch.zeros(replicas, inputs.tokens.shape[1], num_positions, VOCABULARY)
        outputs[..., answer] = 1.0
        return outputs

    return ask


# ---- a training step


def test_batch_is_the_chosen_rows_without_their_answers() -> None:
    pack = pack_of(tiny_transfer(seed=0), tiny_transfer(seed=1))
    rows = torch.tensor([[3, 0, 14], [17, 17, 2]])
    inputs, batch = pack.batch(rows)
    assert isinstance(inputs, Tokens)
    for replica in range(2):
        chosen = pack.constants["rows"][replica][rows[replica]]
        assert torch.equal(batch["tokens"][replica], chosen)
        assert torch.equal(inputs.tokens[replica], chosen[:, :3])


@pytest.mark.parametrize("positions", ["all_predicted", "answer"])
def test_losses_and_gradients_are_those_of_torchs_cross_entropy(positions: Any) -> None:
    task = tiny_task("a**2 + a*b", loss=positions)
    pack = pack_of(*(tiny_transfer(task=task, seed=seed) for seed in range(3)))
    inputs, batch = pack.batch(torch.arange(18).repeat(3, 1))
    outputs = ask_of(0, 1, 2)(inputs)
    assert outputs.shape[2] == {"all_predicted": 3, "answer": 1}[positions]
    given, plain = (outputs.clone().requires_grad_() for _ in range(2))
    losses = pack.losses(given * 1, batch)
    tokens = batch["tokens"]
    targets = tokens[:, :, 1:] if positions == "all_predicted" else tokens[:, :, 3:]
    expected = torch.stack(
        [F.cross_entropy(own.flatten(0, 1), each.flatten()) for own, each in zip(plain, targets, strict=True)]
    )
    torch.testing.assert_close(losses, expected, rtol=1e-6, atol=1e-6)
    gradients = [torch.autograd.grad(each.sum(), own)[0] for each, own in ((losses, given), (expected, plain))]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-7)


def test_losses_of_a_replica_have_the_same_bits_alone_and_in_a_pack() -> None:
    runs = [tiny_transfer(seed=seed) for seed in range(3)]
    together, rows = pack_of(*runs), torch.randint(18, (3, 50), generator=torch.Generator().manual_seed(0))
    inputs, batch = together.batch(rows)
    losses = together.losses(ask_of(0, 1, 2)(inputs), batch)
    for replica, run in enumerate(runs):
        alone = pack_of(run)
        inputs, batch = alone.batch(rows[replica : replica + 1])
        assert torch.equal(alone.losses(ask_of(replica)(inputs), batch), losses[replica : replica + 1])


# ---- evaluation


def test_evaluation_beyond_one_part_is_that_of_plain_counting() -> None:
    run = tiny_transfer("full_transfer", num_evaluation_samples=600)
    pack = pack_of(run)
    (measured,) = pack.evaluate(ask_of(5))
    tokens = pack.constants["validation"][0]
    scores = scores_of(tokens[:, :3], 5)
    answers = scores[:, 2].argmax(1).tolist()
    rows = tokens.tolist()
    expected = F.cross_entropy(scores.double().flatten(0, 1), tokens[:, 1:].flatten())
    assert measured["validation_loss"] == pytest.approx(float(expected), rel=1e-6)
    right = [answer == (a * a + a * b) % 7 for answer, (a, b, _, _) in zip(answers, rows, strict=True)]
    assert measured["validation_accuracy"] == sum(right) / 600
    like = [answer == 2 * b * b % 7 for answer, (_, b, _, _) in zip(answers, rows, strict=True)]
    assert measured["rival_agreement.2 * b ** 2"] == sum(like) / 600
    seen = scores_of(torch.tensor([[a, a, 12] for a in range(12)]), 5)[:, 2].argmax(1).tolist()
    known = [answer == 2 * a * a % 7 for a, answer in enumerate(seen)]
    assert measured["ambiguous_accuracy"] == sum(known) / 12


def test_validation_loss_at_the_answer_alone_is_the_answers_cross_entropy() -> None:
    pack = pack_of(tiny_transfer(task=tiny_task("a*b", loss="answer"), num_evaluation_samples=300))
    (measured,) = pack.evaluate(ask_of(2))
    tokens = pack.constants["validation"][0]
    expected = F.cross_entropy(scores_of(tokens[:, :3], 2)[:, 2].double(), tokens[:, 3])
    assert measured["validation_loss"] == pytest.approx(float(expected), rel=1e-6)


def test_evaluation_of_a_replica_has_the_same_numbers_alone_and_in_a_pack() -> None:
    runs = [
        tiny_transfer(task=tiny_task("a - b"), rivals=("0*a", "b - a"), num_evaluation_samples=600),
        tiny_transfer(task=tiny_task("a**2 + a*b"), rivals=("2*a**2",), num_evaluation_samples=600, seed=1),
        tiny_transfer(rivals=(), num_evaluation_samples=600, seed=2),
    ]
    together = pack_of(*runs)
    measured = together.evaluate(ask_of(0, 1, 2))
    for replica, run in enumerate(runs):
        alone = pack_of(run)
        assert alone.evaluate(ask_of(replica)) == [measured[replica]]
        assert alone.final(ask_of(replica), 0) == together.final(ask_of(replica), replica)
        agreements = {name for name in measured[replica] if name.startswith("rival_agreement.")}
        assert agreements == {f"rival_agreement.{rival}" for rival in run.task.rivals}


def test_rival_agreement_of_a_network_that_answers_the_rival_is_one() -> None:
    pack = pack_of(tiny_transfer(task=tiny_task("a - b"), rivals=("0*a", "a - b + 0*a", "b - a")))
    (measured,) = pack.evaluate(always(0))
    pairs = [(a, b) for a, b, _, _ in pack.constants["validation"][0].tolist()]
    equal = sum((a - b) % 7 == 0 for a, b in pairs) / len(pairs)
    assert equal < 1
    assert measured["rival_agreement.0 * a"] == 1.0
    assert measured["rival_agreement.b - a"] == measured["validation_accuracy"] == equal
    assert measured["ambiguous_accuracy"] == 1.0


def test_rival_agreement_of_a_network_that_answers_neither_is_zero() -> None:
    (measured,) = pack_of(tiny_transfer(task=tiny_task("a - b"), rivals=("0*a",))).evaluate(always(9))
    assert measured["rival_agreement.0 * a"] == measured["validation_accuracy"] == 0.0
    assert measured["ambiguous_accuracy"] == 0.0


def test_recipient_without_ambiguous_rows_has_no_accuracy_on_them() -> None:
    (measured,) = pack_of(tiny_transfer(num_ambiguous=0, num_disambiguation=12)).evaluate(always(0))
    assert "ambiguous_accuracy" not in measured


@pytest.mark.parametrize("run", [tiny_donor(), tiny_mask()], ids=["donor", "mask"])
def test_donor_or_mask_has_loss_and_accuracy_alone(run: Any) -> None:
    task = replace(run.task, rivals=("a + a**2",) if run.stage == "donor" else ("a**2",))
    (measured,) = pack_of(replace(run, task=task)).evaluate(always(0))
    assert set(measured) == {"validation_loss", "validation_accuracy"}


def test_pack_goes_on_with_the_replicas_that_are_selected() -> None:
    runs = [tiny_transfer(seed=seed, rivals=("2*a**2",) * (seed % 2)) for seed in range(3)]
    pack = pack_of(*runs)
    measured = pack.evaluate(ask_of(0, 1, 2))
    pack.constants = {name: tensor[[2, 1]] for name, tensor in pack.constants.items()}
    pack.select([2, 1])
    assert pack.evaluate(ask_of(2, 1)) == [measured[2], measured[1]]
    assert pack.final(ask_of(1), 1) == pack_of(runs[1]).final(ask_of(1), 0)


# ---- what is measured once


def test_final_of_a_recipient_is_the_accuracy_on_test_rows() -> None:
    run = tiny_transfer(num_evaluation_samples=600)
    measured = pack_of(run).final(ask_of(4), 0)
    task = behaviour(run.task)
    rows = task.rows("test", num_rows=600, key=key(run, "test"))["tokens"]
    answers = scores_of(rows[:, :3], 4)[:, 2].argmax(1).tolist()
    right = [answer == (a * a + a * b) % 7 for answer, (a, b, _, _) in zip(answers, rows.tolist(), strict=True)]
    assert measured["test_accuracy"] == sum(right) / 600
    assert set(measured) == {"test_accuracy", "seen_share"}


@pytest.mark.parametrize("run", [tiny_donor(), tiny_mask()], ids=["donor", "mask"])
def test_final_of_a_donor_or_of_a_mask_that_is_not_tuned_is_nothing(run: Any) -> None:
    assert pack_of(run).final(always(0), 0) == {}


def test_tuned_mask_is_judged_on_tuning_rows_and_reported_on_its_own() -> None:
    task = ArithmeticTask(rule="a*b", modulus=5, num_integers=12)
    donor = tiny_donor(task=replace(task, rule="a + a*b"))
    validation = TuningValidation(num_samples=20, num_seeds=1, num_transfer_samples=12)
    mask = tiny_mask(donor=donor, task=task, validation=validation)
    pack = pack_of(mask, judged="tuning")
    assert torch.equal(pack.constants["validation"][0], tuning_tokens(mask))
    (measured,) = pack.evaluate(always(0))
    tuned = [a * b % 5 == 0 for a, b, _, _ in tuning_tokens(mask).tolist()]
    assert measured["validation_accuracy"] == sum(tuned) / 20
    own = pack_of(tiny_mask(donor=donor, task=task)).constants["validation"][0].tolist()
    assert pack.final(always(0), 0) == {"subtask_accuracy": sum(a * b % 5 == 0 for a, b, _, _ in own) / 12}


# ---- several operations, several operands, and the plain pack


def two_operations(*, loss: Any = "all_predicted") -> SeveralOperations:
    tasks = [
        ArithmeticTask(rule=rule, modulus=5, num_integers=11, operation=number, num_operations=2, loss=loss)
        for number, rule in enumerate(("a + b", "a*b"))
    ]
    return SeveralOperations(operations=tuple(Operation(task=task, share=0.5) for task in tasks))


@pytest.mark.parametrize("loss", ["all_predicted", "answer"])
def test_several_operations_are_measured_overall_and_each(loss: Any) -> None:
    pack = pack_of(tiny_transfer(task=two_operations(loss=loss), num_evaluation_samples=300, num_ambiguous=11))
    (measured,) = pack.evaluate(ask_of(3))
    rows = pack.constants["validation"][0]
    answers = scores_of(rows[:, :3], 3)[:, 2].argmax(1).tolist()
    right: dict[int, list[bool]] = {11: [], 12: []}
    for answer, (a, b, operation, _) in zip(answers, rows.tolist(), strict=True):
        right[operation].append(answer == (a + b if operation == 11 else a * b) % 5)
    assert measured["validation_accuracy.a + b"] == sum(right[11]) / len(right[11])
    assert measured["validation_accuracy.a * b"] == sum(right[12]) / len(right[12])
    assert measured["validation_accuracy"] == sum(sum(each) for each in right.values()) / 300
    assert {"test_accuracy", "test_accuracy.a + b"} <= set(pack.final(ask_of(3), 0))


def test_pack_of_three_operands_predicts_the_three_tokens_after_the_first() -> None:
    task = ArithmeticTask(rule="a*b + c", modulus=7, num_integers=12, num_operands=3)
    pack = pack_of(tiny_donor(task=task))
    inputs, batch = pack.batch(torch.arange(24)[None])
    outputs = ask_of(1)(inputs)
    assert outputs.shape == (1, 24, 4, VOCABULARY)
    expected = F.cross_entropy(outputs[0].double().flatten(0, 1), batch["tokens"][0, :, 1:].flatten())
    assert float(pack.losses(outputs, batch)[0]) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("task", [tiny_task("a*b"), tiny_task("a*b", loss="answer"), two_operations()])
def test_pack_measures_what_the_plain_pack_of_its_tasks_measures(task: Any) -> None:
    runs = [replace(tiny_donor(), task=task, rows=unambiguous(24), seed=seed) for seed in range(2)]
    fast, plain = pack_of(*runs), StackedPack([behaviour(task)] * 2, order_of(runs))
    assert fast.evaluate(ask_of(0, 1)) == [pytest.approx(each, rel=1e-6) for each in plain.evaluate(ask_of(0, 1))]
    rows = torch.arange(24).repeat(2, 1)
    for pack in (fast, plain):
        assert pack.num_rows == 24
    losses = [pack.losses(ask_of(0, 1)(pack.batch(rows)[0]), pack.batch(rows)[1]) for pack in (fast, plain)]
    torch.testing.assert_close(losses[0], losses[1])


# ---- whole runs


@pytest.mark.parametrize(
    "task",
    [
        tiny_task("a**2 + a*b", loss="answer", rivals=("2*a**2",)),
        two_operations(),
        ArithmeticTask(rule="a*b + c", modulus=7, num_integers=12, num_operands=3),
    ],
    ids=["answer", "operations", "operands"],
)
def test_run_of_a_task_has_the_same_bits_alone_and_in_a_pack(task: Any) -> None:
    donors = [replace(tiny_donor(), task=task, rows=unambiguous(24), seed=seed) for seed in range(3)]
    rows = (Part(name="ambiguous", num_samples=8), Part(name="disambiguation", num_samples=8))
    recipients = [tiny_transfer("random_init", task=task, num_ambiguous=8, seed=seed) for seed in range(2)]
    for pack in (donors, [replace(each, rows=rows) for each in recipients]):
        together = finished(pack)
        for run in pack:
            alone = finished([run])[run]
            assert together[run].replica.failure == ""
            assert together[run].replica.curves == alone.replica.curves
            assert together[run].measurements == alone.measurements
            assert together[run].files == alone.files


def test_network_learns_three_operands_told_apart_by_the_answer_alone() -> None:
    task = ArithmeticTask(rule="a + 0*b + 0*c", modulus=5, num_integers=6, num_operands=3, loss="answer")
    run = replace(tiny_donor(num_epochs=60, num_samples=60, patience=60), task=task, num_evaluation_samples=50)
    run = replace(run, optimizer=replace(run.optimizer, learning_rate=1e-2))
    assert finished([run])[run].measurements["validation_accuracy"] > 0.9


def test_masks_tuned_on_other_numbers_of_rows_are_not_of_one_pack() -> None:
    donor = tiny_donor(num_evaluation_samples=12)
    masks = [
        tiny_mask(donor=donor, validation=TuningValidation(num_samples=number, num_seeds=1, num_transfer_samples=12))
        for number in (20, 30)
    ]
    assert masks[0].pack_shape() != masks[1].pack_shape()
    assert masks[0].pack_shape() == replace(masks[0], seed=0).pack_shape()
