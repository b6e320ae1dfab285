"""What all tests share: tensor axes checked in subind, a deterministic torch, the reference folder."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

from tests import axes

REPOSITORY = Path(__file__).resolve().parent.parent

OF_STARTS = tuple(f"starts.{name}" for name in ("recipient", "subnetworks", "whole"))
CHECKED = ("kernels.functions", "kernels.products", "masks", "networks", "stages", *OF_STARTS, "tasks", "training")
"""Rooms and modules with tensors. The others, specs among them, refuse wrong types themselves, and Numba compiles the
kernels as is."""

install_import_hook([f"subind.{name}" for name in CHECKED], f"{axes.__name__}.{axes.axes_checked.__name__}")

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def pytest_configure() -> None:
    """Set torch up before any test module is imported, and let Ctrl-C reach the commands that tests start.

    What a shell starts in the background ignores SIGINT, and so does all that it starts in its turn.
    """
    import torch

    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
    torch.use_deterministic_algorithms(True)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; a test that needs it is skipped where there is none."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the reference data stand in a folder 'shared' beside the repository, and there is none")
    return folder


@pytest.fixture
def heard_signals() -> Iterator[None]:
    """Lets SIGHUP and SIGTERM reach this process and the commands that it starts, also under nohup."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
