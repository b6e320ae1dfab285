"""The grid benchmark: its cells, and a whole round of it through the real service."""

import pytest

from benchmarks.grid import SEEDS_OF_ROUNDS, cells, grid_benchmark
from subind.specs.runs import steps_per_epoch
from sweeps.planning.plan import with_parents

PROMISED = {"forecast_seconds", "measured_seconds", "ratio", "gain_of_packing", "basis"}


def test_cells_are_a_few_dozen_of_several_lengths_at_two_depths() -> None:
    found = cells(seeds=(0, 1))
    assert len(set(found)) == 48
    assert {cell.network.columns()["num_layers"] for cell in found} == {1, 2}
    assert len({steps_per_epoch(cell) for cell in found}) == 3


def test_rounds_share_no_run() -> None:
    first, second = (with_parents(cells(seeds=seeds)).keys() for seeds in SEEDS_OF_ROUNDS)
    assert first.isdisjoint(second)


@pytest.mark.slow
def test_grid_benchmark_forecasts_and_measures_both_rounds() -> None:
    told: list[str] = []
    rounds = grid_benchmark(progress=told.append, device="cpu", num_epochs=2)["rounds"]
    assert [each["basis"] for each in rounds] == ["calibrated", "measured"]
    for each in rounds:
        assert each.keys() >= PROMISED
        assert each["ratio"] == each["measured_seconds"] / each["forecast_seconds"] > 0
        assert each["gain_of_packing"] >= 1
    assert len(told) == 2
