"""The stage that asks finished networks, and measurements of a user's own."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from subind.identity.run_ids import decode, encoded, run_id
from subind.measurements.agreement import Agreement, predicted_answers
from subind.measurements.masked_accuracy import MaskedAccuracy
from subind.specs.base import behaviour
from subind.specs.measurements import Measurement
from subind.specs.run import NetworkRun, Run
from subind.specs.runs import Measure
from subind.stages.measure import Asked
from subind.tasks.task import key
from subind.training.tensors import Tokens
from tests.specs import tiny_donor, tiny_mask, tiny_model, tiny_task, tiny_transfer
from tests.subind.measures import asking, measurements


@dataclass(frozen=True, slots=True, kw_only=True)
class SameAnswers(Measurement):
    """The share of test rows that the network answers as another does."""

    other: NetworkRun

    def parents(self) -> tuple[Run, ...]:
        return (self.other,)

    def measure(self, asked: Asked) -> Mapping[str, float]:
        tokens = asked.test_rows(behaviour(asked.run.task), 30)["tokens"]
        ask = asked.ask_other(self.other)
        others = ask(Tokens(tokens=tokens[None, :, :-1], read="last"))[0, :, -1].argmax(-1)
        return {"same_answers": float((predicted_answers(asked, tokens) == others).double().mean())}


MASK = tiny_mask()
AGREEMENT = Agreement(task=tiny_task(), rules=("a*b",), num_evaluation_samples=24)


def test_users_measurement_asks_two_networks(tmp_path: Path) -> None:
    donor, store = tiny_donor(num_epochs=20), str(tmp_path)
    assert measurements(donor, SameAnswers(other=donor), store=store) == {"same_answers": 1.0}
    transfer = tiny_transfer("random_init")
    assert measurements(donor, SameAnswers(other=transfer), store=store)["same_answers"] < 1


def test_parents_are_the_run_a_masks_donor_and_those_of_the_measurement_each_once() -> None:
    donor, transfer = MASK.donor, tiny_transfer("full_transfer")
    assert asking(donor, AGREEMENT).parents() == (donor,)
    assert asking(MASK, AGREEMENT).parents() == (MASK, donor)
    assert asking(MASK, SameAnswers(other=transfer)).parents() == (MASK, donor, transfer)
    assert asking(donor, SameAnswers(other=donor)).parents() == (donor,)


def test_measurement_of_a_finished_network_trains_nothing_again(tmp_path: Path) -> None:
    store = str(tmp_path)
    measurements(MASK, AGREEMENT, store=store)
    records = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.json")}
    measurements(MASK, MaskedAccuracy(task=tiny_task(), num_evaluation_samples=24, outer="whole"), store=store)
    later = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.json")}
    assert records.items() <= later.items()
    assert len(later) == len(records) + 1


def test_test_rows_are_those_of_the_run_that_is_asked_whatever_the_measurements_seed(tmp_path: Path) -> None:
    several = [measurements(MASK, AGREEMENT, store=str(tmp_path), seed=seed) for seed in (0, 1)]
    assert several[0] == several[1]
    rows = [
        behaviour(tiny_task()).rows("test", num_rows=24, key=key(each, "test"))["tokens"]
        for each in (MASK, tiny_mask(seed=1))
    ]
    assert not torch.equal(*rows)


def test_run_is_decoded_by_a_process_that_has_not_loaded_the_measurement() -> None:
    run = asking(MASK, AGREEMENT)
    program = (
        "import json, sys; from subind.identity.run_ids import decode, run_id;"
        "print(run_id(decode(json.load(sys.stdin)))); assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(encoded(run)), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == run_id(run)
    assert decode(encoded(run)) == run


def test_run_ids_tell_measurements_seeds_and_networks_apart() -> None:
    other = Agreement(task=tiny_task(), rules=("a+b",), num_evaluation_samples=24)
    runs = [
        asking(MASK, AGREEMENT),
        asking(MASK, AGREEMENT, seed=1),
        asking(MASK.donor, AGREEMENT),
        asking(MASK, other),
    ]
    assert len({run_id(each) for each in runs}) == 4


def test_columns_name_the_measurement_and_what_is_known_of_the_run() -> None:
    columns = asking(MASK, MaskedAccuracy(task=tiny_task(), num_evaluation_samples=24, outer="whole")).columns()
    assert columns["measurement"] == "masked_accuracy"
    assert columns["measured_task"] == "a + a * b"
    assert columns["subtask"] == "a * b"
    assert columns["outer"] == "whole"


def test_precision_that_the_network_lacks_is_refused_when_it_is_planned() -> None:
    assert set(tiny_model().precisions()) >= {"float32", "bfloat16"}
    with pytest.raises(ValueError, match=r"Measure\.precision is 'float16'"):
        Measure(of=MASK, measurement=AGREEMENT, seed=0, precision="float16")  # type: ignore[arg-type]
