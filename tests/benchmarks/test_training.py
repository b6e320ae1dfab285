"""The training benchmark: its rows, and what it counts as the limit."""

import sys

import pytest
import torch

from benchmarks.training import (
    TRAINING_STAGES,
    Case,
    TrainingStage,
    default_cases,
    operations_per_step,
    pack,
    training_benchmark,
)

PROMISED = {"stage", "num_layers", "replicas", "precision", "device", "ratio_to_plain_loop", "share_of_limit"}


@pytest.mark.parametrize("stage", TRAINING_STAGES)
def test_training_benchmark_of_a_stage_gives_a_row_of_positive_numbers(stage: TrainingStage) -> None:
    told: list[str] = []
    case = Case(stage=stage, num_layers=1, replicas=2)
    found = training_benchmark(progress=told.append, cases=[case], num_rounds=1, seconds=0.0)
    (row,) = found["rows"]
    assert row.keys() >= PROMISED
    assert (row["stage"], row["num_layers"], row["replicas"]) == (stage, 1, 2)
    assert all(row[name] > 0 for name in ("ratio_to_plain_loop", "share_of_limit", "packed_seconds", "plain_seconds"))
    assert found["machine"].keys() >= {"cpu", "num_cores", "torch"}
    assert len(told) == 1


def test_training_benchmark_leaves_the_number_of_threads_as_it_was() -> None:
    before = torch.get_num_threads()
    training_benchmark(progress=print, cases=[], num_rounds=1, seconds=0.0)
    assert torch.get_num_threads() == before


def test_training_benchmark_without_transformers_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"transformers is not installed: .*uv sync"):
        training_benchmark(progress=print, cases=[Case(stage="donor", num_layers=1, replicas=1)])


def test_cases_cover_every_stage_at_all_depths_and_pack_sizes() -> None:
    found = {
        (case.stage, case.num_layers, case.replicas) for case in default_cases("cpu") if case.precision == "float32"
    }
    assert found == {(stage, depth, size) for stage in TRAINING_STAGES for depth in (2, 6, 12) for size in (5, 25)}


def test_operations_per_step_are_six_per_token_and_matrix_parameter() -> None:
    donor, mask, transfer = (pack(Case(stage=stage, num_layers=2, replicas=1))[0] for stage in TRAINING_STAGES)
    body, head = 2 * (128 * 384 + 128 * 128 + 128 * 512 + 512 * 128), 1001 * 128
    assert operations_per_step(donor) == operations_per_step(transfer) == 6 * 150 * (body + head)
    assert operations_per_step(mask) == 150 * (6 * body + 4 * head)
