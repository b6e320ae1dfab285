"""The controls in the order of tables and pictures, each with its colour.

Colours are those of Okabe and Ito, with the yellow darkened and a grey added; controls beyond the nine take the rest of
Paul Tol's "muted" set.
"""

from collections.abc import Iterable

REFERENCE = "subnetwork"
"""The control that all others are compared with."""

COLORS = {
    REFERENCE: "#0072B2",
    "subnetwork_trainable": "#56B4E9",
    "full_transfer": "#000000",
    "random_init": "#8C8C8C",
    "random_subnetwork": "#D55E00",
    "complement_subnetwork": "#009E73",
    "unmasked_only": "#CC79A7",
    "random_as_released": "#E69F00",
    "complement_as_released": "#A89F00",
}
"""The method, then what it is compared with, then the as-released wiring."""

OTHER_COLORS = ("#882255", "#332288", "#117733", "#AA4499")


def ordered(names: Iterable[str]) -> list[str]:
    """The distinct controls in the order of listing; others come last, by name."""
    places = {name: place for place, name in enumerate(COLORS)}
    return sorted(set(names), key=lambda name: (places.get(name, len(places)), name))


def colors(names: Iterable[str]) -> dict[str, str]:
    """The colour of each control; those of COLORS keep theirs whatever else is drawn."""
    found = ordered(names)
    others = [name for name in found if name not in COLORS]
    spare = {name: OTHER_COLORS[place % len(OTHER_COLORS)] for place, name in enumerate(others)}
    return {name: COLORS.get(name) or spare[name] for name in found}
