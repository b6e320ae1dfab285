"""Numbers below float32's normal range are zero while a pack is computed, and as they were afterwards."""

import pytest
import torch

from subind.stages.run import tiny_numbers_are_zero


def tiny() -> float:
    return float(torch.tensor(1e-30) * torch.tensor(1e-12))


@pytest.mark.parametrize("before", [False, True])
def test_tiny_numbers_are_zero_within_and_as_before_after_it(before: bool) -> None:
    torch.set_flush_denormal(before)
    try:
        outside = tiny()
        with tiny_numbers_are_zero():
            assert tiny() == 0
        assert tiny() == outside
        assert (outside == 0) == before
    finally:
        torch.set_flush_denormal(False)
