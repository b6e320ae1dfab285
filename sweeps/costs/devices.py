"""The one table of devices, and workers on devices that are not at hand."""

import re
from dataclasses import dataclass
from math import inf

from sweeps.hosts.workers import Workers

CPU = "cpu"
"""The name of every CPU in the records of runs."""

MOST_SHARING = 4
"""Packs on one GPU at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A GPU by a part of its name, with its maker's figures: memory in GB, float32 operations and bytes a second."""

    name: str
    gigabytes: int
    operations: float
    memory_speed: float


_FIGURES = (
    ("GH200", 96, 67e12, 4.0e12),
    ("H200", 141, 67e12, 4.8e12),
    ("H100 PCIe", 80, 51e12, 2.0e12),
    ("H100", 80, 67e12, 3.35e12),
    ("A100", 40, 19.5e12, 2.0e12),
    ("L40S", 48, 91.6e12, 0.864e12),
    ("L4", 24, 30.3e12, 0.3e12),
    ("A10", 24, 31.2e12, 0.6e12),
    ("V100", 16, 15.7e12, 0.9e12),
    ("T4", 16, 8.1e12, 0.32e12),
    ("RTX 4090", 24, 82.6e12, 1.01e12),
    ("RTX 3090", 24, 35.6e12, 0.936e12),
)

CARDS = tuple(Card(name=name, gigabytes=size, operations=n, memory_speed=speed) for name, size, n, speed in _FIGURES)

NAMED_FOR_THEIR_HOST = frozenset({"GH200"})
"""Cards whose name has the size of the host's memory: a "GH200 480GB" has 96 GB on the card."""


def card_of(device: str) -> Card | None:
    """The card that a device's name contains as a word, in any case: an L40 is no L4, and a GH200 is no H200."""
    words = ((card, rf"(?<![a-z0-9]){re.escape(card.name)}(?!\d)") for card in CARDS)
    return next((card for card, pattern in words if re.search(pattern, device, re.IGNORECASE)), None)


def known_cards() -> str:
    """The cards that a forecast knows without a run on them, as text."""
    return ", ".join(card.name for card in CARDS)


def imagined_workers(name: str, *, num_devices: int) -> Workers:
    """One worker on each of so many devices of that name, `cpu` for cores.

    Of a card that is not in CARDS nothing is known but what packs of the store tell, and its memory is taken for
    unbounded, as is that of cores. A card is assumed to have as many cores as packs may share it.
    """
    if name == CPU:
        return Workers(device="cpu", num_workers=num_devices, num_cores=num_devices)
    return Workers(
        device="cuda",
        num_workers=num_devices,
        name=name,
        free_bytes=_bytes(name),
        num_cores=num_devices * MOST_SHARING,
    )


def _bytes(name: str) -> float:
    """The memory that a card's name tells, else that of the table."""
    card = card_of(name)
    if (size := re.search(r"(\d+) ?GB", name)) and (card is None or card.name not in NAMED_FOR_THEIR_HOST):
        return 1e9 * int(size[1])
    return inf if card is None else 1e9 * card.gigabytes
