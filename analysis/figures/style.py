"""One look for every figure: a colour and a marker per control, told apart by colour-blind readers and in grey."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from textwrap import fill

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from analysis.rows import controls
from subind.store.controls import COLORS, OTHER_COLORS, REFERENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a control is drawn."""

    color: str
    marker: str
    linewidth: float = 1.4
    zorder: float = 3


_SHAPES = ("o", "D", "s", "X", "^", ">", "P", "v", "<")
STYLES = {
    name: Style(color=color, marker=marker) for (name, color), marker in zip(COLORS.items(), _SHAPES, strict=True)
} | {REFERENCE: Style(color=COLORS[REFERENCE], marker="o", linewidth=2.4, zorder=5)}
CHARACTERS_PER_INCH = 11
"""Of a bold title, rounded down."""

OTHERS = tuple(Style(color=color, marker=marker) for color, marker in zip(OTHER_COLORS, "hp*d", strict=True))


def look() -> AbstractContextManager[None]:
    """The settings under which every figure is drawn. Names come from data, so no text is read as mathematics."""
    return rc_context(
        {
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "text.parse_math": False,
            "svg.fonttype": "path",
        }
    )


def styles(names: list[str]) -> dict[str, Style]:
    """A style for each control; the nine keep theirs whatever else is drawn."""
    others = [name for name in names if name not in STYLES]
    spare = {name: OTHERS[index % len(OTHERS)] for index, name in enumerate(others)}
    return {name: STYLES.get(name) or spare[name] for name in names}


def swatch(style: Style, *, with_marker: bool = True) -> Line2D:
    """A control's entry in a legend."""
    marker = style.marker if with_marker else "none"
    return Line2D([], [], color=style.color, marker=marker, linewidth=style.linewidth, markersize=5)


def count(fewest: int, most: int) -> str:
    """The number of runs behind the points of a line: one number or a range."""
    return f"n = {most}" if fewest == most else f"n = {fewest} to {most}"


def legend_label(control: str, fewest: int, most: int) -> str:
    """A control's name with its number of runs."""
    return f"{controls.label(control)} ({count(fewest, most)})"


def headline(figure: Figure, title: str) -> None:
    """A bold title over all panels, broken into lines that fit the figure's width."""
    width = int(figure.get_figwidth() * CHARACTERS_PER_INCH)
    figure.suptitle(fill(title, width), fontsize=10, fontweight="bold")


def grid(axes: Axes) -> None:
    """Faint horizontal lines behind the data."""
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5)


DOTS = (0, (1, 2))
"""The dashes of a line at chance."""


def draw_chance(axes: Axes, levels: Sequence[float], *, size: float = 7.0) -> None:
    """A dotted line at each chance level, with the level in words at its left end."""
    for level in levels:
        axes.axhline(level, color="#555555", linewidth=0.9, linestyle=DOTS, zorder=1)
        place = blended_transform_factory(axes.transAxes, axes.transData)
        axes.text(0.01, level, f"chance {level:.3g}", transform=place, fontsize=size, color="#555555", va="bottom")


SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8C8C8C", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<")
"""Colours and markers of what is no control: depths, readings, parts. They repeat beyond eight."""


def series(place: int) -> Style:
    """The style of the place-th line of a figure whose lines are no controls."""
    return Style(color=SERIES[place % len(SERIES)], marker=MARKERS[place % len(MARKERS)])


def nothing(figure: Figure, text: str) -> None:
    """Say in the middle of a figure why it shows nothing."""
    figure.text(0.5, 0.5, text, ha="center", va="center", color="#555555")
