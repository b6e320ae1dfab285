"""The order in which controls are listed: the method, then what it is compared with, then the as-released wiring."""

from subind.store.controls import COLORS, ordered

__all__ = ["ORDER", "label", "ordered"]

ORDER = tuple(COLORS)


def label(control: str) -> str:
    """The control's name in running text."""
    return control.replace("_", " ")
