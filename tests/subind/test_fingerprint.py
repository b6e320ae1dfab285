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

from subind.identity import run_ids as fingerprint
from subind.identity.run_ids import canonical_json, current_versions, decode, encoded, run_id, run_id_at
from subind.specs.base import NEUTRAL
from subind.specs.runs import Spec, Transfer
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
    '{"batch_size":8,"class":"Donor","model":{"class":"GPT2","d_model":16,"dropout":0.0,"num_heads":2,"num_layers":2},'
    '"num_epochs":2,"num_evaluation_samples":12,"num_samples":24,"optimizer":{"class":"AdamW","clip":{"class":"NoClip"},'
    '"learning_rate":0.001,"schedule":"constant","weight_decay":0.0},"patience":2,"precision":"float32","seed":0,'
    '"task":{"class":"ArithmeticTask","modulus":7,"num_integers":12,"rule":"a + a * b"}}'
)

GOLDEN: list[tuple[Spec, str]] = [
    (tiny_donor(), "e5f4460a277ccad5"),
    (tiny_mask(), "a34d289f04f50c40"),
    (tiny_transfer(kept_epoch="first_best"), "c6ba0f378fe3a3f7"),
]

USES_THE_MASK = tuple(name for name in CONTROL_NAMES if name not in ("full_transfer", "unmasked_only", "random_init"))


@pytest.mark.parametrize(("spec", "expected"), GOLDEN, ids=["donor", "mask", "transfer"])
def test_run_id_of_a_literal_spec_stays_what_it_was(spec: Spec, expected: str) -> None:
    assert run_id_at(spec, (1, 1, 1)) == expected


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
class Amount:
    value: float
    count: int = 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1, True, "1.0", None, [1.0]])
def test_canonical_json_of_what_is_no_finite_float_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"Amount\.value is .* give a finite float"):
        canonical_json(Amount(value=value))


@pytest.mark.parametrize("count", [1.0, True, "1", None])
def test_canonical_json_of_what_is_no_int_is_refused(count: Any) -> None:
    with pytest.raises(ValueError, match=r"Amount\.count is .* give an int"):
        canonical_json(Amount(value=1.0, count=count))


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
        (("control", "mask", "donor", "class"), "Path", r"spec\.control\.mask\.donor has the class 'Path'"),
        (("control", "class"), "Mask", r"spec\.control"),
        (("extra",), 1, r"spec has unknown fields \['extra'\]: Transfer has"),
        (("control", "mask", "extra"), 1, r"spec\.control\.mask has unknown fields \['extra'\]"),
        (("seed",), 1.0, r"spec cannot be: Transfer\.seed is 1\.0 of type float: give an int"),
        (("optimizer", "learning_rate"), 1, r"spec\.optimizer cannot be: AdamW\.learning_rate is 1 of type int"),
        (("seed",), {"class": "NoClip"}, r"spec cannot be: Transfer\.seed is NoClip"),
        (("seed",), [1], r"Transfer\.seed is \(1,\) of type tuple"),
        (("rivals",), "2*a**2", r"Transfer\.rivals is '2\*a\*\*2' of type str: give a tuple"),
        (("rivals",), [[]], r"Transfer\.rivals is \(\(\),\) of type tuple"),
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
    del data["patience"]
    with pytest.raises(ValueError, match="spec lacks the field 'patience' of Donor"):
        decode(data)


def test_decode_of_data_nested_without_end_is_refused() -> None:
    data: Any = {"class": "Subnetwork", "mask": 1}
    for _ in range(5000):
        data = {"class": "Subnetwork", "mask": data}
    with pytest.raises(ValueError, match="nested deeper than any spec"):
        decode(data)


# ---- what an id depends on


def changed(control: str) -> dict[str, Transfer]:
    return {
        "seed": tiny_transfer(control, seed=1),
        "num_disambiguation": tiny_transfer(control, num_disambiguation=7),
        "rule": tiny_transfer(control, task=tiny_task("a**2 + b**2")),
        "modulus": tiny_transfer(control, task=tiny_task("a**2 + a*b", modulus=5)),
        "rivals": tiny_transfer(control, rivals=("2*a**2",)),
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


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_run_id_of_equal_specs_is_equal_whichever_zero_came_first(zero: float) -> None:
    decays = [replace(tiny_optimizer(), weight_decay=value) for value in (zero, -zero)]
    first, second = (tiny_mask(initial_logit=each.weight_decay, optimizer=each) for each in decays)
    fingerprint._shared_text.cache_clear()
    known = run_id(first)
    fingerprint._shared_text.cache_clear()
    assert run_id(second) == known


# ---- versions


BUMPED = {"donor": (2, 1, 1), "mask": (1, 2, 1), "transfer": (1, 1, 2)}
DEPENDS = {
    "donor": {"donor", "mask", "subnetwork", "full_transfer"},
    "mask": {"mask", "subnetwork"},
    "transfer": {"subnetwork", "full_transfer", "random_init"},
}


@pytest.mark.parametrize("stage", BUMPED)
def test_run_id_after_a_version_bump_changes_just_what_descends_from_the_stage(stage: str) -> None:
    runs: dict[str, Spec] = {"donor": tiny_donor(), "mask": tiny_mask()}
    runs |= {name: tiny_transfer(name) for name in ("subnetwork", "full_transfer", "random_init")}
    moved = {name for name, spec in runs.items() if run_id_at(spec, BUMPED[stage]) != run_id_at(spec, (1, 1, 1))}
    assert moved == DEPENDS[stage]


def test_run_id_follows_a_reason_appended_to_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_id(tiny_mask())
    reasons = {**fingerprint.STAGE_VERSIONS, "mask": (*fingerprint.STAGE_VERSIONS["mask"], "the penalty counts biases")}
    monkeypatch.setattr(fingerprint, "STAGE_VERSIONS", reasons)
    assert run_id(tiny_mask()) != before
    assert run_id(tiny_mask()) == run_id_at(tiny_mask(), current_versions())


def test_run_id_remembered_at_other_versions_is_not_taken() -> None:
    spec = tiny_transfer()
    first = run_id_at(spec, (1, 1, 1))
    assert run_id_at(spec, (1, 1, 2)) != first
    assert run_id_at(spec, (1, 1, 1)) == first


@pytest.mark.parametrize("copied", [lambda spec: pickle.loads(pickle.dumps(spec)), copy.copy, copy.deepcopy])
def test_run_id_remembered_is_no_part_of_a_copy(copied: Callable[[Spec], Spec]) -> None:
    spec = tiny_mask()
    run_id(spec)
    assert copied(spec) == spec
    assert copied(spec).remembered_id() is None
    assert run_id(copied(spec)) == run_id(tiny_mask())


# ---- fields added later


Old = make_dataclass("Widget", [("size", int)], frozen=True, kw_only=True)
New = make_dataclass(
    "Widget", [("size", int), ("tint", str, field(metadata={NEUTRAL: "none"}))], frozen=True, kw_only=True
)


def test_canonical_json_at_the_neutral_value_is_what_it_was_without_the_field() -> None:
    assert canonical_json(New(size=3, tint="none")) == canonical_json(Old(size=3))


def test_canonical_json_at_another_value_has_the_field() -> None:
    assert canonical_json(New(size=3, tint="red")) == '{"class":"Widget","size":3,"tint":"red"}'


def test_decode_of_old_data_takes_the_neutral_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fingerprint._CLASSES, "Widget", New)
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
