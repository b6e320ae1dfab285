"""The training step as CUDA graphs: thousands of small kernels are launched as one."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

NUM_EAGER_STEPS = 3
"""Steps of a batch size before it is captured: libraries and the optimiser set themselves up in them."""

Step = Callable[[Tensor], Tensor]
"""One optimiser step on the rows (replica, batch) of each replica's training set; the terms of the loss before it
(term, replica)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    rows: Int[Tensor, "replica batch"]
    losses: Float[Tensor, "term replica"]

    def replay(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, "term replica"]:
        self.rows.copy_(rows)
        self.graph.replay()
        return self.losses


class GraphedStep:
    """A step that is captured once per batch size and replayed from then on.

    The step may do nothing on the host that a later step needs, and keeps its tensors in place; the losses it returns
    are overwritten by the next step. Draws are a function of a step that stands on the device, so a replayed graph
    draws what the step would without one. Where capture fails, the steps go on without graphs, and the log says why.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._num_eager = Counter[int]()
        self._captured: dict[int, _Captured] = {}
        self._gives_up = False

    def __call__(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, "term replica"]:
        size = rows.shape[1]
        if size not in self._captured and self._is_due(size):
            self._try_capture(rows)
        if size in self._captured:
            return self._captured[size].replay(rows)
        self._num_eager[size] += 1
        return self._on_a_side_stream(rows)

    def _is_due(self, size: int) -> bool:
        return not self._gives_up and self._num_eager[size] >= NUM_EAGER_STEPS

    def _try_capture(self, rows: Int[Tensor, "replica batch"]) -> None:
        try:
            self._captured[rows.shape[1]] = self._capture(rows)
        except RuntimeError as error:
            self._gives_up = True
            torch.cuda.synchronize(rows.device)
            _log.warning("no CUDA graph of the training step, which is slower for it: %s", error)

    def _capture(self, rows: Int[Tensor, "replica batch"]) -> _Captured:
        held, graph = rows.clone(), torch.cuda.CUDAGraph()
        torch.cuda.synchronize(rows.device)
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            losses = self._step(held)
        return _Captured(graph, held, losses)

    def _on_a_side_stream(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, "term replica"]:
        """As a capture runs, so that what is set up on first use is set up there."""
        here, side = torch.cuda.current_stream(rows.device), torch.cuda.Stream(rows.device)
        side.wait_stream(here)
        with torch.cuda.stream(side):
            losses = self._step(rows)
        here.wait_stream(side)
        return losses
