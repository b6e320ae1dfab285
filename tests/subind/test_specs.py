"""Specs: what they refuse, and what follows from one."""

import itertools
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from subind.specs.arithmetic import ArithmeticTask, readings
from subind.specs.optimizers import ClipNorm
from subind.specs.rows import Part
from subind.specs.run import Run, lineage, steps_per_epoch
from subind.specs.temperature import TemperatureSchedule
from tests.specs import (
    CONTROL_NAMES,
    tiny_donor,
    tiny_mask,
    tiny_model,
    tiny_optimizer,
    tiny_start,
    tiny_task,
    tiny_transfer,
)

REFUSED: list[tuple[Callable[..., Any], str, Any, str]] = [
    (tiny_donor, "batch_size", 0, r"Train\.batch_size is 0: give a number above 0"),
    (tiny_donor, "patience", 0, r"EarlyStop\.patience is 0: give a number above 0"),
    (tiny_donor, "num_epochs", -1, r"Train\.num_epochs is -1: give 0 or more"),
    (tiny_donor, "seed", -1, r"Train\.seed is -1: give 0 or more"),
    (tiny_donor, "seed", 1.0, r"Train\.seed is 1\.0 of type float: give an int of 64 bits"),
    (tiny_donor, "seed", True, r"Train\.seed is True of type bool: give an int"),
    (tiny_donor, "seed", "1", r"Train\.seed is '1' of type str: give an int"),
    (tiny_donor, "seed", None, r"Train\.seed is None of type NoneType: give an int"),
    (tiny_donor, "seed", 2**63, r"Train\.seed is 9223372036854775808 of type int: give an int of 64 bits"),
    (tiny_donor, "num_samples", 11, r"rows has 11 unambiguous samples: give at least num_integers = 12"),
    (tiny_donor, "num_evaluation_samples", 11, r"num_evaluation_samples is 11: give at least num_integers"),
    (tiny_donor, "precision", "float16", r"Train\.precision is 'float16' of type str: give one of 'float32'"),
    (tiny_donor, "task", "a*b", r"Train\.task is 'a\*b' of type str: give a Task"),
    (tiny_mask, "penalty", -1e-7, r"ContinuousSparsification\.penalty is -1e-07: give 0 or more"),
    (tiny_mask, "penalty", 1, r"ContinuousSparsification\.penalty is 1 of type int: give a finite float"),
    (tiny_mask, "penalty", math.nan, r"ContinuousSparsification\.penalty is nan of type float: give a finite float"),
    (tiny_mask, "penalty", math.inf, r"ContinuousSparsification\.penalty is inf of type float: give a finite float"),
    (
        tiny_mask,
        "initial_logit",
        -math.inf,
        r"\.initial_logit is -inf of type float: give a finite float",
    ),
    (tiny_mask, "num_epochs", -1, r"Discover\.num_epochs is -1: give 0 or more"),
    (tiny_mask, "num_samples", 3, r"rows has 3 unambiguous samples: give at least num_integers = 12"),
    (tiny_transfer, "num_ambiguous", 13, r"rows has 13 ambiguous samples: there are num_integers = 12 with equal"),
    (tiny_transfer, "num_ambiguous", -1, r"Part\.num_samples is -1: give 0 or more"),
    (tiny_transfer, "num_disambiguation", -1, r"Part\.num_samples is -1: give 0 or more"),
    (tiny_transfer, "num_evaluation_samples", 0, r"Transfer\.num_evaluation_samples is 0: give a number above 0"),
    (tiny_transfer, "start", tiny_mask(), r"Transfer\.start is Discover.* give a Start"),
    (tiny_transfer, "rivals", ["2*a**2"], r"ArithmeticTask\.rivals is .* of type list: give a tuple, each item a str"),
    (
        tiny_transfer,
        "rivals",
        ("3*a**2",),
        r"\.rivals has '3 \* a \*\* 2', which is not .* operands are 1: give",
    ),
    (tiny_transfer, "rivals", ("a/b",), r"rule 'a/b' has the part 'a / b': use a, b, integers"),
    (tiny_model, "num_layers", 0, r"GPT2\.num_layers is 0: give a number above 0"),
    (tiny_model, "num_heads", 3, r"GPT2\.num_heads is 3: give a divisor of d_model = 16"),
    (tiny_model, "dropout", 1.0, r"GPT2\.dropout is 1\.0: give a probability from 0 to below 1"),
    (tiny_model, "dropout", 0, r"GPT2\.dropout is 0 of type int: give a finite float"),
    (tiny_optimizer, "learning_rate", 0.0, r"AdamW\.learning_rate is 0\.0: give a number above 0"),
    (tiny_optimizer, "weight_decay", -0.1, r"AdamW\.weight_decay is -0\.1: give 0 or more"),
    (tiny_optimizer, "schedule", "cosine", r"AdamW\.schedule is 'cosine' .* give one of 'constant', 'linear_decay'"),
    (tiny_optimizer, "clip", 1.0, r"AdamW\.clip is 1\.0 of type float: give one of a NoClip, a ClipNorm"),
    (ClipNorm, "max_norm", 0.0, r"ClipNorm\.max_norm is 0\.0: give a number above 0"),
]


@pytest.mark.parametrize(
    ("made", "field", "value", "message"), REFUSED, ids=[f"{f}={v!r:.20}" for _, f, v, _ in REFUSED]
)
def test_spec_with_a_bad_value_names_field_value_and_remedy(
    made: Callable[..., Any], field: str, value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        made(**{field: value})


@pytest.mark.parametrize(
    ("modulus", "num_integers"), [(13, 12), (1, 12), (0, 12), (-7, 12)], ids=["too large", "one", "zero", "negative"]
)
def test_task_with_a_modulus_out_of_range_names_it(modulus: int, num_integers: int) -> None:
    with pytest.raises(ValueError, match=rf"ArithmeticTask\.modulus is {modulus}: give 2 to num_integers = 12"):
        ArithmeticTask(rule="a*b", modulus=modulus, num_integers=num_integers)


def test_task_of_two_spellings_of_a_rule_is_equal() -> None:
    assert tiny_task("a**2+a*b") == tiny_task("a ** 2 + (a * b)")


def test_temperature_that_would_fall_is_refused() -> None:
    with pytest.raises(ValueError, match=r"TemperatureSchedule\.final is 0\.5: give 1 or more"):
        TemperatureSchedule(name="exponential", final=0.5)


def test_mask_of_a_subtask_with_another_vocabulary_is_refused() -> None:
    other = ArithmeticTask(rule="a*b", modulus=7, num_integers=11)
    with pytest.raises(ValueError, match=r"ArithmeticTask gives .*=12.*, and the parent's task .*=13"):
        tiny_mask(subtask=other)


@pytest.mark.parametrize("control", ["subnetwork", "full_transfer"])
def test_transfer_to_a_task_with_another_vocabulary_is_refused(control: str) -> None:
    other = ArithmeticTask(rule="a**2 + a*b", modulus=7, num_integers=11)
    with pytest.raises(ValueError, match=r"ArithmeticTask gives .*=12.*, and the parent's task .*=13"):
        tiny_transfer(control, task=other, num_ambiguous=11)


def test_transfer_without_a_training_sample_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Transfer\.rows is .*: give at least one row"):
        tiny_transfer(num_ambiguous=0, num_disambiguation=0)


@pytest.mark.parametrize("rule", ["a**2 + a*b", "a**2 + b**2"])
def test_rivals_that_agree_on_the_ambiguous_samples_are_accepted(rule: str) -> None:
    assert tiny_task(rule, rivals=("2*a**2", "2*b**2")).rivals == ("2 * a ** 2", "2 * b ** 2")


@pytest.mark.parametrize(
    ("rule", "rivals"),
    [
        ("a**2 + a*b", ("2*a**2", "2*b**2")),
        ("a**2 - a*b", ()),
        ("a**3 + a*b", ()),
        ("a**2 + b", ()),
        ("a**8 + a*b + 7*b", ("2*a**2", "2*b**2")),
        ("9*b**2", ("2*a**2", "2*b**2")),
    ],
)
def test_readings_are_those_of_the_paper_that_agree_with_the_rule(rule: str, rivals: tuple[str, ...]) -> None:
    assert readings(rule, modulus=7, num_integers=12) == rivals


def test_rivals_that_do_not_agree_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\.rivals has '2 \* a \*\* 2', which is not .* give rules that"):
        tiny_task("a**2 - a*b", rivals=("2*a**2",))


@pytest.mark.parametrize("names", [(), ("ambiguous", "ambiguous"), ("other",)])
def test_rows_without_parts_with_one_twice_or_with_an_unknown_one_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"rows (is .* each once|has the part 'other': arithmetic has unambiguous)"):
        tiny_transfer(rows=tuple(Part(name=name, num_samples=6) for name in names))


HUGE: list[tuple[Callable[..., Any], str, Any]] = [
    (tiny_donor, "num_samples", 2**62),
    (tiny_donor, "num_evaluation_samples", 2**62),
    (tiny_donor, "batch_size", 2**62),
    (tiny_donor, "num_epochs", 2**62),
    (tiny_mask, "num_samples", 2**62),
    (tiny_mask, "penalty", 1e308),
    (tiny_mask, "penalty", 1e30),
    (tiny_mask, "initial_logit", 1e308),
    (tiny_mask, "initial_logit", -1e30),
    (tiny_transfer, "num_disambiguation", 2**62),
    (tiny_transfer, "num_evaluation_samples", 2**62),
    (tiny_transfer, "num_epochs", 2**62),
    (tiny_model, "num_layers", 2**40),
    (tiny_model, "d_model", 2**40),
    (tiny_optimizer, "learning_rate", 1e308),
    (tiny_optimizer, "weight_decay", 1e308),
    (tiny_optimizer, "weight_decay", 1e4),
    (ClipNorm, "max_norm", 1e308),
]


@pytest.mark.parametrize(("made", "field", "value"), HUGE, ids=[f"{field}={value:g}" for _, field, value in HUGE])
def test_spec_with_a_value_that_no_training_survives_is_refused(
    made: Callable[..., Any], field: str, value: Any
) -> None:
    named = "num_samples" if field == "num_disambiguation" else field
    with pytest.raises(ValueError, match=rf"\.{named} is .*(give|lower)"):
        made(**{field: value})


@pytest.mark.parametrize("final", [1e308, 1e7])
def test_temperature_of_no_gradient_is_refused(final: float) -> None:
    with pytest.raises(ValueError, match=r"TemperatureSchedule\.final is .* give"):
        TemperatureSchedule(name="exponential", final=final)


def test_spec_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        tiny_donor().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_name_of_a_start_is_the_name_in_columns(name: str) -> None:
    assert tiny_start(name).name == name


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_parents_of_a_transfer_are_what_its_start_is_made_from(name: str) -> None:
    expected = {"random_init": [], "full_transfer": [tiny_donor()], "unmasked_only": [tiny_donor()]}
    assert list(tiny_transfer(name).parents()) == expected.get(name, [tiny_mask(), tiny_donor()])


def test_lineage_of_a_transfer_goes_down_to_the_donor() -> None:
    assert [each.stage for each in lineage(tiny_transfer())] == ["transfer", "mask", "donor"]


def test_task_of_a_mask_is_its_subtask() -> None:
    assert tiny_mask().task == tiny_task("a*b")


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_model_of_a_transfer_is_that_of_its_start(name: str) -> None:
    mask = tiny_mask(donor=tiny_donor(model=tiny_model(num_layers=6)))
    assert tiny_transfer(name, mask=mask).network == tiny_model(num_layers=6)


@pytest.mark.parametrize(("num_samples", "steps"), [(12, 2), (16, 2), (17, 3), (24, 3)])
def test_steps_per_epoch_counts_the_last_smaller_batch(num_samples: int, steps: int) -> None:
    assert steps_per_epoch(tiny_donor(num_samples=num_samples)) == steps


def test_steps_per_epoch_of_a_transfer_counts_ambiguous_and_other_samples() -> None:
    assert steps_per_epoch(tiny_transfer(num_ambiguous=12, num_disambiguation=7, batch_size=6)) == 4


def test_temperature_exponential_grows_by_one_factor_an_epoch() -> None:
    schedule = TemperatureSchedule(name="exponential", final=100.0)
    found = [schedule.temperature(epoch, num_epochs=50) for epoch in range(1, 52)]
    assert found[0] == 1
    assert found[50] == pytest.approx(100, rel=1e-12)
    assert [later / earlier for earlier, later in itertools.pairwise(found)] == pytest.approx([1.0964781961431851] * 50)


def test_temperature_as_released_is_the_published_sequence() -> None:
    schedule = TemperatureSchedule(name="as_released", final=100.0)
    found = [schedule.temperature(epoch, num_epochs=50) for epoch in (1, 2, 3, 50)]
    assert found == pytest.approx([1, 1.2023, 1.3183, 100], abs=5e-5)


SHARED = ["seed", "penalty", "control", "rule of the task", "learning rate", "epochs", "initial logit"]


@pytest.mark.parametrize("differing", SHARED)
def test_pack_shape_of_replicas_that_may_share_a_pack_is_equal(differing: str) -> None:
    pairs: dict[str, tuple[Run, Run]] = {
        "seed": (tiny_transfer(), tiny_transfer(seed=1)),
        "penalty": (tiny_mask(), tiny_mask(penalty=1e-6)),
        "control": (tiny_transfer("random_init"), tiny_transfer("subnetwork")),
        "rule of the task": (tiny_transfer(), tiny_transfer(task=tiny_task("a**2 + b**2"))),
        "learning rate": (tiny_mask(), tiny_mask(optimizer=tiny_optimizer(learning_rate=0.2))),
        "epochs": (tiny_mask(), tiny_mask(num_epochs=7)),
        "initial logit": (tiny_mask(), tiny_mask(initial_logit=0.3)),
    }
    first, second = pairs[differing]
    assert first.pack_shape() == second.pack_shape()


@pytest.mark.parametrize("changed", ["model", "num_disambiguation", "batch_size", "optimizer", "num_ambiguous"])
def test_pack_shape_of_replicas_of_another_shape_differs(changed: str) -> None:
    deeper = tiny_mask(donor=tiny_donor(model=tiny_model(num_layers=3)))
    others = {
        "model": tiny_transfer(mask=deeper),
        "num_disambiguation": tiny_transfer(num_disambiguation=7),
        "batch_size": tiny_transfer(batch_size=7),
        "optimizer": tiny_transfer(optimizer=tiny_optimizer(weight_decay=0.5)),
        "num_ambiguous": tiny_transfer(num_ambiguous=11, num_disambiguation=7),
    }
    assert tiny_transfer().pack_shape() != others[changed].pack_shape()


def test_spec_made_again_with_the_same_values_is_equal_and_hashes_alike() -> None:
    assert tiny_transfer() == tiny_transfer()
    assert hash(tiny_transfer()) == hash(tiny_transfer())
    assert tiny_transfer() != replace(tiny_transfer(), seed=1)


def test_num_training_samples_of_donor_and_mask_is_their_number_of_samples() -> None:
    made: list[Run] = [tiny_donor(num_samples=30), tiny_mask(num_samples=30)]
    assert [each.num_training_samples for each in made] == [30, 30]
