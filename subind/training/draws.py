"""Named streams of random numbers: the only source of randomness of the method.

A stream is a torch.Generator seeded by a hash of its name and of the seed of one replica's own spec, so that a replica
draws the same numbers whatever it is packed with, and no two purposes share a stream.
"""

import hashlib
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from subind.kernels import compiled as kernels

Stream = Literal[
    "donor/initial",
    "donor/train",
    "donor/validation",
    "donor/order",
    "donor/dropout",
    "mask/train",
    "mask/validation",
    "mask/order",
    "mask/tuning",
    "transfer/initial",
    "transfer/control",
    "transfer/ambiguous",
    "transfer/disambiguation",
    "transfer/validation",
    "transfer/test",
    "transfer/order",
    "transfer/dropout",
    "donor/augmentation",
    "transfer/augmentation",
    "donor/head",
]


def generator(stream: Stream, seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of a named stream. Data, order and fresh weights are drawn on the CPU, alike for every device."""
    digest = hashlib.sha256(f"{stream}/{seed}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def epoch_generator(stream: Stream, seed: int, epoch: int) -> torch.Generator:
    """The generator of one epoch of a named stream, on the CPU: what it draws hangs on nothing before that epoch."""
    digest = hashlib.sha256(f"{stream}/{seed}/epoch {epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@runtime_checkable
class DrawStream(Protocol):
    """What one replica draws, step after step, by the numbers of its `generator`."""

    generator: torch.Generator

    def state(self) -> Tensor:
        """Where the stream is, as integers on the CPU."""
        ...

    def restore(self, state: Tensor) -> None:
        """Go on from what `state` gave."""
        ...


@runtime_checkable
class DropoutStream(DrawStream, Protocol):
    """The dropout of one replica."""

    def fill(self, out: Float[Tensor, " element"], rate: float) -> None:
        """Fill with 1/(1 - rate) where the next number of the stream, in 0 … 1, is at least `rate`, else with zero."""
        ...


def dropout_stream(stream: Stream, seed: int, device: torch.device | str) -> DropoutStream:
    """The dropout of a named stream on a device: on a CPU the very numbers of torch.rand, several times faster."""
    made = generator(stream, seed, device)
    return _CompiledStream(made) if made.device.type == "cpu" else _DeviceStream(made)


class UniformStream:
    """Numbers uniform on 0 … 1, on the device of the generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def fill_uniform(self, out: Float[Tensor, "*element"]) -> None:
        """Fill with the next numbers of the stream."""
        torch.rand(out.shape, generator=self.generator, out=out)

    def state(self) -> Tensor:
        return self.generator.get_state()

    def restore(self, state: Tensor) -> None:
        self.generator.set_state(state)


class _DeviceStream(UniformStream):
    def fill(self, out: Float[Tensor, " element"], rate: float) -> None:
        self.fill_uniform(out)
        out.ge_(rate).mul_(1 / (1 - rate))


class _CompiledStream:
    """The generator gives the seed and is not drawn from."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self._words = np.empty(kernels.NUM_WORDS, np.uint32)
        self._place = kernels.NUM_WORDS
        kernels.twister_seeded(np.uint64(generator.initial_seed()), self._words)

    def fill(self, out: Float[Tensor, " element"], rate: float) -> None:
        limits = np.float32(rate), np.float32(1 / (1 - rate))
        self._place = kernels.dropout_factors(self._words, self._place, *limits, out.numpy())

    def state(self) -> Tensor:
        return torch.from_numpy(np.append(self._words, np.uint32(self._place)).astype(np.int64))

    def restore(self, state: Tensor) -> None:
        """Raises ValueError if it is no state of such a stream: compiled code reads and writes at its place."""
        if state.dtype != torch.int64 or state.shape != (kernels.NUM_WORDS + 1,):
            raise ValueError(f"{state.dtype} {tuple(state.shape)} is no state of a stream of numbers on a CPU")
        *words, place = state.tolist()
        if not 0 <= place <= kernels.NUM_WORDS or not all(0 <= word < 2**32 for word in words):
            raise ValueError("the state of a stream of numbers has a word or place out of range")
        self._words, self._place = np.array(words, np.uint32), place
