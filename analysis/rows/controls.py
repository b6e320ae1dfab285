"""The order in which controls are listed: the method, then what it is compared with, then the as-released wiring."""

from collections.abc import Iterable

ORDER = (
    "subnetwork",
    "subnetwork_trainable",
    "full_transfer",
    "random_init",
    "random_subnetwork",
    "complement_subnetwork",
    "unmasked_only",
    "random_as_released",
    "complement_as_released",
)


def ordered(controls: Iterable[str]) -> list[str]:
    """The distinct controls in the order of listing; others come last, by name."""
    return sorted(set(controls), key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def label(control: str) -> str:
    """The control's name in running text."""
    return control.replace("_", " ")
