"""The one order in which starts are listed: donors, the method, what it is compared with, the as-released wiring."""

import re
from collections.abc import Iterable

from subind.store.controls import COLORS, REFERENCE

__all__ = ["ORDER", "REFERENCE", "label", "ordered"]

ORDER = tuple(COLORS)

DONORS = ("donor", "donor_trained_longer", "untrained_donor")
_PLACES = (*DONORS, *ORDER, "longer_donor", "new_head", "data_mixture")


def ordered(controls: Iterable[str]) -> list[str]:
    """The distinct controls, or starts in words, in the order of listing; others come last, by name."""
    return sorted(set(controls), key=_rank)


def _rank(start: str) -> tuple[int, bool, int, str]:
    """A start in words follows its control: what else tells it apart comes after."""
    plain = re.split(r", | of an untrained| \(held", start)[0].replace(" ", "_")
    place = _PLACES.index(plain) if plain in _PLACES else len(_PLACES)
    share = re.search(r"(\d+)%", start)
    return place, "untrained" in start, int(share[1]) if share else 0, start


def label(control: str) -> str:
    """The control's name in running text."""
    return control.replace("_", " ")
