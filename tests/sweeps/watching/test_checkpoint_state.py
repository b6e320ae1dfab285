"""How far a checkpoint is, read from its file without its tensors."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

from subind.store.store import Checkpoint, Store
from sweeps.watching.checkpoint_state import STATE, CheckpointState, checkpoint_state


def _content(state: object) -> bytes:
    """A checkpoint as a worker writes it: tensors, and the JSON state as bytes."""
    text = torch.frombuffer(bytearray(json.dumps(state).encode()), dtype=torch.uint8)
    return save({"trainable.a": torch.zeros(3, 5), STATE: text, "zeros": torch.zeros(7)})


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    return Store(str(folder) if request.param == "local" else f"memory://{folder.name}")


def _saved(store: Store, content: bytes) -> CheckpointState:
    store.save_checkpoint(Checkpoint(pack="donor-1", runs=("a",)), content)
    return checkpoint_state(store, "donor-1")


def test_checkpoint_tells_epoch_step_size_and_age(store: Store) -> None:
    content = _content({"epoch": 4, "step": 17, "histories": [{"curves": {"epoch": [1.0, 2.0]}}]})
    found = _saved(store, content)
    assert replace(found, seconds_old=0.0) == CheckpointState(
        pack="donor-1", num_bytes=len(content), seconds_old=0.0, epoch=4, step=17
    )
    assert 0 <= found.seconds_old < 60


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        (5).to_bytes(8, "little") + b"{nope",
        (2).to_bytes(8, "little") + b"{}",
        save({STATE: torch.zeros(0, dtype=torch.uint8)}),
        _content(["no", "mapping"]),
        _content({"epoch": 1}),
    ],
)
def test_checkpoint_that_is_damaged_tells_no_epoch(store: Store, content: bytes) -> None:
    found = _saved(store, content)
    assert (found.epoch, found.step, found.num_bytes) == (None, None, len(content))


def test_checkpoint_that_is_not_there_raises_an_error(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint_state(store, "donor-1")
