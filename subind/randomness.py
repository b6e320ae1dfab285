"""Named streams of random numbers: the only source of randomness of the method.

A stream is a torch.Generator seeded by a hash of its name and of the seed of one replica's own spec, so that a replica
draws the same numbers whatever it is packed with, and no two purposes share a stream.
"""

import hashlib
from typing import Literal

import torch

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
