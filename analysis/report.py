"""The report of a sweep: tables and figures as files, and one self-contained page that shows them all.

`write_report(rows, output)` is the whole interface of the command line to this package.
"""

import base64
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from analysis import published
from analysis.artifacts import write_figure, write_table
from analysis.figures import figure_3 as figure_3_picture
from analysis.figures import training as training_picture
from analysis.load import curves, load, row_fingerprint, transfers
from analysis.statistics import LEVEL, MOST_EXACT_PAIRS
from analysis.tables import coverage, failures, figure_3, masks, training
from analysis.tables.wording import listed

TEMPLATE = "report.html"
PACKAGES = ("matplotlib", "numpy", "pandas", "pyarrow", "scipy")

METHODS = (
    "Accuracy is that of the epoch of best validation accuracy, on the test set; seeds are averaged with equal weight.",
    f"Intervals are Student's t intervals of the mean over seeds, {LEVEL:.0%} nominal, not clipped to 0 and 1.",
    "With so few seeds they cover less than they say, least of all where some have learned the rule and some have not.",
    "One seed gives no interval (–).",
    "The mean over depths averages the depths of a seed first, then the seeds; a seed counts once all depths finished.",
    f"The gap is a control's accuracy minus that of {figure_3.REFERENCE}, paired by seed.",
    "The p of a gap is two-sided, from flipping the signs of the pairs; it cannot fall below the smallest possible p.",
    f"Up to {MOST_EXACT_PAIRS} pairs every pattern of signs is counted; above, the normal approximation serves.",
    "No p is corrected for the number of comparisons.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table of the report: its numbers, and the same in words."""

    name: str
    numbers: pd.DataFrame
    shown: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure of the report, and what it shows for those who cannot see it."""

    name: str
    figure: Figure
    title: str
    description: str


def write_report(rows: Path, output: Path) -> Path:
    """Write the tables and figures of the result rows into the folder `output`; the path of its index.html.

    Raises FileNotFoundError or ValueError if the rows cannot be read or mix what one figure cannot show.
    """
    loaded = load(rows)
    fingerprint = row_fingerprint(loaded)
    sheets = _sheets(loaded)
    depth = _deepest(loaded)
    learning = training.table(curves(rows, num_layers=depth))
    pictures = [_figure_3(loaded, sheets["figure_3"].numbers), _training(learning, depth)]
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    for sheet in sheets.values():
        write_table(sheet.numbers, sheet.shown, stem=folder / sheet.name, fingerprint=fingerprint)
    for picture in pictures:
        write_figure(picture.figure, stem=folder / picture.name, title=picture.title, fingerprint=fingerprint)
    page = folder / "index.html"
    page.write_text(_page(loaded, sheets, pictures, folder=folder, fingerprint=fingerprint), encoding="utf-8")
    return page


def _sheets(loaded: pd.DataFrame) -> dict[str, Sheet]:
    covered, accuracies, masked = (coverage.table(loaded), figure_3.table(loaded), masks.table(loaded))
    sheets = (
        Sheet(name="coverage", numbers=covered, shown=coverage.shown(covered)),
        Sheet(name="figure_3", numbers=accuracies, shown=figure_3.shown(accuracies)),
        Sheet(name="masks", numbers=masked, shown=masks.shown(masked)),
    )
    return {sheet.name: sheet for sheet in sheets}


def _deepest(loaded: pd.DataFrame) -> int:
    """The greatest depth with a finished transfer, or of all rows if none has finished."""
    given = transfers(loaded)
    finished = given[given["status"] == "finished"]
    return int((loaded if finished.empty else finished)["num_layers"].max())


def _figure_3(loaded: pd.DataFrame, table: pd.DataFrame) -> Picture:
    points = published.accuracies()
    if not published.is_comparable(transfers(loaded)):
        points = points.iloc[:0]
    panels = figure_3.panels(table)
    titles = listed([title for _, title in panels]) if panels else "no finished cell"
    return Picture(
        name="figure_3",
        figure=figure_3_picture.draw(table, panels=panels, published=points, source=published.SOURCE),
        title=f"Test accuracy against disambiguation samples: {titles}",
        description="One line per control with its interval. The numbers are those of the table below.",
    )


def _training(learning: pd.DataFrame, depth: int) -> Picture:
    title = f"Training at depth {depth}, mean over seeds"
    return Picture(
        name="training",
        figure=training_picture.draw(learning, num_seeds=training.num_seeds(learning), title=title),
        title=title,
        description="Validation accuracy over epochs: each control's mean over seeds, a panel per number of samples.",
    )


def _page(
    loaded: pd.DataFrame, sheets: dict[str, Sheet], pictures: list[Picture], *, folder: Path, fingerprint: str
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template(TEMPLATE).render(
        grids=listed(sorted(set(loaded["grid"]))),
        experiment=_experiment(transfers(loaded)),
        sentences=[*coverage.sentences(sheets["coverage"].numbers), *figure_3.gaps(sheets["figure_3"].numbers)],
        coverage=_columns_and_rows(sheets["coverage"]),
        figure_3=_columns_and_rows(sheets["figure_3"]),
        masks=_columns_and_rows(sheets["masks"]),
        pictures=[(each, _data_uri(folder / f"{each.name}.svg")) for each in pictures],
        failures=failures.table(loaded).to_dict("records"),
        methods=[*METHODS, figure_3.replication(loaded), _published_note(loaded)],
        fingerprint=fingerprint,
        commits=_commits(loaded),
        versions=", ".join(f"{name} {version(name)}" for name in PACKAGES),
    )


def _columns_and_rows(sheet: Sheet) -> tuple[list[str], list[tuple[str, ...]]]:
    return list(sheet.shown.columns), list(sheet.shown.itertuples(index=False, name=None))


def _experiment(given: pd.DataFrame) -> str:
    """What the recipients learn, in words; empty without transfers."""
    if given.empty:
        return ""
    first = given.iloc[0]
    depths = listed([str(depth) for depth in sorted(set(given["num_layers"]))])
    return (
        f"Recipients learn {first['rule']} mod {first['modulus']} over {first['num_integers']:,} integers from "
        f"{first['num_ambiguous']:,} ambiguous samples and a few that disambiguate; "
        f"width {first['d_model']}, depth {depths}, {given['seed'].nunique()} seed(s)."
    )


def _published_note(loaded: pd.DataFrame) -> str:
    if not published.is_comparable(transfers(loaded)):
        return "No published numbers stand here, for these rows have another setting than the published one."
    return (
        f"Published numbers ({published.SOURCE}) were read off its vector figures; the figure and the number of runs "
        "are named beside each. Its random and complement controls are those of its released code, so they "
        "stand beside random as released and complement as released. Published means over depths are one run per depth."
    )


def _commits(loaded: pd.DataFrame) -> list[str]:
    """The commits that computed the finished rows, with the number of rows of each."""
    finished = loaded[loaded["status"] == "finished"]
    counts = finished.groupby(["commit", "dirty", "device"], dropna=False, as_index=False).size()
    return [_commit(*each) for each in counts.itertuples(index=False, name=None)]


def _commit(commit: Any, dirty: Any, device: Any, num: int) -> str:
    name = "no commit recorded" if pd.isna(commit) or not commit else f"commit {commit}"
    state = "" if pd.isna(dirty) or not dirty else ", with uncommitted changes"
    place = "" if pd.isna(device) else f", on {device}"
    return f"{num:,} finished rows: {name}{state}{place}"


def _data_uri(svg: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode()
