"""The report of a sweep: tables and figures as files, one self-contained page that shows them all, and LaTeX.

`write_report(rows, output)` is the whole interface of the command line to this package.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from analysis.report.artifacts import FigureFiles, write_table
from analysis.report.folder import fresh_folder
from analysis.report.latex import write_bundle
from analysis.rows import images as vision
from analysis.rows import published
from analysis.rows import recipients as any_task
from analysis.rows.load import load, row_fingerprint, transfers
from analysis.rows.settings import distinct
from analysis.rows.settings import sentences as settings_sentences
from analysis.rows.wording import DASH, UNCORRECTED, listed
from analysis.sections import accuracy, claims, learning, subnetworks, tuning
from analysis.sections import any_task as any_sections
from analysis.sections import vision as vision_sections
from analysis.sections.parts import Results, Section, Sheet
from analysis.statistics import LEVEL, MOST_EXACT_PAIRS, NUM_PATTERNS
from analysis.tables import coverage, failures, figure_3
from analysis.tables.summary import FEW, SUCCESS

TEMPLATE = "report.html"
PAGE = "index.html"

PACKAGES = ("matplotlib", "numpy", "pandas", "pyarrow", "scipy")

METHODS = (
    "Accuracy is that of the epoch of best validation accuracy, on the test set; seeds are averaged with equal weight.",
    "The test set is evaluated at that epoch alone, so nothing here can be selected by it.",
    f"Intervals are Student's t intervals of the mean over seeds, {LEVEL:.0%} nominal, not clipped to 0 and 1.",
    f"Under {FEW} runs the BCa bootstrap interval stands beside it; where the two differ much, trust neither.",
    "With so few seeds both cover less than they say, least of all where some have learned the rule and some have not.",
    f"For that there is the number of runs at or above {SUCCESS}, with Wilson's interval of their share.",
    "One seed gives no interval (–).",
    "The mean over depths averages the depths of a seed first, then the seeds; a seed counts once all depths finished.",
    f"The gap is a control's accuracy minus that of {figure_3.REFERENCE}, paired by seed.",
    "The p of a gap is two-sided, from flipping the signs of the pairs; it cannot fall below the smallest possible p.",
    "It is the chance of so large a gap if both arms are alike, so that every sign is a fair coin; it tests no mean.",
    "Pairs without a difference have no sign and are left out of p and of the smallest possible p.",
    f"Up to {MOST_EXACT_PAIRS} pairs every pattern of signs is counted; above, {NUM_PATTERNS:,} are drawn.",
    "q adjusts the p of the table's gaps by Benjamini and Hochberg: they are explored, not predicted.",
    UNCORRECTED,
    f"P(beats {figure_3.REFERENCE}) is over all pairs of runs, ties half, with Newcombe's interval (method 5).",
    "How often these intervals cover the truth on simulated data is told in docs/statistics.md.",
)


def write_report(rows: Path, output: Path) -> Path:
    """Write the tables and figures of the result rows into the folder `output`; the path of its index.html.

    Figures are drawn for every combination of settings: figure_3.png if there is one, else figure_3-1.png and so on;
    what an earlier report has written to the folder is replaced. The folder `latex` holds a document that compiles.
    Raises FileNotFoundError or ValueError if the rows cannot be read.
    """
    given = Given.read(Path(rows))
    fingerprint = given.fingerprint()
    with fresh_folder(Path(output)) as folder:
        sections = []
        with FigureFiles() as files:
            for each in _sections(given):
                sections.append(each)
                _write_files(each, folder, files, fingerprint=fingerprint)
        words = _words(given, fingerprint=fingerprint)
        write_bundle(sections, folder, title=words.title, methods=words.methods, fingerprint=fingerprint)
        (folder / PAGE).write_text(_page(words, sections, folder=folder), encoding="utf-8")
    return Path(output) / PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a page says around its sections."""

    title: str
    experiment: str
    methods: list[str]
    failures: list[dict[Any, Any]]
    commits: list[str]
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The rows of a file by what they are about, of which each may be none."""

    results: Results
    images: pd.DataFrame
    others: pd.DataFrame
    measured: pd.DataFrame

    @staticmethod
    def read(path: Path) -> "Given":
        """The rows of a file. Raises FileNotFoundError or ValueError if they cannot be read."""
        return Given(
            results=Results.of(path, load(path)),
            images=vision.rows(path),
            others=any_task.rows(path),
            measured=any_task.measurements(path),
        )

    def fingerprint(self) -> str:
        """The fingerprint of all rows; where all are of arithmetic or of images that of these."""
        known = vision.fingerprint(self.results.rows, self.images) if self.num_known() else ""
        more = [each.drop(columns="parent_ids") for each in (self.others, self.measured) if len(each)]
        return any_task.joined([*([known] if known else []), *map(row_fingerprint, more)])

    def num_known(self) -> int:
        """Rows of arithmetic and of images."""
        return len(self.results.rows) + len(self.images)

    def every(self) -> pd.DataFrame:
        """All rows, each run once."""
        runs = self.measured.drop_duplicates("run_id")
        several = [each for each in (self.results.rows, self.images, self.others, runs) if len(each)]
        return pd.concat(several, ignore_index=True) if len(several) > 1 else several[0]


def _words(given: Given, *, fingerprint: str) -> Words:
    """What a page says of the rows."""
    results, every = given.results, given.every()
    experiments = [
        _experiment(transfers(results.rows)),
        vision_sections.experiment(given.images),
        any_sections.experiment(given.others),
    ]
    methods = [
        *(_methods(results) if len(results.rows) else []),
        *(vision_sections.METHODS if len(given.images) else []),
        *(any_sections.METHODS if len(given.others) else []),
    ]
    return Words(
        title=_title(every),
        experiment=" ".join(filter(None, experiments)),
        methods=methods,
        failures=failures.table(every).to_dict("records"),
        commits=_commits(every),
        fingerprint=fingerprint,
    )


def _sections(given: Given) -> Iterator[Section]:
    """Each as soon as it is made; rows of arithmetic, of image classifiers and of other tasks have their own."""
    if len(given.results.rows):
        yield from _of_arithmetic(given.results)
    if len(given.images):
        yield from vision_sections.sections(given.results.path, given.images)
    if len(given.others):
        yield from any_sections.sections(given.results.path, given.others)
    yield from any_sections.measured(given.measured)


def _of_arithmetic(results: Results) -> Iterator[Section]:
    """Each as soon as it is made."""
    cells, covered = figure_3.table(results.rows), coverage.table(results.rows)
    yield Section(
        name="coverage",
        title="Coverage",
        sentences=tuple(_sentences(results.rows, covered, cells)),
        sheet=Sheet(numbers=covered, shown=coverage.shown(covered), caption="Planned cells by status."),
    )
    yield from claims.sections(results)
    yield from accuracy.sections(results, cells)
    yield from learning.sections(results)
    yield from subnetworks.sections(results)
    yield from tuning.sections(results)


def _write_files(section: Section, folder: Path, files: FigureFiles, *, fingerprint: str) -> None:
    if section.sheet is not None:
        write_table(section.sheet.numbers, section.sheet.shown, stem=folder / section.name, fingerprint=fingerprint)
    for picture in section.pictures:
        source = picture.fingerprint or fingerprint
        files.write(picture.draw, stem=folder / picture.name, title=picture.title, fingerprint=source)


def _title(loaded: pd.DataFrame) -> str:
    return f"Subtask Induction: {listed(sorted(set(loaded['grid'])))}"


def _methods(results: Results) -> list[str]:
    return [*METHODS, figure_3.replication(results.rows), _published_note(results)]


def _page(words: Words, sections: list[Section], *, folder: Path) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    uris = {each.name: _data_uri(folder / f"{each.name}.svg") for section in sections for each in section.pictures}
    return environment.get_template(TEMPLATE).render(
        title=words.title,
        experiment=words.experiment,
        sections=[(section, _columns_and_rows(section.sheet)) for section in sections],
        uris=uris,
        failures=words.failures,
        methods=words.methods,
        fingerprint=words.fingerprint,
        commits=words.commits,
        versions=", ".join(f"{name} {version(name)}" for name in PACKAGES),
    )


def _sentences(loaded: pd.DataFrame, covered: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """What was run, and what the numbers stand on."""
    given = transfers(loaded)
    return [
        *coverage.sentences(covered),
        *settings_sentences(given),
        *figure_3.gaps(distinct(cells, given, cell=figure_3.CELL)),
        *figure_3.replicates(loaded),
    ]


def _columns_and_rows(sheet: Sheet | None) -> tuple[list[str], list[tuple[str, ...]]]:
    if sheet is None:
        return [], []
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


def _published_note(results: Results) -> str:
    found = results.combinations
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
    is_known = not pd.isna(commit) and bool(commit)
    name = f"commit {commit}" if is_known else "no commit recorded"
    unknown = "; whether the code had uncommitted changes is not known"
    state = unknown if pd.isna(dirty) or not is_known else ", with uncommitted changes" if dirty else ""
    place = "" if pd.isna(device) else f", on {device}"
    return f"{num:,} finished rows: {name}{state}{place}"


def _data_uri(svg: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode()
