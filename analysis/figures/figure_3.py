"""Figure 3: test accuracy against disambiguation samples, the mean over depths beside the deepest depth."""

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import accuracy
from analysis.figures.accuracy import Panel


def draw(
    table: pd.DataFrame,
    *,
    panels: list[tuple[str, str]],
    published: pd.DataFrame,
    source: str,
    title: str,
    chance: tuple[float, ...] = (),
) -> Figure:
    """One panel per (depths, title) of `panels`, from the rows of the figure's table and the published points.

    `published` has the columns of `rows.published.accuracies`, and no rows where nothing published is comparable.
    `title` stands over all panels; an empty one takes no room. `chance` is what constant answers get right.
    """
    drawn = [
        Panel(
            heading=heading,
            cells=table[table["depths"] == depths],
            points=published[published["depths"] == depths],
            chance=chance,
        )
        for depths, heading in panels
    ]
    return accuracy.draw(drawn, names=table["control"], source=source, title=title)
