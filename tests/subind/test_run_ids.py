"""Identity: canonical JSON, its decoding, and what a run id depends on."""

import copy
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass, replace
from typing import Any

import pytest

from subind.identity import run_ids
from subind.identity.run_ids import canonical_json, current_versions, decode, encoded, run_id, run_id_at
from subind.specs.base import NEUTRAL, Checked
from subind.specs.run import STAGES, Run
from subind.specs.runs import Transfer
from tests.specs import (
    CONTROL_NAMES,
    tiny_donor,
    tiny_mask,
    tiny_model,
    tiny_optimizer,
    tiny_task,
    tiny_transfer,
)

DONOR_TEXT = (
    '{"batch_size":8,"class":"Train","evaluations_per_epoch":1,"held":"nothing",'
    '"kept_epoch":{"best":"lowest","class":"BestEpoch","curve":"validation_loss","ties":"first"},'
    '"model":{"class":"GPT2","d_model":16,"dropout":0.0,"num_heads":2,"num_layers":2,"version":1},'
    '"num_epochs":2,"num_evaluation_samples":12,"optimizer":{"class":"AdamW","clip":{"class":"NoClip"},'
    '"learning_rate":0.001,"schedule":"constant","weight_decay":0.0},"precision":"float32",'
    '"rows":[{"class":"Part","name":"unambiguous","num_samples":24}],"second_task":{"class":"NoSecondTask"},"seed":0,'
    '"stopping":{"class":"EarlyStop","patience":2},'
    '"task":{"class":"ArithmeticTask","loss":"all_predicted","modulus":7,"num_integers":12,"num_operands":2,'
    '"num_operations":1,"operation":0,"rivals":[],"rule":"a + a * b","version":1},'
    '"teacher":{"class":"NoTeacher"},"weights":{"class":"FreshWeights"}}'
)

ONES = (1,) * len(STAGES)

GOLDEN: list[tuple[Run, str]] = [
    (tiny_donor(), "4cdb8e2375c09582"),
    (tiny_mask(), "5542df9b345d066a"),
    (tiny_transfer(kept_epoch="first_best"), "5cc2ba4c299f9cfc"),
]

USES_THE_MASK = tuple(name for name in CONTROL_NAMES if name not in ("full_transfer", "unmasked_only", "random_init"))


@pytest.mark.parametrize(("spec", "expected"), GOLDEN, ids=["donor", "mask", "transfer"])
def test_run_id_of_a_literal_spec_stays_what_it_was(spec: Run, expected: str) -> None:
    assert run_id_at(spec, ONES) == expected


def test_run_id_in_another_process_with_another_hash_seed_is_the_same() -> None:
    imports = "from subind.identity.run_ids import run_id; from tests.specs import tiny_transfer"
    program = f"{imports}; print(run_id(tiny_transfer()))"
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
    )
    assert found.stdout.strip() == run_id(tiny_transfer())


def test_canonical_json_of_a_donor_is_the_text_with_sorted_keys() -> None:
    assert canonical_json(tiny_donor()) == DONOR_TEXT


@pytest.mark.parametrize("name", CONTROL_NAMES)
def test_decode_of_the_encoding_is_the_spec(name: str) -> None:
    spec = tiny_transfer(name)
    assert decode(json.loads(json.dumps(encoded(spec)))) == spec


def test_decode_of_shuffled_keys_is_the_spec() -> None:
    shuffled = json.loads(canonical_json(tiny_mask()), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert list(shuffled) != list(encoded(tiny_mask()))
    assert run_id(decode(shuffled)) == run_id(tiny_mask())


def test_encoded_data_changed_by_the_caller_leave_the_next_encoding_alone() -> None:
    encoded(tiny_donor())["model"]["num_layers"] = 99
    assert canonical_json(tiny_donor()) == DONOR_TEXT


# ---- what is refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount(Checked):
    value: float
    count: int = 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1, True, "1.0", None, [1.0]])
def test_spec_of_what_is_no_finite_float_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"Amount\.value is .* give a finite float"):
        Amount(value=value)


@pytest.mark.parametrize("count", [1.0, True, "1", None])
def test_spec_of_what_is_no_int_is_refused(count: Any) -> None:
    with pytest.raises(ValueError, match=r"Amount\.count is .* give an int"):
        Amount(value=1.0, count=count)


@pytest.mark.parametrize("value", [{"a": 1}, object(), {1, 2}, b"bytes"])
def test_canonical_json_of_an_unknown_type_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="a spec holds a value of type"):
        canonical_json(value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("class",), "Oracle", "spec has the class 'Oracle': known are AdamW"),
        (("class",), "__import__", "spec has the class '__import__'"),
        (("class",), None, "spec has the class None"),
        (("start", "mask", "donor", "class"), "Path", r"spec\.start\.mask\.donor has the class 'Path'"),
        (("start", "class"), "Discover", r"spec\.start"),
        (("extra",), 1, r"spec has unknown fields \['extra'\]: Transfer has"),
        (("version",), 1, r"spec has unknown fields \['version'\]: Transfer has"),
        (("start", "mask", "extra"), 1, r"spec\.start\.mask has unknown fields \['extra'\]"),
        (("task", "version"), 2, r"spec\.task is of version 2 of ArithmeticTask, and that loaded here is 1"),
        (("task", "version"), None, r"spec\.task is of version None of ArithmeticTask"),
        (("seed",), 1.0, r"spec cannot be: Transfer\.seed is 1\.0 of type float: give an int"),
        (("optimizer", "learning_rate"), 1, r"spec\.optimizer cannot be: AdamW\.learning_rate is 1 of type int"),
        (("seed",), {"class": "NoClip"}, r"spec cannot be: Transfer\.seed is NoClip"),
        (("seed",), {"function": "os:system"}, r"spec\.seed has the function 'os:system', which is not loaded"),
        (("seed",), [1], r"Transfer\.seed is \(1,\) of type tuple"),
        (("task", "rivals"), "2*a**2", r"ArithmeticTask\.rivals is '2\*a\*\*2' of type str: give a tuple"),
        (("task", "rivals"), [[]], r"ArithmeticTask\.rivals is \(\(\),\) of type tuple"),
        (("task", "rule"), "__import__('os')", "use a, b, integers"),
        (("task", "modulus"), 10**400, "ArithmeticTask.modulus is .* give an int of 64 bits"),
    ],
)
def test_decode_of_data_that_are_no_spec_says_where(path: tuple[str, ...], value: Any, message: str) -> None:
    data = encoded(tiny_transfer())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        decode(data)


def test_decode_without_a_field_names_it() -> None:
    data = encoded(tiny_donor())
    del data["stopping"]
    with pytest.raises(ValueError, match="spec lacks the field 'stopping' of Train"):
        decode(data)


def test_decode_of_data_nested_without_end_is_refused() -> None:
    data: Any = 1
    for _ in range(5000):
        data = {"class": "Subnetwork", "mask": data, "version": 1}
    with pytest.raises(ValueError, match="nested deeper than any spec"):
        decode(data)


# ---- what an id depends on


def changed(control: str) -> dict[str, Transfer]:
    return {
        "seed": tiny_transfer(control, seed=1),
        "num_disambiguation": tiny_transfer(control, num_disambiguation=7),
        "rule": tiny_transfer(control, task=tiny_task("a**2 + b**2")),
        "modulus": tiny_transfer(control, task=tiny_task("a**2 + a*b", modulus=5)),
        "rivals": tiny_transfer(control, rivals=()),
        "learning_rate": tiny_transfer(control, optimizer=tiny_optimizer(learning_rate=2e-3)),
        "num_layers": tiny_transfer(control, mask=tiny_mask(donor=tiny_donor(model=tiny_model(num_layers=3)))),
    }


@pytest.mark.parametrize("control", CONTROL_NAMES)
def test_run_id_of_specs_that_differ_in_one_field_all_differ(control: str) -> None:
    ids = {run_id(spec) for spec in (tiny_transfer(control), *changed(control).values())}
    assert len(ids) == 1 + len(changed(control))


def test_run_id_of_the_nine_controls_all_differ() -> None:
    assert len({run_id(tiny_transfer(name)) for name in CONTROL_NAMES}) == 9


@pytest.mark.parametrize("control", CONTROL_NAMES)
def test_run_id_under_another_penalty_changes_only_where_the_mask_is_used(control: str) -> None:
    other = tiny_transfer(control, mask=tiny_mask(penalty=1e-6))
    assert (run_id(other) != run_id(tiny_transfer(control))) == (control in USES_THE_MASK)


@pytest.mark.parametrize("control", CONTROL_NAMES)
def test_run_id_under_another_donor_seed_changes_only_where_the_donor_is_used(control: str) -> None:
    other = tiny_transfer(control, mask=tiny_mask(donor=tiny_donor(seed=1)))
    assert (run_id(other) != run_id(tiny_transfer(control))) == (control != "random_init")


def forget() -> None:
    run_ids._shared_text.cache_clear()
    run_ids._shared_template.cache_clear()


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_run_id_of_equal_specs_is_equal_whichever_zero_came_first(zero: float) -> None:
    decays = [replace(tiny_optimizer(), weight_decay=value) for value in (zero, -zero)]
    first, second = (tiny_mask(initial_logit=each.weight_decay, optimizer=each) for each in decays)
    forget()
    known = run_id(first)
    forget()
    assert run_id(second) == known


# ---- versions


BUMPED = {stage: tuple(2 if each == stage else 1 for each in STAGES) for stage in STAGES}
DEPENDS: dict[str, set[str]] = {
    "donor": {"donor", "mask", "subnetwork", "full_transfer"},
    "mask": {"mask", "subnetwork"},
    "transfer": {"subnetwork", "full_transfer", "random_init"},
    "measurement": set(),
}


@pytest.mark.parametrize("stage", BUMPED)
def test_run_id_after_a_version_bump_changes_just_what_descends_from_the_stage(stage: str) -> None:
    runs: dict[str, Run] = {"donor": tiny_donor(), "mask": tiny_mask()}
    runs |= {name: tiny_transfer(name) for name in ("subnetwork", "full_transfer", "random_init")}
    moved = {name for name, spec in runs.items() if run_id_at(spec, BUMPED[stage]) != run_id_at(spec, ONES)}
    assert moved == DEPENDS[stage]


def test_run_id_follows_a_reason_appended_to_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_id(tiny_mask())
    reasons = {**run_ids.STAGE_VERSIONS, "mask": (*run_ids.STAGE_VERSIONS["mask"], "the penalty counts biases")}
    monkeypatch.setattr(run_ids, "STAGE_VERSIONS", reasons)
    assert run_id(tiny_mask()) != before
    assert run_id(tiny_mask()) == run_id_at(tiny_mask(), current_versions())


def test_run_id_remembered_at_other_versions_is_not_taken() -> None:
    spec = tiny_transfer()
    first = run_id_at(spec, ONES)
    assert run_id_at(spec, BUMPED["transfer"]) != first
    assert run_id_at(spec, ONES) == first


@pytest.mark.parametrize("copied", [lambda spec: pickle.loads(pickle.dumps(spec)), copy.copy, copy.deepcopy])
def test_run_id_remembered_is_no_part_of_a_copy(copied: Callable[[Run], Run]) -> None:
    spec = tiny_mask()
    run_id(spec)
    assert copied(spec) == spec
    assert copied(spec).remembered_id() is None
    assert run_id(copied(spec)) == run_id(tiny_mask())


# ---- fields added later


Old = make_dataclass("Widget", [("size", int)], bases=(Checked,), frozen=True, kw_only=True)
New = make_dataclass(
    "Widget",
    [("size", int), ("tint", str, field(metadata={NEUTRAL: "none"}))],
    bases=(Checked,),
    frozen=True,
    kw_only=True,
)


def test_canonical_json_at_the_neutral_value_is_what_it_was_without_the_field() -> None:
    assert canonical_json(New(size=3, tint="none")) == canonical_json(Old(size=3))


def test_canonical_json_at_another_value_has_the_field() -> None:
    assert encoded(New(size=3, tint="red")) == {"class": "types:Widget", "size": 3, "tint": "red"}


def test_decode_of_old_data_takes_the_neutral_value_of_the_newer_of_two_classes() -> None:
    assert decode(encoded(Old(size=3))) == New(size=3, tint="none")


@pytest.mark.slow
def test_run_id_of_a_hundred_thousand_cells_is_known_within_ten_seconds() -> None:
    program = (
        "import time; from dataclasses import replace; from subind.identity.run_ids import run_id;"
        "from tests.specs import CONTROL_NAMES, tiny_transfer; start = time.process_time();"
        "cells = [tiny_transfer(name) for name in CONTROL_NAMES];"
        "ids = {run_id(replace(cell, seed=seed)) for seed in range(11112) for cell in cells};"
        "assert len(ids) == 100008; print(time.process_time() - start)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert float(found.stdout) < 10


def test_run_id_of_a_replaced_spec_is_that_of_one_made_afresh() -> None:
    assert run_id(replace(tiny_transfer(seed=5), seed=0)) == run_id(tiny_transfer())
