"""Random numbers by named streams and counters: the only source of randomness of the method.

A number is a function of a key and a counter and of nothing that was drawn before: no state is kept, so a run resumes
at any step. Two kinds of draws share the keys:

- `generator`: rows, orders and fresh weights, drawn on the CPU by a fresh torch.Generator, alike for every device.
- `Draws`: what the replicas of a pack draw in a training step, on its device, by Philox4x32-10 (Salmon et al. 2011,
  "Parallel random numbers: as easy as 1, 2, 3"). A block of four words has the counter (block, call, lower half of the
  step, upper half of the step). Compiled for CPUs; elsewhere the same integer arithmetic in torch, so the same numbers.
"""

import hashlib
import json
from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from jaxtyping import Float, Int, UInt64
from torch import Tensor

from subind.kernels import compiled as kernels

PURPOSES: dict[str, str] = {
    "rows": "the rows to train on; in a measurement, the rows to measure on",
    "validation": "the rows that decide which epoch is kept",
    "test": "the rows of the final evaluation",
    "tuning": "the rows on which a choice between settings is made",
    "second_rows": "the training rows of a second task in the loss",
    "initial": "fresh weights of a network, or fresh mask logits",
    "head": "fresh weights of a head that replaces another",
    "start": "the random choices of a start, such as a random mask",
    "teacher": "the weights of a teacher that a task draws",
    "order": "the order of the rows in an epoch",
    "second_order": "the order of the rows of a second task in an epoch",
    "dropout": "the dropout of a training step",
    "noise": "the noise of the masks that a step samples",
    "augmentation": "the crops and mirror images of a training step",
    "second_augmentation": "the crops and mirror images of a second task's rows",
}
"""What a stream is for, in words."""

_ROWS = ("rows", "validation", "test", "tuning", "second_rows", "teacher")
_TRAINING = ("order", "second_order", "dropout", "augmentation", "second_augmentation")

STREAMS: dict[str, tuple[str, ...]] = {
    "donor": (*_ROWS, "initial", "head", *_TRAINING),
    "mask": (*_ROWS, "initial", "noise", *_TRAINING),
    "transfer": (*_ROWS, "initial", "head", "start", *_TRAINING),
    "measurement": (*_ROWS, "initial", "head", "start", "order", "dropout", "augmentation"),
}
"""The streams of every stage: a stream is named stage/purpose, such as donor/order."""

_WORD = 0xFFFFFFFF


def key(stream: str, seed: int, *parts: str | int) -> int:
    """The 64-bit key of a stream, a seed and further parts, such as an epoch or the name of a set of rows."""
    stage, _, purpose = stream.partition("/")
    assert purpose in STREAMS.get(stage, ()), f"no stream is named {stream!r}"
    text = json.dumps([stream, seed, *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def generator(stream: str, seed: int, *parts: str | int) -> torch.Generator:
    """A fresh generator on the CPU, seeded by the key. Torch's generator for CPUs uses the lower 32 bits of it."""
    return torch.Generator().manual_seed(key(stream, seed, *parts))


class Draws:
    """What the replicas of a pack draw in a training step; row r depends on the seed of replica r, step and call alone.

    Begin every step with `at`. Calls are counted within a step, so the numbers depend on the order of the calls. A CUDA
    graph that captured a step replays it with the numbers of the step that `at` set last.
    """

    def __init__(self, stream: str, seeds: Sequence[int], device: str) -> None:
        self._keys = np.array([key(stream, seed) for seed in seeds], np.uint64)
        self._device = torch.device(device)
        self._device_keys = _on_device(self._keys, self._device)
        self._device_step = torch.zeros((), dtype=torch.int64, device=self._device)
        self._step: int | None = None
        self._num_calls = 0

    def __len__(self) -> int:
        return len(self._keys)

    def select(self, index: Sequence[int]) -> None:
        """Keep the replicas at these places, in this order."""
        self._keys = self._keys[list(index)]
        self._device_keys = _on_device(self._keys, self._device)

    def at(self, step: int) -> None:
        """Go to a step, counted from 0, and to its first call."""
        assert 0 <= step < 2**63, f"step {step} is out of range"
        self._step, self._num_calls = step, 0
        self._device_step.fill_(step)

    def uniform(self, num: int) -> Float[Tensor, "replica num"]:
        """Numbers uniform on [0, 1): multiples of 2⁻²⁴."""
        step, call = self._next_call()
        if self._device.type == "cpu":
            return compiled_uniform(self._keys, step, call, num)
        return device_uniform(self._device_keys, self._device_step, call, num)

    def dropout(self, num_elements: int, rate: float) -> Float[Tensor, "replica element"]:
        """Zero with probability `rate`, rounded up to a multiple of 2⁻²⁴, and 1/(1 - rate) elsewhere."""
        assert 0 <= rate < 1, f"dropout of {rate}"
        step, call = self._next_call()
        if self._device.type == "cpu":
            return compiled_dropout(self._keys, step, call, num_elements, rate=rate)
        return device_dropout(self._device_keys, self._device_step, call, num_elements, rate=rate)

    def seeds(self) -> list[int]:
        """A seed of 63 bits for each replica, for modules that draw from torch's own generator."""
        step, call = self._next_call()
        seeds, words = [], np.empty(kernels.WORDS, np.uint32)
        for each in self._keys:
            kernels.philox_words(each, np.uint64(step), np.uint64(call), np.uint64(0), words)
            seeds.append((int(words[1]) << 32 | int(words[0])) >> 1)
        return seeds

    def _next_call(self) -> tuple[int, int]:
        assert self._step is not None, "no step is set"
        self._num_calls += 1
        return self._step, self._num_calls - 1


def compiled_uniform(
    keys: UInt64[np.ndarray, " replica"], step: int, call: int, num: int
) -> Float[Tensor, "replica num"]:
    """`Draws.uniform` by the compiled kernel."""
    out = torch.empty(len(keys), num)
    kernels.philox_uniform(keys, np.uint64(step), np.uint64(call), out.numpy())
    return out


def compiled_dropout(
    keys: UInt64[np.ndarray, " replica"], step: int, call: int, num: int, *, rate: float
) -> Float[Tensor, "replica num"]:
    """`Draws.dropout` by the compiled kernel."""
    out = torch.empty(len(keys), num)
    limit, scale = np.uint32(_limit(rate)), np.float32(1 / (1 - rate))
    kernels.philox_dropout(keys, np.uint64(step), np.uint64(call), limit, scale, out.numpy())
    return out


def device_uniform(
    keys: Int[Tensor, " replica"], step: Int[Tensor, ""], call: int, num: int
) -> Float[Tensor, "replica num"]:
    """`Draws.uniform` in operations of torch, on any device."""
    return (device_words(keys, step, call, num) >> 8).float() * 2.0**-24


def device_dropout(
    keys: Int[Tensor, " replica"], step: Int[Tensor, ""], call: int, num: int, *, rate: float
) -> Float[Tensor, "replica num"]:
    """`Draws.dropout` in operations of torch, on any device."""
    kept = (device_words(keys, step, call, num) >> 8) >= _limit(rate)
    return kept.float() * (1 / (1 - rate))


def device_words(
    keys: Int[Tensor, " replica"], step: Int[Tensor, ""], call: int, num: int
) -> Int[Tensor, "replica num"]:
    """The first words of Philox4x32-10 of each key, as int64 of 32 bits. Keys and step hold the bits of a uint64.

    As in the compiled kernel, a word lies in the lower half and the upper half is ignored. Products wrap round and
    shifts keep the sign, which changes upper halves only.
    """
    rounds = torch.arange(kernels.ROUNDS, device=keys.device).view(-1, 1, 1)
    keys_0 = keys.unsqueeze(1) + rounds * int(kernels.STEP_0)
    keys_1 = (keys.unsqueeze(1) >> 32) + rounds * int(kernels.STEP_1)
    a, b = torch.arange(-(-num // 4), device=keys.device), torch.full_like(step, call)
    c, d = step, step >> 32
    for key_0, key_1 in zip(keys_0, keys_1, strict=True):
        x, y = (a & _WORD) * int(kernels.FACTOR_0), (c & _WORD) * int(kernels.FACTOR_1)
        a, b, c, d = (y >> 32) ^ b ^ key_0, y, (x >> 32) ^ d ^ key_1, x
    return torch.stack((a, b, c, d), dim=2).flatten(1)[:, :num] & _WORD


def _on_device(keys: UInt64[np.ndarray, " replica"], device: torch.device) -> Int[Tensor, " replica"]:
    return torch.from_numpy(keys.view(np.int64)).to(device)


def _limit(rate: float) -> int:
    """The smallest integer n with n·2⁻²⁴ ≥ rate."""
    return ceil(rate * 2**24)
