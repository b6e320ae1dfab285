"""The report of a sweep: tables and figures as files, and one self-contained page that shows them all.

`write_report(rows, output)` is the whole interface of the command line to this package.
"""

import base64
import re
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from analysis import published, tuning
from analysis.artifacts import write_figure, write_table
from analysis.figures import figure_3 as figure_3_picture
from analysis.figures import training as training_picture
from analysis.load import curves, load, row_fingerprint, transfers
from analysis.settings import Combination, combinations, distinct
from analysis.settings import sentences as settings_sentences
from analysis.statistics import LEVEL, MOST_EXACT_PAIRS
from analysis.tables import coverage, failures, figure_3, masks, training
from analysis.tables.wording import DASH, listed

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
    """A figure of the report, what it shows for those who cannot see it, and the sheet that stands below it if any."""

    name: str
    figure: Figure
    title: str
    description: str
    sheet: str = ""
    fingerprint: str = ""
    """That of what it was made from, if that is not the rows."""


def write_report(rows: Path, output: Path) -> Path:
    """Write the tables and figures of the result rows into the folder `output`; the path of its index.html.

    Figures are drawn for every combination of settings: figure_3.png if there is one, else figure_3-1.png and so on;
    those of an earlier report in the folder are replaced.
    Raises FileNotFoundError or ValueError if the rows cannot be read.
    """
    loaded = load(rows)
    fingerprint = row_fingerprint(loaded)
    sheets = _sheets(loaded)
    pictures = _pictures(rows, loaded, sheets["figure_3"].numbers)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    _remove_pictures(folder)
    for sheet in sheets.values():
        write_table(sheet.numbers, sheet.shown, stem=folder / sheet.name, fingerprint=fingerprint)
    for picture in pictures:
        source = picture.fingerprint or fingerprint
        write_figure(picture.figure, stem=folder / picture.name, title=picture.title, fingerprint=source)
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


def _pictures(rows: Path, loaded: pd.DataFrame, table: pd.DataFrame) -> list[Picture]:
    """Figure 3 of every combination of settings, then the training of every combination."""
    found = combinations(transfers(loaded))
    endings = [f"-{place}" for place in range(1, len(found) + 1)] if len(found) > 1 else [""]
    accuracies = [_figure_3(each, table, ending=ending) for each, ending in zip(found, endings, strict=True)]
    accuracies[-1] = replace(accuracies[-1], sheet="figure_3")
    learned = [_training(rows, each, loaded, ending=ending) for each, ending in zip(found, endings, strict=True)]
    return [*accuracies, *learned, *_tuning(rows)]


def _figure_3(combination: Combination, table: pd.DataFrame, *, ending: str) -> Picture:
    points = published.accuracies()
    if not published.is_comparable(combination.rows):
        points = points.iloc[:0]
    cells = combination.part(table)
    panels = figure_3.panels(cells)
    titles = listed([title for _, title in panels]) if panels else "no finished cell"
    return Picture(
        name=f"figure_3{ending}",
        figure=figure_3_picture.draw(
            cells, panels=panels, published=points, source=published.SOURCE, title=combination.title
        ),
        title=_titled("Test accuracy against disambiguation samples", combination) + f": {titles}",
        description="One line per control with its interval. The numbers are those of the table below.",
    )


def _training(rows: Path, combination: Combination, loaded: pd.DataFrame, *, ending: str) -> Picture:
    """The training at the greatest depth with a finished transfer, or of all rows if none has finished."""
    given = combination.rows
    finished = given[given["status"] == "finished"]
    depth = int((loaded if finished.empty else finished)["num_layers"].max())
    learning = training.table(curves(rows, run_ids=finished[finished["num_layers"] == depth]["run_id"].to_list()))
    title = _titled(f"Training at depth {depth}, mean over seeds", combination)
    return Picture(
        name=f"training{ending}",
        figure=training_picture.draw(learning, num_runs=training.num_runs(learning), title=title),
        title=title,
        description="Validation accuracy over epochs: each control's mean over seeds, a panel per number of samples.",
    )


def _tuning(rows: Path) -> list[Picture]:
    """The studies in which the grid's masks were tuned, if there are any."""
    trials = tuning.beside(rows)
    if trials is None:
        return []
    source = tuning.fingerprint(trials)
    return [
        Picture(name=each.name, figure=each.figure, title=each.title, description=each.description, fingerprint=source)
        for each in tuning.drawn(trials)
    ]


def _titled(text: str, combination: Combination) -> str:
    return f"{text}, {combination.title}" if combination.title else text


def _remove_pictures(folder: Path) -> None:
    """Remove what an earlier report of another number of combinations left, which this page does not show."""
    for path in folder.iterdir():
        if re.fullmatch(r"(figure_3|training|tuning_\w+)(-\d+)?\.(png|svg)", path.name):
            path.unlink()


def _page(
    loaded: pd.DataFrame, sheets: dict[str, Sheet], pictures: list[Picture], *, folder: Path, fingerprint: str
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template(TEMPLATE).render(
        grids=listed(sorted(set(loaded["grid"]))),
        experiment=_experiment(transfers(loaded)),
        sentences=_sentences(loaded, sheets),
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


def _sentences(loaded: pd.DataFrame, sheets: dict[str, Sheet]) -> list[str]:
    """What was run, and what the numbers stand on."""
    given = transfers(loaded)
    cells = distinct(sheets["figure_3"].numbers, given, cell=figure_3.CELL)
    return [
        *coverage.sentences(sheets["coverage"].numbers),
        *settings_sentences(given),
        *figure_3.gaps(cells),
        *figure_3.replicates(loaded),
    ]


def _columns_and_rows(sheet: Sheet) -> tuple[list[str], list[tuple[str, ...]]]:
    return list(sheet.shown.columns), list(sheet.shown.itertuples(index=False, name=None))


def _experiment(given: pd.DataFrame) -> str:
    """What the recipients learn, in words; empty without transfers."""
    if given.empty:
        return ""
    return (
        f"Recipients learn {_every(given, 'rule')} mod {_every(given, 'modulus')} over "
        f"{_every(given, 'num_integers', ',')} integers from {_every(given, 'num_ambiguous', ',')} ambiguous samples "
        f"and a few that disambiguate; width {_every(given, 'd_model')}, depth {_every(given, 'num_layers')}, "
        f"{given['seed'].nunique()} seed(s)."
    )


def _every(given: pd.DataFrame, name: str, form: str = "") -> str:
    """The values of a column in words."""
    return listed([format(value, form) for value in sorted(given[name].dropna().unique())] or [DASH])


def _published_note(loaded: pd.DataFrame) -> str:
    found = combinations(transfers(loaded))
    comparable = [each for each in found if published.is_comparable(each.rows)]
    if not comparable:
        return "No published numbers stand here, for these rows have another setting than the published one."
    where = "; ".join(each.title for each in comparable)
    return (
        f"Published numbers ({published.SOURCE}) were read off its vector figures; the figure and the number of runs "
        "are named beside each. Its random and complement controls are those of its released code, so they "
        "stand beside random as released and complement as released. Published means over depths are one run per depth."
    ) + (f" They stand only beside the published setting: {where}." if len(comparable) < len(found) else "")


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
