"""Named streams of random numbers: the only source of randomness of the method.

A stream is a torch.Generator seeded by a hash of its name and of the seed of one replica's own spec, so that a replica
draws the same numbers whatever it is packed with, and no two purposes share a stream.
"""

import hashlib
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from subind import kernels

Stream = Literal[
    "donor/initial",
    "donor/train",
    "donor/validation",
    "donor/order",
    "donor/dropout",
    "mask/train",
    "mask/validation",
    "mask/order",
    "transfer/initial",
    "transfer/control",
    "transfer/ambiguous",
    "transfer/disambiguation",
    "transfer/validation",
    "transfer/test",
    "transfer/order",
    "transfer/dropout",
]


def generator(stream: Stream, seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of a named stream. Data, order and fresh weights are drawn on the CPU, alike for every device."""
    digest = hashlib.sha256(f"{stream}/{seed}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class DropoutStream:
    """The dropout of one replica: on a CPU the very numbers of its torch.Generator, several times faster."""

    def __init__(self, stream: Stream, seed: int, device: torch.device | str) -> None:
        self.generator = generator(stream, seed, device)
        self._words = np.empty(kernels.NUM_WORDS, np.uint32)
        self._place = kernels.NUM_WORDS
        kernels.twister_seeded(np.uint64(self.generator.initial_seed()), self._words)

    def fill(self, out: Float[Tensor, " element"], rate: float) -> None:
        """Fill with 1/(1 - rate) where the next number of the stream is at least `rate`, and zero elsewhere."""
        if out.device.type == "cpu":
            limits = np.float32(rate), np.float32(1 / (1 - rate))
            self._place = kernels.dropout_factors(self._words, self._place, *limits, out.numpy())
        else:
            torch.rand(out.shape, generator=self.generator, out=out)
            out.ge_(rate).mul_(1 / (1 - rate))

    def state(self) -> Tensor:
        """Where the stream is, on the CPU."""
        if self.generator.device.type != "cpu":
            return self.generator.get_state()
        return torch.from_numpy(np.append(self._words, np.uint32(self._place)).astype(np.int64))

    def restore(self, state: Tensor) -> None:
        """Go on from what `state` gave."""
        if self.generator.device.type != "cpu":
            self.generator.set_state(state)
            return
        *words, place = state.tolist()
        self._words, self._place = np.array(words, np.uint32), int(place)
