"""What a stage's fields do: thawing, a teacher, a second task, held parameters, kept recipients, no epochs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from subind.networks.network import State
from subind.specs.loss_terms import EVALUATED
from subind.specs.mask_methods import StraightThrough
from subind.specs.optimizers import SGD, NoClip
from subind.specs.rows import Part
from subind.specs.runs import Distillation, SecondTask, Train, Transfer
from subind.specs.starts import DonorStart
from subind.specs.tasks import Task
from subind.specs.training import AsInitialised, EarlyStop, FrozenFor, ImportedWeights, LastEpoch, Normal, lowest
from subind.stages.parents import WEIGHTS_FILE, Parents, network_of
from subind.stages.train import NetworkTraining
from subind.starts.recipient import Inheritance
from subind.training.loop import Finished, Saved
from subind.training.tensors import replica
from tests.photograph_specs import photograph_donor
from tests.specs import tiny_donor, tiny_mask, tiny_model, tiny_task, tiny_transfer, unambiguous
from tests.subind.packs import (
    EVERY_STEP,
    PARENTS,
    finished,
    hand_mask,
    ignored,
    perturbed,
    resumed_at,
    trainer_of,
    training,
)
from tests.subind.reference import reference
from tests.vision_specs import RESNET, image_transfer, originals, shapes_task


@dataclass(frozen=True, slots=True, kw_only=True)
class Anything(Task):
    """A task that takes all parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenNorms(DonorStart):
    """The whole donor; the last norm, which no mask covers, is frozen."""

    donor: Train

    def inheritance(self, given: Any) -> Any:
        norms = {
            name: torch.ones(given.network.shapes[name], dtype=torch.bool) for name in ("ln_f.weight", "ln_f.bias")
        }
        return Inheritance(inherited=given.everything(), kept=norms)


DROPPED = tiny_donor(model=tiny_model(dropout=0.1))
MASK = tiny_mask(donor=DROPPED)
TEACHER = Distillation(network=tiny_donor(seed=3), masks=(), temperature=2.0, weight=0.25)
MASKED_TEACHER = Distillation(
    network=tiny_donor(seed=3), masks=(tiny_mask(donor=tiny_donor(seed=3), seed=4),), temperature=2.0, weight=0.25
)
SECOND = SecondTask(task=tiny_task("a*b"), rows=unambiguous(20), batch_size=7, weight=0.5)


def several(**changes: Any) -> list[Any]:
    """Three recipients with dropout, and two fields of a stage that they have besides."""
    return [tiny_transfer("subnetwork", mask=MASK, seed=seed, num_epochs=3, **changes) for seed in range(3)]


ALL: dict[str, Any] = {"frozen": FrozenFor(num_epochs=1), "teacher": TEACHER, "second_task": SECOND}
SAMPLED = StraightThrough(initial_logit=0.5, penalty=1e-3, num_masks=2)

PACKS = {
    "thawed": several(frozen=FrozenFor(num_epochs=1)),
    "taught": several(teacher=TEACHER),
    "taught under a mask": several(teacher=MASKED_TEACHER),
    "two tasks": several(second_task=SECOND),
    "all of them": several(frozen=FrozenFor(num_epochs=2), teacher=TEACHER, second_task=SECOND),
    "donors of two tasks": [tiny_donor(seed=seed, second_task=SECOND, num_epochs=3) for seed in range(3)],
    "donors taught": [tiny_donor(seed=seed, teacher=TEACHER, num_epochs=3) for seed in range(3)],
    "norms held": several(held="norms"),
    "of other lengths": [replace(run, num_epochs=n) for run, n in zip(several(**ALL), (3, 1, 2), strict=True)],
    "sampled masks of other lengths": [tiny_mask(seed=n, num_epochs=n, method=SAMPLED) for n in (3, 1, 2)],
}


def assert_same_bits(found: Finished, expected: Finished) -> None:
    assert not expected.replica.failure
    assert found.replica == expected.replica
    assert found.measurements == expected.measurements
    assert found.files == expected.files


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_replica_has_the_bits_alone_that_it_has_in_a_pack(pack: Sequence[Any]) -> None:
    kept = frozenset(pack)
    together = finished(pack, kept=kept)
    for part in (pack[2:], pack[:2]):
        for run, found in finished(part, kept=kept).items():
            assert_same_bits(found, together[run])


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_checkpoint_at_any_step_of_a_part_of_the_pack_resumes_to_the_same_bits(pack: Sequence[Any]) -> None:
    checkpoints: list[Saved] = []
    kept = frozenset(pack)
    expected = finished(pack, runtime=EVERY_STEP, checkpoints=checkpoints, kept=kept)
    for saved in checkpoints[::2]:
        part = [run for run in (pack[2], pack[0]) if run in saved.specs]
        for run, found in finished(part, resumed=resumed_at(saved, part), kept=kept).items():
            assert_same_bits(found, expected[run])


# ---- frozen for some epochs


def weights(found: Finished) -> State:
    run = found.replica.spec
    return Parents(lambda _run, file: found.files[file]).state(run)


@pytest.mark.parametrize(("num_epochs", "moves"), [(1, True), (2, True), (3, False), (9, False)])
def test_subnetwork_moves_only_after_the_epochs_for_which_it_is_frozen(num_epochs: int, moves: bool) -> None:
    run = tiny_transfer(mask=MASK, num_epochs=3, kept_epoch=LastEpoch(), frozen=FrozenFor(num_epochs=num_epochs))
    done = finished([run], kept=frozenset({run}))[run]
    donor, bits = perturbed(DROPPED).parameters, hand_mask(MASK)
    moved = [not torch.equal(weights(done).parameters[name][kept], donor[name][kept]) for name, kept in bits.items()]
    assert moves == any(moved)
    assert moves == all(moved)


def test_optimiser_remembers_nothing_of_weights_from_when_they_were_frozen() -> None:
    decayed = SGD(learning_rate=0.1, momentum=0.9, weight_decay=0.5, schedule="constant", clip=NoClip())
    own: dict[str, Any] = {"batch_size": 18, "optimizer": decayed, "frozen": FrozenFor(num_epochs=1)}
    run = tiny_transfer(mask=tiny_mask(), **own)
    trainer = trainer_of([run])
    trainer._epoch(save=lambda _saved: None, report=ignored, is_wanted=lambda: True)
    method, (name, *_) = trainer.method, hand_mask(tiny_mask())
    assert isinstance(method, NetworkTraining)
    trainer.epoch, trainer.step = 2, 0
    order = trainer._order(run).unsqueeze(0)
    frozen, method.frozen = method.frozen, ()
    method.load(order, epoch=2, step=0)
    before = {each: tensor.detach().clone() for each, tensor in method.trainable.items()}
    loss = method.losses(order).sum()
    (gradient,) = torch.autograd.grad(loss, method.trainable[name])
    method.frozen = frozen
    trainer._epoch(save=lambda _saved: None, report=ignored, is_wanted=lambda: True)
    kept = hand_mask(tiny_mask())[name].unsqueeze(0)
    first_step = before[name] - 0.1 * (gradient + 0.5 * before[name])
    torch.testing.assert_close(method.trainable[name][kept], first_step[kept])


@pytest.mark.parametrize("starts", [("frozen_norms", "subnetwork"), ("subnetwork", "frozen_norms")], ids=str)
def test_starts_that_freeze_other_tensors_have_the_bits_alone_that_they_have_in_a_pack(starts: Sequence[str]) -> None:
    own = {"frozen_norms": FrozenNorms(donor=DROPPED), "subnetwork": tiny_transfer(mask=MASK).start}
    pack = [tiny_transfer(own[name]) for name in starts]
    together = finished(pack, kept=frozenset(pack))
    for run in pack:
        assert_same_bits(finished([run], kept=frozenset(pack))[run], together[run])
    (run,) = (run for run in pack if isinstance(run.start, FrozenNorms))
    donor, trained = perturbed(DROPPED).parameters, weights(together[run]).parameters
    assert {name for name in donor if torch.equal(trained[name], donor[name])} == {"ln_f.weight", "ln_f.bias"}


# ---- a teacher


@pytest.mark.parametrize("teacher", [TEACHER, MASKED_TEACHER], ids=["whole", "masked"])
def test_distillation_loss_is_that_of_hinton_on_transformers_outputs(teacher: Distillation) -> None:
    run = tiny_transfer("random_init", teacher=teacher)
    method = training([run])
    method.load(torch.arange(6).unsqueeze(0), epoch=1, step=0)
    losses = method.losses(torch.arange(6).unsqueeze(0))
    tokens = method.tasks.constants["rows"][0][:6]
    own, theirs = (reference(run.network, seed=0, vocabulary=13) for _ in range(2))
    own.load_state_dict(method.network.to_library(State(parameters=replica(method.trainable, 0), statistics={})))
    known = dict(perturbed(teacher.network).parameters)
    for mask in teacher.masks:
        known |= {name: known[name] * bits for name, bits in hand_mask(mask).items()}
    theirs.load_state_dict(network_of(teacher.network).to_library(State(parameters=known, statistics={})))
    student, wanted = (model(tokens[:, :-1]).logits / 2.0 for model in (own, theirs))
    divergence = F.kl_div(student.log_softmax(-1), wanted.log_softmax(-1), reduction="none", log_target=True)
    expected = 4.0 * divergence.sum(-1).mean().item()
    assert method.terms == ("train_loss", "distillation_loss")
    assert losses[1].item() == pytest.approx(expected, rel=1e-4)
    total = 0.75 * losses[0].item() + 0.25 * expected
    assert method.weighted(losses).item() == pytest.approx(total, rel=1e-4)


def test_donor_that_only_a_teacher_teaches_comes_near_it() -> None:
    taught = Distillation(network=tiny_donor(seed=3), masks=(), temperature=1.0, weight=1.0)
    run = tiny_donor(teacher=taught, num_epochs=40, patience=40)
    losses = finished([run])[run].replica.curves["distillation_loss"]
    assert losses[-1] < 0.5 * losses[0]


# ---- a second task


def test_loss_of_two_tasks_is_their_weighted_sum_over_rows_of_each() -> None:
    run = tiny_transfer("random_init", second_task=SECOND)
    method = training([run])
    method.begin(1)
    method.load(torch.arange(6).unsqueeze(0), epoch=1, step=0)
    losses = method.losses(torch.arange(6).unsqueeze(0))
    assert method.terms == ("train_loss", "second_loss")
    model = reference(run.network, seed=0, vocabulary=13)
    model.load_state_dict(method.network.to_library(State(parameters=replica(method.trainable, 0), statistics={})))
    tokens = method._second.constants["rows"][0][method._second_rows[0]]
    assert [(a * b) % 7 for a, b, _, _ in tokens.tolist()] == tokens[:, -1].tolist()
    assert losses[1].item() == pytest.approx(model(tokens, labels=tokens).loss.item(), abs=1e-5)
    assert method.weighted(losses).item() == pytest.approx((losses[0] + 0.5 * losses[1]).item(), rel=1e-6)


def test_rows_of_the_second_task_are_whole_permutations_in_turn() -> None:
    method = training([tiny_transfer("random_init", second_task=SECOND)])
    method.begin(1)
    drawn = torch.cat([rows[0] for rows in method._second_coming])
    assert len(drawn) == 3 * 7
    assert sorted(drawn[:20].tolist()) == list(range(20))
    before = drawn.clone()
    method.begin(2)
    assert not torch.equal(before, torch.cat([rows[0] for rows in method._second_coming]))


def test_second_tasks_images_are_moved_anew_in_every_epoch_and_unlike_those_of_the_run() -> None:
    task = shapes_task(augmentation="crop_and_flip")
    second = SecondTask(task=task, rows=originals(30), batch_size=8, weight=0.5)
    method = training([image_transfer("random_init", task=task, second_task=second)])
    assert method._second is not None
    seen, rows = [], torch.arange(8).unsqueeze(0)
    for epoch in (1, 2):
        method.begin(epoch)
        method.load(rows, epoch=epoch, step=0)
        seen += [method.tasks.batch(rows)[0], method._second.batch(rows)[0]]
    assert all(not torch.equal(one, other) for one, other in combinations(seen, 2))


# ---- held


def test_held_parameters_stay_and_others_move() -> None:
    run = tiny_transfer("full_transfer", mask=MASK, held="norms")
    done = finished([run], kept=frozenset({run}))[run]
    donor, own = perturbed(DROPPED).parameters, weights(done).parameters
    norms = set(network_of(run).norms)
    assert norms
    assert {name for name in donor if torch.equal(own[name], donor[name])} == norms


# ---- recipients that are kept


def test_recipient_leaves_its_weights_only_where_it_is_kept() -> None:
    kept, other = tiny_transfer(seed=0), tiny_transfer(seed=1)
    done = finished([kept, other], kept=frozenset({kept}))
    assert set(done[kept].files) == {WEIGHTS_FILE}
    assert not done[other].files


def test_kept_recipient_is_the_donor_of_a_mask_and_of_a_start() -> None:
    recipient = tiny_transfer()
    (first,) = finished([recipient], kept=frozenset({recipient})).values()

    def read(run: Any, file: str) -> bytes:
        return first.files[file] if run == recipient else PARENTS(run, file)

    mask = tiny_mask(donor=recipient)
    again = replace(tiny_transfer("full_transfer"), start=type(tiny_transfer("full_transfer").start)(donor=recipient))
    assert not finished([mask], read=read)[mask].replica.failure
    assert not finished([again], read=read)[again].replica.failure


# ---- no epochs


@pytest.mark.parametrize(
    "run", [tiny_donor(), tiny_mask(), tiny_transfer("full_transfer")], ids=["donor", "mask", "transfer"]
)
def test_run_of_no_epochs_is_what_it_starts_from(run: Any) -> None:
    still = replace(run, num_epochs=0)
    done = finished([still], kept=frozenset({still}))[still]
    assert not done.replica.failure
    assert done.replica.curves["epoch"] == [0]
    if isinstance(run, Transfer):
        own, donor = weights(done).parameters, perturbed(tiny_donor()).parameters
        assert all(torch.equal(own[name], donor[name]) for name in donor)


# ---- the law of fresh weights


def test_fresh_weights_are_of_the_law_that_the_run_names() -> None:
    wide = tiny_donor(model=tiny_model(d_model=64))
    laws = {"small": Normal(std=0.001), "large": Normal(std=0.5), "initialised": AsInitialised()}
    stds = {}
    for name, law in laws.items():
        run = tiny_transfer("unmasked_only", mask=tiny_mask(donor=wide), fresh_weights=law)
        stds[name] = training([run]).trainable["h.0.mlp.c_fc.weight"].std().item()
    assert stds["small"] == pytest.approx(0.001, rel=0.05)
    assert stds["large"] == pytest.approx(0.5, rel=0.05)
    assert stds["initialised"] == pytest.approx(0.02, rel=0.05)


def test_run_of_no_epochs_that_may_stop_early_by_a_curve_of_training_is_finished() -> None:
    still = tiny_donor(num_epochs=0, kept_epoch=lowest("train_loss"), stopping=EarlyStop(patience=1))
    assert not finished([still])[still].replica.failure


# ---- what cannot be


@pytest.mark.parametrize("name", ["validation", "test", "tuning"])
def test_part_that_is_evaluated_on_is_refused_whatever_the_task(name: str) -> None:
    with pytest.raises(ValueError, match=f"name no part {EVALUATED[0]}, {EVALUATED[1]}, {EVALUATED[2]}"):
        replace(tiny_donor(), task=Anything(), rows=(Part(name=name, num_samples=24),))


def test_teacher_of_other_outputs_is_refused() -> None:
    other = tiny_donor(task=replace(tiny_task(), num_integers=14), rows=unambiguous(28), num_evaluation_samples=14)
    with pytest.raises(ValueError, match="vocabulary_size=15"):
        tiny_transfer(teacher=replace(TEACHER, network=other))


def test_teacher_as_published_of_more_outputs_than_the_student_is_refused_by_both_names() -> None:
    weights = ImportedWeights(sha256="0" * 64)
    published = photograph_donor(replace(RESNET, num_classes=1000), num_epochs=0, weights=weights)
    teacher = replace(TEACHER, network=published)
    with pytest.raises(
        ValueError, match=r"^teacher\.network is a resnet\w* .* the student, a resnet\w*: .*_classes is 1000"
    ):
        photograph_donor(teacher=teacher)


def test_kept_epoch_of_a_curve_that_nobody_measures_fails_with_the_curves_there_are() -> None:
    run = tiny_donor()
    wrong = replace(run, kept_epoch=replace(run.kept_epoch, curve="validation_loose"))
    failure = finished([wrong])[wrong].replica.failure
    assert "kept_epoch.curve is 'validation_loose': the run has the curves train_loss, validation_loss" in failure


def test_early_stop_without_a_best_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="give a BestEpoch"):
        replace(tiny_donor(), kept_epoch=LastEpoch(), stopping=EarlyStop(patience=2))


def test_teacher_under_a_mask_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Distillation.masks is .*: give a mask of the teaching network"):
        Distillation(network=tiny_donor(seed=1), masks=(tiny_mask(),), temperature=2.0, weight=0.5)
