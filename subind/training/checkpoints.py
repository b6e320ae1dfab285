"""What a checkpoint holds besides the specs of its pack: a state in JSON, and tensors with one row per replica.

A checkpoint names its format and its kind of device, for a CUDA generator's state is not a CPU's. One of another
format or device, or with other tensors than the pack has, is refused before anything is restored.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

FORMAT = 1
"""To be raised whenever what a checkpoint holds changes its meaning."""


@dataclass(slots=True, kw_only=True)
class History:
    """What a replica has behind it. The rest of its training depends on all of this, so all is in a checkpoint."""

    curves: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    failure: str = ""
    is_stopped: bool = False

    def data(self) -> dict[str, Any]:
        """The history as JSON data; what a subclass adds is left out."""
        return {name: getattr(self, name) for name in _FIELDS}

    def take(self, data: Mapping[str, Any]) -> None:
        """Have the history that `data` gave."""
        for name in _FIELDS:
            setattr(self, name, data[name])


_FIELDS = tuple(each.name for each in fields(History))


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The epoch under way, the steps done in it, and the history of every replica."""

    epoch: int
    step: int
    histories: Sequence[History]

    def text(self, device: str) -> str:
        """The state as JSON, for a checkpoint that was made on the device."""
        of = {"format": FORMAT, "device": kind(device), "epoch": self.epoch, "step": self.step}
        return json.dumps({**of, "histories": [each.data() for each in self.histories]})


def kind(device: str) -> str:
    """The kind of a device: "cuda:1" is of the kind "cuda"."""
    return device.partition(":")[0]


def state_from(text: str, *, device: str, num_epochs: int, num_steps: int) -> State:
    """The state that `State.text` gave, for a pack on the device with this many epochs and steps.

    Raises ValueError if it is of another device or format, or is no such state.
    """
    try:
        data = json.loads(text)
    except ValueError:
        raise ValueError("its state is no JSON") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format", "none") if isinstance(data, dict) else "none"
        raise ValueError(f"its format is {str(found)[:20]}, and this code reads format {FORMAT}")
    if data.get("device") != kind(device):
        raise ValueError(f"it was made on {str(data.get('device'))[:20]}, and this worker trains on {kind(device)}")
    epoch, step, histories = data.get("epoch"), data.get("step"), data.get("histories")
    if type(epoch) is not int or not 1 <= epoch <= num_epochs:
        raise ValueError(f"its epoch is {str(epoch)[:20]} of {num_epochs}")
    if type(step) is not int or not 0 <= step <= num_steps:
        raise ValueError(f"its step is {str(step)[:20]} of {num_steps}")
    if not isinstance(histories, list):
        raise ValueError("it has no histories of its replicas")
    return State(epoch=epoch, step=step, histories=[_history(each) for each in histories])


def rows(
    tensors: Mapping[str, Tensor], *, like: Mapping[str, Tensor], num_saved: int, places: Sequence[int]
) -> dict[str, Tensor]:
    """The rows of a checkpoint's tensors, which have one for each of `num_saved` replicas, at the given places.

    Raises ValueError unless the tensors have the names, types and shapes of `like`, whose rows are other replicas.
    """
    if difference := sorted(tensors.keys() ^ like.keys()):
        raise ValueError(f"its tensors are not this pack's: {', '.join(difference[:3])} is absent or unknown")
    for name, own in like.items():
        found, wanted = tensors[name], (num_saved, *own.shape[1:])
        if tuple(found.shape) != wanted or found.dtype != own.dtype:
            raise ValueError(f"its {name} is {found.dtype} {tuple(found.shape)}, not {own.dtype} {wanted}")
    if not all(0 <= place < num_saved for place in places):
        raise ValueError(f"it holds {num_saved} replicas, and number {max(places)} is wanted")
    return {name: tensor[list(places)] for name, tensor in tensors.items()}


def _history(data: Any) -> History:
    if not isinstance(data, dict) or data.keys() != set(_FIELDS):
        raise ValueError(f"a replica's history lacks one of the fields {', '.join(_FIELDS)}")
    has_types = (type(data["best_epoch"]), type(data["failure"]), type(data["is_stopped"])) == (int, str, bool)
    if not has_types or not _are_curves(data["curves"]):
        raise ValueError("a replica's history has values of other types than it declares")
    made = History()
    made.take(data)
    return made


def _are_curves(curves: Any) -> bool:
    """Curves may hold what is not finite: those of a replica that has failed do."""
    if not isinstance(curves, dict) or not all(isinstance(each, list) for each in curves.values()):
        return False
    return all(type(value) in (int, float) for each in curves.values() for value in each)
