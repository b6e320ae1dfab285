"""Other rules, other subtasks and whatever else varies, side by side; the numbers are those of figure 3."""

from functools import partial

from analysis.elements.section import Content, Picture, Results, Section
from analysis.figures import accuracy
from analysis.rows import chance, published, settings
from analysis.rows.load import transfers
from analysis.rows.wording import listed
from analysis.sections import figure_3


def content(results: Results) -> Content | None:
    """One picture; nothing where nothing varies."""
    varied = settings.varying(transfers(results.arithmetic))
    if not varied:
        return None
    cells, panels = figure_3.cells(results), []
    for each in results.settings:
        own, beside = each.part(cells), figure_3.points(each)
        for depths, heading in figure_3.panels(own)[:1]:
            panel = accuracy.Panel(
                heading=f"{each.title}\n{heading}",
                cells=own[own["depths"] == depths],
                points=beside[beside["depths"] == depths],
                chance=chance.levels(each.rows),
            )
            panels.append(panel)
    picture = Picture(
        name="settings",
        draw=partial(accuracy.draw, panels, names=cells["control"], source=published.SOURCE, title=""),
        title=f"What varies: {listed([settings.words(name) for name in varied])}",
        description="A panel per combination of settings, a line per control; the numbers are in figure 3's table.",
    )
    return Content(pictures=[picture])


SECTION = Section(
    name="settings", title="Other rules, subtasks and settings", place=150, of="arithmetic", content=content
)
