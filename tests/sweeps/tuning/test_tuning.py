"""Studies: what is searched, which trial is chosen, what a choice's file gives back."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from subind.identity import run_ids as fingerprint
from subind.identity.run_ids import run_id
from subind.specs.mask_methods import StraightThrough
from subind.specs.runs import Discover
from subind.specs.tuning import OwnValidation, TuningValidation
from sweeps import grids
from sweeps.grids import tuned
from sweeps.grids.studies import Epochs, Range, default_studies, values_of, with_values
from sweeps.tuning import choice
from sweeps.tuning.choice import Knee, Point, chosen, front
from sweeps.tuning.objective import Floor
from sweeps.tuning.stopping import FEWEST_FINISHED, rungs
from tests.specs import tiny_mask, tiny_transfer
from tests.sweeps.studies import made_up_record, small_study

VALUES = {"penalty": 3e-6, "final_temperature": 40.0, "initial_logit": 0.2, "learning_rate": 0.05, "num_epochs": 5}


# ---- definitions


def test_mask_of_a_trial_has_its_values_and_all_else_of_the_base() -> None:
    base = small_study().base
    mask = small_study().mask(VALUES)
    assert values_of(mask) == VALUES
    assert with_values(mask, values_of(base)) == base


def test_values_of_a_trial_that_are_not_all_given_are_refused() -> None:
    with pytest.raises(ValueError, match="give penalty, final_temperature, initial_logit, learning_rate, num_epochs"):
        with_values(tiny_mask(), {"penalty": 1e-7})


def test_range_on_a_log_scale_from_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Range\.low is 0\.0: a log scale begins above 0"):
        Range(low=0.0, high=1.0, scale="log")


def test_epochs_that_do_not_grow_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Epochs\.low is 5: give less than high = 5"):
        Epochs(low=5, high=5)


def test_study_whose_base_is_judged_on_reported_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="give a TuningValidation, so that nothing reported is tuned on"):
        replace(small_study(), base=tiny_mask(num_epochs=6))


@pytest.mark.parametrize("name", ["quickstart", "figure-3-depth-2", "paper-arithmetic"])
def test_studies_of_a_grid_tune_a_mask_of_its_own_tasks_and_architectures(name: str) -> None:
    masks = [cell.start.mask for cell in grids.read_grid(name).cells if hasattr(cell.start, "mask")]
    wanted = {(mask.task, mask.network) for mask in masks}
    assert {(study.base.task, study.base.network) for study in grids.read_grid(name).studies()} == wanted


@pytest.mark.parametrize("name", ["quickstart", "figure-3-depth-2"])
def test_published_setting_of_a_study_is_the_grids_mask_on_other_validation(name: str) -> None:
    masks = {cell.start.mask for cell in grids.read_grid(name).cells if hasattr(cell.start, "mask")}
    for study in grids.read_grid(name).studies():
        judged = replace(study.published.kept_epoch, curve="subtask_accuracy")
        assert replace(study.published, validation=OwnValidation(), kept_epoch=judged) in masks


def test_default_studies_of_a_grid_avoid_the_seeds_that_it_has() -> None:
    tall = tiny_mask(num_epochs=30)
    cells = [tiny_transfer("subnetwork", mask=tall, seed=seed) for seed in range(2)]
    with pytest.raises(ValueError, match="10 seeds leave about 4 pairs"):
        default_studies(cells)


def test_grid_of_images_alone_has_no_study_and_says_why() -> None:
    with pytest.raises(ValueError, match="no study searches the grid's masks: ShapesTask has no rows for a"):
        grids.read_grid("vision-shapes").studies()


def test_mask_of_another_method_has_no_study_and_says_why() -> None:
    sampled = StraightThrough(initial_logit=0.9, penalty=1e-4, num_masks=2)
    with pytest.raises(ValueError, match="StraightThrough: a study searches masks of ContinuousSparsification"):
        default_studies([tiny_mask(method=sampled)])


def test_studies_of_a_file_without_any_are_those_around_its_masks(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from sweeps.grids import figure_3_depth_2\n\n\ndef grid():\n    return figure_3_depth_2.grid()\n"
    )
    (study,) = grids.read_grid(str(tmp_path / "mine.py")).studies()
    assert isinstance(study.base.validation, TuningValidation)
    assert study.base == study.published


def test_studies_of_a_file_that_are_no_studies_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from sweeps.grids.quickstart import grid\n\n\ndef studies():\n    return (1,)\n")
    with pytest.raises(ValueError, match=r"studies\(\) of .* gives 1, item 0: let it give a tuple of Study"):
        grids.read_grid(str(tmp_path / "mine.py")).studies()


# ---- the choice


def points(*pairs: tuple[float, float]) -> list[Point]:
    return [Point(number=number, accuracy=each[0], density=each[1]) for number, each in enumerate(pairs)]


def test_front_has_every_point_that_no_other_beats_in_both() -> None:
    given = points((0.5, 0.1), (0.9, 0.3), (0.4, 0.2), (0.9, 0.4), (1.0, 0.9), (0.95, 0.9))
    beaten = {
        first.number
        for first, second in itertools.permutations(given, 2)
        if second.accuracy >= first.accuracy and second.density <= first.density
    }
    assert [each.number for each in front(given)] == [0, 1, 4]
    assert {each.number for each in given} - {each.number for each in front(given)} == beaten


def test_front_of_equal_points_has_the_first_of_them() -> None:
    assert [each.number for each in front(points((0.5, 0.1), (0.5, 0.1)))] == [0]


def test_choice_above_a_floor_is_the_smallest_mask_that_reaches_it() -> None:
    given = points((0.5, 0.1), (0.99, 0.3), (0.995, 0.25), (1.0, 0.9))
    assert chosen(given, Floor(accuracy=0.99)).number == 2


def test_choice_above_a_floor_that_none_reaches_says_what_the_best_has() -> None:
    with pytest.raises(ValueError, match=r"floor=0\.99: the best trial has 0\.5; lower the floor"):
        chosen(points((0.5, 0.1)), Floor(accuracy=0.99))


def test_knee_is_where_the_front_bends() -> None:
    given = points((0.1, 0.001), (0.2, 0.004), (0.97, 0.01), (0.99, 0.1), (1.0, 1.0))
    assert chosen(given, Knee()).number == 2


@pytest.mark.parametrize("given", [points((0.3, 0.2)), points((0.0, 0.2), (0.0, 0.3))])
def test_knee_of_a_front_of_one_is_that(given: list[Point]) -> None:
    assert chosen(given, Knee()).number == 0


def test_choice_takes_no_mask_that_keeps_nothing() -> None:
    bent = [(0.1, 0.001), (0.2, 0.004), (0.97, 0.01), (0.99, 0.1), (1.0, 1.0)]
    assert chosen(points(*bent, (0.05, 0.0)), Knee()).number == 2
    assert chosen(points((0.5, 0.0), (0.5, 0.1)), Floor(accuracy=0.4)).number == 1


def test_choice_out_of_empty_masks_is_refused() -> None:
    with pytest.raises(ValueError, match="the mask of every finished trial is empty: lower the penalty"):
        chosen(points((0.3, 0.0)), Knee())


def test_choice_out_of_no_trials_is_refused() -> None:
    with pytest.raises(ValueError, match="no trial of the study is finished"):
        chosen([], Knee())


@pytest.mark.parametrize("text", ["knee", "floor=0.99", "floor=1"])
def test_rule_in_words_is_the_text_that_gives_it(text: str) -> None:
    assert choice.in_words(choice.rule(text)) == text


@pytest.mark.parametrize("text", ["", "elbow", "floor", "floor=", "floor=high", "floor=2", "knee=1"])
def test_rule_of_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"--choose is .*: give knee, or floor="):
        choice.rule(text)


# ---- the choice's file


def written(folder: Path, mask: Discover) -> Path:
    path = folder / "mine.json"
    objectives = {"tuning_accuracy": 1.0, "density": 0.1}
    made = tuned.made(study="mine", study_id=1, trial=3, rule="knee", objectives=objectives, spec=mask)
    tuned.write(path, "mine", [made])
    return path


def test_chosen_mask_for_the_studys_donor_and_seed_is_the_trials_own_run(tmp_path: Path) -> None:
    mask = small_study().mask(VALUES)
    path = written(tmp_path, mask)
    assert run_id(tuned.mask(tiny_mask(), grid=str(path))) == run_id(mask)


def test_chosen_mask_for_another_donor_has_the_settings_and_that_donor(tmp_path: Path) -> None:
    validation = TuningValidation(num_samples=8, num_seeds=2, num_transfer_samples=12)
    mask = replace(small_study().mask(VALUES), validation=validation)
    like = tiny_mask(donor=replace(mask.donor, seed=1), seed=1)
    found = tuned.mask(like, grid=str(written(tmp_path, mask)))
    assert (found.donor, found.seed) == (like.donor, 1)
    assert values_of(found) == VALUES


def test_choice_that_was_edited_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, small_study().mask(VALUES))
    data = json.loads(path.read_text())
    data["choices"][0]["mask"]["method"]["penalty"] = 4e-6
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="which is not its mask's: it was edited"):
        tuned.mask(tiny_mask(), grid=str(path))


def test_choice_outlives_a_new_version_of_its_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = small_study().mask(VALUES)
    path = written(tmp_path, mask)
    reasons = (*fingerprint.STAGE_VERSIONS["mask"], "numbers move")
    monkeypatch.setitem(fingerprint.STAGE_VERSIONS, "mask", reasons)
    found = tuned.mask(tiny_mask(), grid=str(path))
    assert found == mask
    assert run_id(found) != tuned.read(path)[0].fingerprint


def test_choice_for_another_architecture_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, small_study().mask(VALUES))
    other = grids.read_grid("quickstart").studies()[0].base
    with pytest.raises(ValueError, match=r"has no choice for subtask a \* b at GPT2\(num_layers=1"):
        tuned.mask(other, grid=str(path))


def test_choice_of_a_grid_that_was_never_tuned_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run `subind tune mine --trials N --choose knee`"):
        tuned.mask(tiny_mask(), grid=str(tmp_path / "mine.json"))


# ---- stopping


def curves(*, loss: float, density: float, num_epochs: int) -> dict[str, list[float]]:
    record = made_up_record(tiny_mask(num_epochs=num_epochs), accuracy=0.5, density=density)
    return {**record.curves, "train_loss": [loss + epoch for epoch in range(num_epochs)]}


def test_rungs_of_few_finished_trials_are_none() -> None:
    assert rungs([curves(loss=1.0, density=0.1, num_epochs=4)] * (FEWEST_FINISHED - 1)) == ()


def test_rungs_have_the_medians_after_the_same_share_of_epochs() -> None:
    finished = [curves(loss=float(index), density=0.1, num_epochs=4 + 4 * (index % 2)) for index in range(9)]
    half, three_quarters = rungs(finished)
    assert half.limits["train_loss"] == sorted(index + (3 if index % 2 else 1) for index in range(9))[4]
    assert three_quarters.limits["train_loss"] == sorted(index + (5 if index % 2 else 2) for index in range(9))[4]
    assert half.limits["density"] == pytest.approx(0.2)
