"""The tests of the method: their networks are so small that one thread computes them fastest."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
