"""Batches of photographs for a pack: cut from caches in threads during the step, and put where the step reads them.

The crop of an image depends only on the replica's seed, the epoch and the row. So batches may be made ahead, in any
order, and a checkpoint needs no state of it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from subind.tasks.photographs.image_crops import Draws, random_draws
from subind.tasks.photographs.stored_images import StoredImages, write_squares
from subind.training.draws import generator

AHEAD = 4
"""Batches of the pack that are made ahead; with these the memory for them is bounded."""

NUM_THREADS = 4
"""That make them. A core cuts some two thousand squares of 224 pixels a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Squares and classes of the rows of one step, of every replica."""

    rows: Int[Tensor, "replica batch"]
    squares: UInt8[Tensor, "replica batch row column channel"]
    labels: Int[Tensor, "replica batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A replica's training images, its seed, and the stream of its crops; without one squares are the middles."""

    images: StoredImages
    seed: int
    stream: str | None

    def draws(self, epoch: int) -> Draws | None:
        """The numbers of all squares of an epoch."""
        if self.stream is None:
            return None
        return random_draws(len(self.images.labels), generator(self.stream, self.seed, epoch))


class Feed:
    """The batches of one pack. A step's rows are loaded before it, outside of what a CUDA graph captures."""

    def __init__(self, device: str) -> None:
        self._device, self._is_gpu = device, device.startswith("cuda")
        self._threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="photographs")
        self._of: list[tuple[StoredImages, Draws | None]] = []
        self._coming: Iterator[Tensor] = iter(())
        self._waiting: deque[Future[Batch]] = deque()
        self._placed: dict[torch.Size, Batch] = {}

    def expect(self, sources: Sequence[Source], epoch: int, batches: Iterable[Int[Tensor, "replica _"]]) -> None:
        """Say what the replicas train on in an epoch, and the rows of its steps to come, on the CPU."""
        for each in self._waiting:
            each.cancel()
        self._waiting.clear()
        self._of = [(each.images, each.draws(epoch)) for each in sources]
        self._placed = {shape: each for shape, each in self._placed.items() if shape[0] == len(sources)}
        self._coming = iter(batches)
        for _ in range(AHEAD):
            self._make_next()

    def _make_next(self) -> None:
        rows = next(self._coming, None)
        if rows is not None:
            self._waiting.append(self._threads.submit(self._made, rows))

    def load(self, rows: Int[Tensor, "replica batch"]) -> None:
        """Bring the batch of these rows to the device, the next of those that were expected if any are left.

        Raises ValueError if a photograph is smaller than a square.
        """
        if self._waiting:
            found = self._waiting.popleft().result()
            self._make_next()
        else:
            found = self._made(rows.cpu())
        assert found.rows.shape == rows.shape, "steps come in the order that was expected"
        self._place(found)

    def batch(
        self, rows: Int[Tensor, "replica batch"]
    ) -> tuple[UInt8[Tensor, "replica batch 3 row column"], Int[Tensor, "replica batch"]]:
        """What was loaded last of this number of rows, always at the same place in the device's memory."""
        found = self._placed[rows.shape]
        return found.squares.movedim(-1, -3), found.labels

    def _made(self, rows: Int[Tensor, "replica batch"]) -> Batch:
        """In memory from which a GPU copies while it computes, if there is one."""
        size = self._of[0][0].size
        squares = torch.empty((*rows.shape, size, size, 3), dtype=torch.uint8, pin_memory=self._is_gpu)
        labels = torch.empty(rows.shape, dtype=torch.int64, pin_memory=self._is_gpu)
        for replica, (images, draws) in enumerate(self._of):
            write_squares(squares[replica].numpy(), images, rows[replica].numpy(), draws)
            labels[replica] = images.labels[rows[replica]]
        return Batch(rows=rows, squares=squares, labels=labels)

    def _place(self, made: Batch) -> None:
        there = self._placed.get(made.rows.shape)
        if not self._is_gpu:
            self._placed[made.rows.shape] = made
        elif there is None:
            squares, labels = made.squares.to(self._device), made.labels.to(self._device)
            self._placed[made.rows.shape] = Batch(rows=made.rows, squares=squares, labels=labels)
        else:
            there.squares.copy_(made.squares, non_blocking=True)
            there.labels.copy_(made.labels, non_blocking=True)
