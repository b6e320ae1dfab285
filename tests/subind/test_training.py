"""The loop: a result depends on its own spec alone, a checkpoint resumes it exactly, and failures stay its own."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from subind.networks.network import State
from subind.specs.optimizers import ClipNorm
from subind.specs.run import Run
from subind.specs.temperature import TemperatureSchedule
from subind.specs.training import EarlyStop, highest
from subind.specs.tuning import OwnValidation, TuningValidation
from subind.training.loop import Finished, Progress, Rung, Saved
from subind.training.tensors import replica
from tests.specs import CONTROL_NAMES, tiny_donor, tiny_mask, tiny_model, tiny_optimizer, tiny_task, tiny_transfer
from tests.subind.packs import EVERY_STEP, ONE_THREAD, finished, ignored, resumed_at, trainer_of
from tests.subind.reference import reference

DROPPED = tiny_donor(model=tiny_model(dropout=0.1), num_epochs=3)
STILL = tiny_optimizer(learning_rate=1e-30)
DECAYED = tiny_optimizer(weight_decay=0.01, schedule="linear_decay", clip=ClipNorm(max_norm=1.0))


def donors() -> list[Run]:
    return [replace(DROPPED, seed=seed, optimizer=DECAYED) for seed in range(3)]


def masks() -> list[Run]:
    return [tiny_mask(donor=DROPPED, seed=seed, penalty=10.0**-seed) for seed in range(3)]


def transfers() -> list[Run]:
    mask = tiny_mask(donor=DROPPED)
    names = ("subnetwork", "full_transfer", "random_init")
    return [tiny_transfer(name, mask=mask, optimizer=DECAYED) for name in names]


def tuned() -> list[Run]:
    return [
        tiny_mask(
            donor=DROPPED,
            validation=TuningValidation(num_samples=20, num_seeds=1, num_transfer_samples=12),
            optimizer=tiny_optimizer(learning_rate=rate),
            temperature=TemperatureSchedule(name="exponential", final=final),
            initial_logit=logit,
            num_epochs=epochs,
            penalty=10.0**-epochs,
        )
        for rate, final, logit, epochs in ((1e-1, 100.0, -0.1, 4), (3e-2, 30.0, 0.1, 2), (3e-1, 300.0, -0.2, 3))
    ]


PACKS = pytest.mark.parametrize(
    "pack", [donors(), masks(), transfers(), tuned()], ids=["donors", "masks", "transfers", "tuned"]
)
WHOLE_PACKS = pytest.mark.parametrize("pack", [donors(), masks(), transfers()], ids=["donors", "masks", "transfers"])
"""Of which every replica trains to the end."""


def assert_same_bits(found: Finished, expected: Finished) -> None:
    assert found.replica == expected.replica
    assert found.measurements == expected.measurements
    assert found.files == expected.files


# ---- the same spec, alone and in a pack


FIFTY_STEPS = {"num_samples": 80, "num_evaluation_samples": 100, "batch_size": 8, "num_epochs": 5}
WIDE = tiny_donor(model=tiny_model(d_model=128, num_heads=4, dropout=0.1), optimizer=DECAYED, **FIFTY_STEPS)


def five_donors() -> list[Run]:
    rules = ("a + a*b", "a*b", "a**2 + a*b", "a + b", "a - b")
    return [replace(WIDE, seed=seed, task=tiny_task(rule)) for seed, rule in enumerate(rules)]


def five_masks() -> list[Run]:
    rules = ("a*b", "a*b", "a**2", "a + b", "a*b")
    return [
        tiny_mask(donor=WIDE, seed=seed, subtask=tiny_task(rule), penalty=10.0**-seed, **FIFTY_STEPS)
        for seed, rule in enumerate(rules)
    ]


def five_transfers() -> list[Run]:
    mask = tiny_mask(donor=WIDE)
    names = ("subnetwork", "subnetwork_trainable", "full_transfer", "random_as_released", "random_init")
    shape = {"num_disambiguation": 68, "num_evaluation_samples": 100, "batch_size": 8, "num_epochs": 5}
    return [
        tiny_transfer(name, mask=mask, seed=seed // 2, optimizer=DECAYED, **shape) for seed, name in enumerate(names)
    ]


def five_tuned() -> list[Run]:
    validation = TuningValidation(num_samples=20, num_seeds=1, num_transfer_samples=12)
    return [
        tiny_mask(
            donor=replace(WIDE, seed=0, num_evaluation_samples=12),
            validation=validation,
            optimizer=tiny_optimizer(learning_rate=10 ** (-2 + seed / 4)),
            **{**FIFTY_STEPS, "num_evaluation_samples": 12, "num_epochs": 5 - seed // 2},
        )
        for seed in range(5)
    ]


@pytest.mark.parametrize(
    "pack",
    [five_donors(), five_masks(), five_transfers(), five_tuned()],
    ids=["donors", "masks", "transfers", "tuned"],
)
def test_run_of_fifty_steps_has_the_bits_alone_that_it_has_in_a_pack_of_five(pack: Sequence[Run]) -> None:
    packed = finished(pack)
    for spec in (pack[0], pack[3]):
        assert_same_bits(packed[spec], finished([spec])[spec])


@PACKS
def test_pack_in_another_order_gives_every_run_the_same_bits(pack: Sequence[Run]) -> None:
    found, turned = finished(pack), finished(pack[::-1])
    for spec in pack:
        assert_same_bits(turned[spec], found[spec])


# ---- the same bits


@PACKS
def test_same_pack_twice_gives_the_same_bits(pack: Sequence[Run]) -> None:
    first, second = finished(pack), finished(pack)
    for spec in pack:
        assert_same_bits(first[spec], second[spec])


@pytest.mark.parametrize("made", [tiny_donor, tiny_mask, tiny_transfer], ids=["donor", "mask", "transfer"])
def test_other_seed_gives_another_training_loss(made) -> None:
    first, second = made(seed=1), made(seed=2)
    done = finished([first, second])
    assert done[first].replica.curves["train_loss"] != done[second].replica.curves["train_loss"]


def test_dropout_changes_the_training_loss_and_only_with_a_rate() -> None:
    plain, dropped = tiny_transfer("random_init"), tiny_transfer("random_init", mask=tiny_mask(donor=DROPPED))
    losses = [finished([spec])[spec].replica.curves["train_loss"] for spec in (plain, dropped)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    "spec",
    [tiny_donor(batch_size=7, optimizer=STILL), tiny_transfer(batch_size=4, optimizer=STILL)],
    ids=["donor", "transfer"],
)
def test_train_loss_of_a_network_that_stands_still_is_that_of_every_row_once(spec: Run) -> None:
    trainer = trainer_of([spec])
    model = reference(spec.network, seed=0, vocabulary=13)
    own = State(parameters=replica(trainer.method.trainable, 0), statistics={})
    model.load_state_dict(trainer.method.network.to_library(own))
    tokens = trainer.method.tasks.constants["rows"][0]
    expected = model(tokens, labels=tokens).loss.item()
    (done,) = trainer.run(save=unused, report=ignored)
    assert done.replica.curves["train_loss"] == pytest.approx([expected] * spec.num_epochs, abs=1e-6)


def unused(saved: Saved) -> None:
    raise AssertionError("no checkpoint was due")


# ---- checkpoints


@WHOLE_PACKS
def test_checkpoint_at_any_step_resumes_to_the_same_bits(pack: Sequence[Run]) -> None:
    checkpoints: list[Saved] = []
    expected = finished(pack, runtime=EVERY_STEP, checkpoints=checkpoints)
    assert len(checkpoints) >= 6
    for saved in checkpoints:
        found = finished(pack, resumed=resumed_at(saved, pack))
        for spec in pack:
            assert_same_bits(found[spec], expected[spec])


@WHOLE_PACKS
def test_checkpoint_of_which_a_part_resumes_gives_the_same_bits(pack: Sequence[Run]) -> None:
    checkpoints: list[Saved] = []
    expected = finished(pack, runtime=EVERY_STEP, checkpoints=checkpoints)
    part = [pack[2], pack[0]]
    found = finished(part, resumed=resumed_at(checkpoints[len(checkpoints) // 2], part))
    for spec in part:
        assert_same_bits(found[spec], expected[spec])


def test_checkpoints_are_written_only_when_they_are_due() -> None:
    checkpoints: list[Saved] = []
    finished(donors(), runtime=ONE_THREAD, checkpoints=checkpoints)
    assert checkpoints == []


# ---- replicas that leave


def test_donor_without_a_lower_loss_stops_after_its_patience() -> None:
    hopeless = tiny_optimizer(learning_rate=0.3)
    pack = [tiny_donor(optimizer=hopeless, num_epochs=12, patience=patience) for patience in (1, 2, 12)]
    done = finished(pack)
    whole = done[pack[2]].replica.curves["validation_loss"]
    lengths = [len(done[spec].replica.curves["epoch"]) for spec in pack]
    for spec, length in zip(pack[:2], lengths[:2], strict=True):
        waits = [epoch - min(range(epoch + 1), key=whole.__getitem__) for epoch in range(12)]
        assert length == 1 + waits.index(spec.stopping.patience)
    assert lengths[0] < lengths[1] < lengths[2] == 12


def test_replica_that_stops_early_leaves_the_others_bits_alone() -> None:
    hopeless = tiny_optimizer(learning_rate=0.3)
    pack = [tiny_donor(optimizer=hopeless, num_epochs=12, patience=12, seed=seed) for seed in range(3)]
    early = replace(pack[1], stopping=EarlyStop(patience=1))
    expected, found = finished(pack), finished([pack[0], early, pack[2]])
    assert len(found[early].replica.curves["epoch"]) < 12
    for spec in (pack[0], pack[2]):
        assert_same_bits(found[spec], expected[spec])


def test_replica_that_stops_early_resumes_without_it_to_the_same_bits() -> None:
    hopeless = tiny_optimizer(learning_rate=0.3)
    pack = [tiny_donor(optimizer=hopeless, num_epochs=12, patience=patience, seed=patience) for patience in (12, 1, 11)]
    checkpoints: list[Saved] = []
    expected = finished(pack, runtime=EVERY_STEP, checkpoints=checkpoints)
    saved = next(each for each in checkpoints if len(each.specs) == 2)
    found = finished(saved.specs, resumed=resumed_at(saved, saved.specs))
    for spec in saved.specs:
        assert_same_bits(found[spec], expected[spec])


@PACKS
def test_poisoned_replica_fails_and_leaves_the_others_bits_alone(pack: Sequence[Run]) -> None:
    expected, trainer = finished(pack), trainer_of(pack)
    with torch.no_grad():
        next(iter(trainer.method.trainable.values()))[1] = float("nan")
    found = {each.replica.spec: each for each in trainer.run(save=unused, report=ignored)}
    failed = found[pack[1]]
    assert "train_loss" in failed.replica.failure
    assert "not finite in epoch 1: lower the learning rate" in failed.replica.failure
    assert not failed.measurements
    assert not failed.files
    for spec in (pack[0], pack[2]):
        assert_same_bits(found[spec], expected[spec])


def test_pack_of_which_all_fail_ends() -> None:
    pack = donors()
    trainer = trainer_of(pack)
    with torch.no_grad():
        trainer.method.trainable["wte.weight"].fill_(float("nan"))
    done = list(trainer.run(save=unused, report=ignored))
    assert [bool(each.replica.failure) for each in done] == [True] * 3
    assert trainer.epoch == 2


def test_replica_of_fewer_epochs_leaves_after_them_and_the_others_go_on() -> None:
    found = finished(tuned())
    assert [found[spec].replica.curves["epoch"][-1] for spec in tuned()] == [4, 2, 3]


def test_replicas_of_several_lengths_and_rates_resume_at_any_step_to_the_same_bits() -> None:
    checkpoints: list[Saved] = []
    expected = finished(tuned(), runtime=EVERY_STEP, checkpoints=checkpoints)
    assert {len(saved.specs) for saved in checkpoints} == {1, 2, 3}
    for saved in checkpoints:
        found = finished(saved.specs, resumed=resumed_at(saved, saved.specs))
        for spec in saved.specs:
            assert_same_bits(found[spec], expected[spec])


def test_replica_worse_than_all_limits_of_a_rung_is_stopped_and_leaves_the_others_bits_alone() -> None:
    pack = tuned()
    expected = finished(pack)
    after_half = {4: 2, 2: 1, 3: 2}
    losses = {spec: expected[spec].replica.curves["train_loss"][after_half[spec.num_epochs] - 1] for spec in pack}
    worst = max(losses, key=losses.__getitem__)
    limit = sorted(losses.values())[1]
    rung = Rung(share=0.5, limits={"train_loss": limit, "density": -1.0})
    found = finished(pack, runtime=replace(ONE_THREAD, rungs=(rung,)))
    assert found[worst].replica.is_stopped
    assert f"stopped after epoch {after_half[worst.num_epochs]} of" in found[worst].replica.failure
    assert not found[worst].files
    for spec in pack:
        if spec != worst:
            assert_same_bits(found[spec], expected[spec])


def test_rung_judges_an_epoch_at_its_end_and_not_within_it() -> None:
    run = tiny_donor(num_epochs=2, evaluations_per_epoch=3)
    losses = finished([run])[run].replica.curves["train_loss"]
    assert losses[0] > losses[2]
    rung = Rung(share=0.5, limits={"train_loss": losses[2]})
    assert not finished([run], runtime=replace(ONE_THREAD, rungs=(rung,)))[run].replica.failure


def test_replica_better_than_one_limit_of_a_rung_goes_on() -> None:
    pack = tuned()
    rung = Rung(share=0.5, limits={"train_loss": 0.0, "density": 2.0})
    found = finished(pack, runtime=replace(ONE_THREAD, rungs=(rung,)))
    assert not any(found[spec].replica.failure for spec in pack)


# ---- tuning


def test_tuned_mask_reports_its_accuracy_on_other_samples_than_it_was_judged_on() -> None:
    spec = tuned()[0]
    own = replace(spec, validation=OwnValidation(), kept_epoch=highest("subtask_accuracy", ties="last"))
    done, beside = finished([spec])[spec], finished([own])[own]
    assert done.replica.curves["train_loss"] == beside.replica.curves["train_loss"]
    assert "subtask_accuracy" not in done.replica.curves
    at_best = beside.replica.curves["subtask_accuracy"][done.replica.best_epoch - 1]
    assert done.measurements["subtask_accuracy"] == at_best
    gap = done.measurements["soft_accuracy"] - done.measurements["tuning_accuracy"]
    assert done.measurements["soft_hard_gap"] == gap


# ---- progress


def test_progress_counts_the_steps_of_one_replica_and_ends_at_all() -> None:
    pack = [tiny_transfer(name, num_epochs=12) for name in CONTROL_NAMES]
    seen: list[Progress] = []
    list(trainer_of(pack).run(save=unused, report=seen.append))
    steps = [each.step for each in seen]
    assert {each.num_steps for each in seen} == {12 * 3}
    assert steps == sorted(steps)
    assert steps[-1] == 36
    assert len(seen[-2].accuracies) == 9
