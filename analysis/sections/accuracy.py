"""Sections of test accuracy: figure 3, depth by depth, frozen against trainable, other settings, data efficiency."""

from collections.abc import Iterator
from functools import partial

import pandas as pd

from analysis.figures import accuracy as accuracy_picture
from analysis.figures import efficiency as efficiency_picture
from analysis.figures import figure_3 as figure_3_picture
from analysis.figures import frozen as frozen_picture
from analysis.rows import chance, published, settings
from analysis.rows.load import transfers
from analysis.rows.settings import Combination
from analysis.rows.wording import listed
from analysis.sections.parts import Picture, Results, Section, Sheet, titled
from analysis.tables import efficiency, figure_3, frozen, per_depth


def sections(results: Results, cells: pd.DataFrame) -> Iterator[Section]:
    """All of them, in order; `cells` is the table of figure 3."""
    yield _figure_3(results, cells)
    yield _per_depth(results, cells)
    yield _frozen(results)
    yield _other_settings(results, cells)
    yield _efficiency(results)


def points(combination: Combination) -> pd.DataFrame:
    """The published points that may stand beside a combination."""
    found = published.accuracies()
    return found if published.is_comparable(combination.rows) else found.iloc[:0]


def _figure_3(results: Results, cells: pd.DataFrame) -> Section:
    pictures = [
        _figure_3_picture(each, cells, ending=ending)
        for each, ending in zip(results.combinations, results.endings(), strict=True)
    ]
    return Section(
        name="figure_3",
        title="Test accuracy against disambiguation samples",
        sentences=tuple(_seen(transfers(results.rows))),
        pictures=tuple(pictures),
        sheet=Sheet(numbers=cells, shown=figure_3.shown(cells), caption="The numbers of the figure."),
    )


def _seen(given: pd.DataFrame) -> list[str]:
    """How many test samples are training samples, by number of disambiguation samples; nothing where none is known."""
    known = given[given["seen_share"].notna()]
    shares = known.groupby("num_disambiguation")["seen_share"].mean()
    if shares.empty:
        return []
    each = [f"{share:.1%} at {num:,}" for num, share in shares.items()]
    samples = listed(each)
    return [f"Share of the test samples whose pair is a training sample too, by disambiguation samples: {samples}."]


def _figure_3_picture(combination: Combination, table: pd.DataFrame, *, ending: str) -> Picture:
    cells = combination.part(table)
    panels = figure_3.panels(cells)
    titles = listed([title for _, title in panels]) if panels else "no finished cell"
    return Picture(
        name=f"figure_3{ending}",
        draw=partial(
            figure_3_picture.draw,
            cells,
            panels=panels,
            published=points(combination),
            source=published.SOURCE,
            title=combination.title,
            chance=chance.levels(combination.rows),
        ),
        title=titled("Test accuracy against disambiguation samples", combination) + f": {titles}",
        description="One line per control with its interval. The numbers are those of the table below.",
    )


def _per_depth(results: Results, cells: pd.DataFrame) -> Section:
    found = per_depth.table(cells)
    several = found["num_layers"].nunique() > 1
    pictures = [
        _depths(each, found, ending=ending)
        for each, ending in zip(results.combinations, results.endings(), strict=True)
        if several
    ]
    alone = "One depth is planned: the figure above shows it."
    return Section(
        name="per_depth",
        title="Accuracy depth by depth",
        sentences=() if several else (alone,),
        pictures=tuple(pictures),
        sheet=Sheet(
            numbers=found,
            shown=per_depth.shown(found),
            caption="Mean test accuracy, with the number of finished runs (of those planned) and the published value.",
        ),
    )


def _depths(combination: Combination, found: pd.DataFrame, *, ending: str) -> Picture:
    cells = combination.part(found)
    beside = points(combination)
    panels = [
        accuracy_picture.Panel(
            heading=f"Depth {depth}",
            cells=cells[cells["num_layers"] == depth],
            points=beside[beside["depths"] == str(depth)],
            chance=chance.levels(combination.rows),
        )
        for depth in sorted(set(cells["num_layers"]))
    ]
    return Picture(
        name=f"per_depth{ending}",
        draw=partial(
            accuracy_picture.draw,
            panels,
            names=cells["control"],
            source=published.SOURCE,
            title=titled("Depth by depth", combination),
        ),
        title=titled("Accuracy depth by depth", combination),
        description="A panel per depth, a line per control; published curves are dashed.",
    )


def _frozen(results: Results) -> Section:
    found = frozen.table(results.rows)
    title = "Frozen against trainable subnetworks"
    pictures = [
        Picture(
            name=f"frozen{ending}",
            draw=partial(frozen_picture.draw, each.part(found), title=titled(title, each)),
            title=titled(title, each),
            description="Test accuracy of subnetwork trainable minus subnetwork, paired by seed; dashed is published.",
        )
        for each, ending in zip(results.combinations, results.endings(), strict=True)
    ]
    if found.empty:
        return Section(name="frozen", title=title, sentences=("These rows do not plan both for any cell.",))
    caption = (
        "Differences are paired by seed; neither their intervals nor p are corrected for their number. "
        "Published: figure 3 and the figure of appendix B.3, one run per depth."
    )
    sheet = Sheet(numbers=found, shown=frozen.shown(found), caption=caption)
    return Section(name="frozen", title=title, pictures=tuple(pictures), sheet=sheet)


def _other_settings(results: Results, cells: pd.DataFrame) -> Section:
    """Other rules, other subtasks and whatever else varies, side by side; its numbers are those of figure 3."""
    title = "Other rules, subtasks and settings"
    varied = settings.varying(transfers(results.rows))
    if not varied:
        return Section(
            name="settings", title=title, sentences=("These rows have one rule, one subtask and one setting.",)
        )
    panels = []
    for each in results.combinations:
        own = each.part(cells)
        scopes = figure_3.panels(own)
        if scopes:
            depths, heading = scopes[0]
            beside = points(each)
            panel = accuracy_picture.Panel(
                heading=f"{each.title}\n{heading}",
                cells=own[own["depths"] == depths],
                points=beside[beside["depths"] == depths],
                chance=chance.levels(each.rows),
            )
            panels.append(panel)
    picture = Picture(
        name="settings",
        draw=partial(accuracy_picture.draw, panels, names=cells["control"], source=published.SOURCE, title=""),
        title=f"What varies: {listed([settings.SETTINGS[name] for name in varied])}",
        description="A panel per combination of settings, a line per control; the numbers are in figure 3's table.",
    )
    return Section(name="settings", title=title, pictures=(picture,))


def _efficiency(results: Results) -> Section:
    found = efficiency.table(results.rows)
    pictures = [
        _efficiency_picture(each, found, ending=ending)
        for each, ending in zip(results.combinations, results.endings(), strict=True)
    ]
    caption = "Samples at which the isotonic curve of the mean reaches an accuracy; “>” says that it does not by then."
    return Section(
        name="efficiency",
        title="Data efficiency",
        sentences=(
            "Whole seeds are resampled for the interval; one seed gives none.",
            "Between two sample counts a curve is taken as straight over log(1 + n).",
        ),
        pictures=tuple(pictures),
        sheet=Sheet(numbers=found, shown=efficiency.shown(found), caption=caption),
    )


def _efficiency_picture(combination: Combination, found: pd.DataFrame, *, ending: str) -> Picture:
    """The mean over depths if there is one, else the deepest depth."""
    cells = combination.part(found)
    finished = cells[cells["is_reached"].notna()]
    shown = (finished if len(finished) else cells)["depths"]
    depths = max(set(shown), key=lambda each: ("," in each, int(each.split(",")[-1])), default="")
    scope = cells[cells["depths"] == depths]
    name = str(scope["scope"].iloc[0]) if len(scope) else "no cell"
    title = titled(f"Samples needed to reach an accuracy, {name}", combination)
    return Picture(
        name=f"efficiency{ending}",
        draw=partial(efficiency_picture.draw, scope, title=title),
        title=title,
        description="A panel per accuracy, a line per control; arrows mark what is not reached.",
    )
