"""Workers on devices that are not at hand, to forecast what a grid would take there."""

import re
from math import inf

from sweeps.costs.cost_model import CPU, GPUS, MOST_SHARING, card_of
from sweeps.hosts.workers import Workers

GIGABYTES = {
    "GH200": 96,
    "H200": 141,
    "H100 PCIe": 80,
    "H100": 80,
    "A100": 40,
    "L40S": 48,
    "L4": 24,
    "A10": 24,
    "V100": 16,
    "T4": 16,
    "RTX 4090": 24,
    "RTX 3090": 24,
}
"""Makers' memory of the cards of GPUS; a size in a card's name goes before."""

NAMED_FOR_THEIR_HOST = frozenset({"GH200"})
"""Cards whose name has the size of the host's memory: a "GH200 480GB" has 96 GB on the card."""


def imagined_workers(name: str, *, num_devices: int) -> Workers:
    """One worker on each of so many devices of that name, `cpu` for cores.

    Of a card that is not in GPUS nothing is known but what packs of the store tell, and its memory is taken for
    unbounded, as is that of cores. A card is taken to have as many cores beside it as packs may share it.
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


def known_cards() -> str:
    """The cards that a forecast knows without a run on them, as text."""
    return ", ".join(GPUS)


def _bytes(name: str) -> float:
    card = card_of(name)
    if (told := re.search(r"(\d+) ?GB", name)) and card not in NAMED_FOR_THEIR_HOST:
        return 1e9 * int(told[1])
    return inf if card is None else 1e9 * GIGABYTES[card]
